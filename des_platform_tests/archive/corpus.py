"""Archives built by code for the tests of what writes, checks and repairs them; the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import struct
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from des_platform.archive import DesReader, DesWriter, MemorySource, verify
from des_platform.archive.v2.builder import V2Builder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from des_platform.archive import ByteSource

ARCHIVE_ID = 0x1122334455667788
CREATED_MS = 1_700_000_000_000

_BLOCK = struct.Struct("<4sBBHIIQQQII")


class MemorySink:
    """Takes an archive into memory; fails at a chosen call, as a full disk does."""

    def __init__(self, *, fail_at: int | None = None) -> None:
        self.data = b""
        self.calls = 0
        self.committed = False
        self.aborted = False
        self._parts: list[bytes] = []
        self._fail_at = fail_at

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        self._call()
        self._parts.extend(map(bytes, parts))

    def copy(self, source: ByteSource, length: int) -> None:
        self._call()
        assert not self._parts
        if length:
            self._parts.append(source.read_range(0, length))

    def commit(self) -> None:
        self._call()
        assert not self.aborted
        self.data = b"".join(self._parts)
        self.committed = True

    def abort(self) -> None:
        self._parts.clear()
        self.aborted = True

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self._fail_at:
            raise OSError(28, "No space left on device")


def seeded(seed: int | str) -> Random:
    """Return what chooses the same each time."""
    return Random(seed)  # noqa: S311 - it is to be repeatable, not secret


def noise(seed: int, size: int) -> bytes:
    """Bytes that do not compress."""
    return hashlib.shake_128(seed.to_bytes(8, "little")).digest(size)


def documents(count: int, start: int = 0) -> dict[str, bytes]:
    """Small JSON documents that are alike: a dictionary pays for them."""
    return {
        f"doc/{number:06}.json": json.dumps(
            {
                "identifier": number,
                "title": f"Measurement {number} of the series {number % 17}",
                "station": ["Aachen", "Bremen", "Celle", "Dresden"][number % 4],
                "values": [number * 7 % 101, number * 13 % 103, number * 29 % 107],
                "remark": "taken automatically, not checked by a person",
            }
        ).encode()
        for number in range(start, start + count)
    }


def write(items: Mapping[str, Any] | Iterable[Any], **options: Any) -> bytes:
    """Return an archive; items are bytes, or pairs of bytes and metadata."""
    sink = MemorySink()
    options = {"created_ms": CREATED_MS} | ({} if "base" in options else {"archive_id": ARCHIVE_ID}) | options
    pairs = items.items() if hasattr(items, "items") else items
    with DesWriter(sink, **options) as writer:
        for name, item in pairs:
            data, meta = item if isinstance(item, tuple) else (item, None)
            writer.add_file(name, data, meta)
    return sink.data


def contents(data: bytes) -> dict[str, bytes]:
    """Return all files inside an archive."""
    reader = DesReader(MemorySource(data))
    return {entry.name: reader.get_file(entry.name) for entry in reader.iter_entries() if not entry.is_external}


class BlockHead(NamedTuple):
    """What the header of a block says, read as FORMAT.md has it."""

    offset: int
    kind: int
    flags: int
    count: int
    stored_columns: int
    payload: int
    first_ordinal: int
    columns: int

    @property
    def payload_offset(self) -> int:
        return self.offset + 48 + self.stored_columns

    @property
    def end(self) -> int:
        return self.payload_offset + self.payload


def blocks_of(data: bytes) -> list[BlockHead]:
    """Return the blocks of a whole archive."""
    end = catalogue_offset(data)
    found = []
    at = 32
    while at < end:
        magic, kind, flags, _, count, stored, payload, ordinal, _, columns, _ = _BLOCK.unpack_from(data, at)
        assert magic == b"DBK2"
        found.append(BlockHead(at, kind, flags, count, stored, payload, ordinal, columns))
        at = found[-1].end
    assert at == end
    return found


def catalogue_offset(data: bytes) -> int:
    """Return where the blocks of a whole archive end."""
    return int.from_bytes(data[-216:-208], "little")


def append(
    base: bytes,
    items: Mapping[str, Any] | None = None,
    *,
    deleted: Iterable[str] = (),
    created_ms: int = CREATED_MS + 1000,
    **options: Any,
) -> bytes:
    """Return an archive that goes on from another one."""
    sink = MemorySink()
    builder = V2Builder(sink, base=MemorySource(base), created_ms=created_ms, **options)
    for name in deleted:
        builder.delete(name)
    for name, item in (items or {}).items():
        data, meta = item if isinstance(item, tuple) else (item, None)
        builder.add(name, data, meta)
    builder.finish()
    builder.discard()
    sink.commit()
    return sink.data


def everything(data: bytes) -> dict[str, tuple[bytes | str, dict[str, Any]]]:
    """Return payloads, or keys of external objects, and metadata of all files."""
    reader = DesReader(MemorySource(data))
    found: dict[str, tuple[bytes | str, dict[str, Any]]] = {}
    for name in reader.list_files():
        meta = reader.get_meta(name)
        found[name] = meta["external_key"] if meta.get("is_external") else reader.get_file(name), meta
    return found


def is_whole(data: bytes) -> bool:
    """Assert that an archive is right in all its parts."""
    found = verify(MemorySource(data))
    assert not found.problems
    return True
