"""DES version 1 as anyone would write it first, to measure the platform's against.

One call of `write` per payload, one `json.dumps` per file, an index of objects that is written and read field by field.
Nothing in it is slow on purpose; it checks little and has no checksums, for version 1 has none.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_ENTRY = struct.Struct("<QQQQI")
_FOOTER = struct.Struct("<8sB7sQQQQQQQ")


@dataclass
class LiteralEntry:
    """One file of the index."""

    name: str
    data_offset: int
    data_length: int
    meta_offset: int
    meta_length: int
    flags: int


class LiteralV1Writer:
    """Writes an archive of version 1."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._file.write(b"DESHEAD1\x01" + bytes(7))
        self._position = 16
        self._entries: list[LiteralEntry] = []
        self._metas: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_file(self, name: str, data: bytes, meta: dict[str, object] | None = None) -> None:
        """Add a file and its metadata."""
        meta = {**(meta or {}), "size": len(data)}
        encoded = json.dumps(meta, separators=(",", ":")).encode("utf-8")
        self._file.write(data)
        self._entries.append(LiteralEntry(name, self._position, len(data), 0, len(encoded), 0))
        self._metas.append(encoded)
        self._position += len(data)

    def close(self) -> None:
        """Write metadata, index and footer."""
        meta_start = position = self._position
        for entry, meta in zip(self._entries, self._metas, strict=True):
            self._file.write(meta)
            entry.meta_offset = position
            position += len(meta)
        index_start = position
        for entry in self._entries:
            name = entry.name.encode("utf-8")
            self._file.write(struct.pack("<H", len(name)))
            self._file.write(name)
            self._file.write(
                _ENTRY.pack(entry.data_offset, entry.data_length, entry.meta_offset, entry.meta_length, entry.flags)
            )
            position += 2 + len(name) + _ENTRY.size
        regions = (16, meta_start - 16, meta_start, index_start - meta_start, index_start, position - index_start)
        self._file.write(_FOOTER.pack(b"DESFOOT1", 1, bytes(7), *regions, len(self._entries)))
        self._file.close()


class LiteralV1Reader:
    """Reads an archive of version 1."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._file.seek(-_FOOTER.size, 2)
        *_, index_start, _, count = _FOOTER.unpack(self._file.read(_FOOTER.size))
        self._file.seek(index_start)
        self._entries: dict[str, LiteralEntry] = {}
        for _ in range(count):
            (length,) = struct.unpack("<H", self._file.read(2))
            name = self._file.read(length).decode("utf-8")
            self._entries[name] = LiteralEntry(name, *_ENTRY.unpack(self._file.read(_ENTRY.size)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_file(self, name: str) -> bytes:
        """Return the payload of a file."""
        entry = self._entries[name]
        self._file.seek(entry.data_offset)
        return self._file.read(entry.data_length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
