"""Reads an archive of version 1: header and footer when opened, the index once when first needed, then a read per file.

How it fails: whatever is wrong with the archive is a `CorruptArchive` or an `UnsupportedVersion`, whatever is wrong
with reaching it is the source's own error. Version 1 has no checksums: a changed payload byte goes unseen here.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from des_platform.archive.batch import read_ranges
from des_platform.archive.errors import CorruptArchive, ExternalFile
from des_platform.archive.models import FLAG_EXTERNAL, ArchiveStats, IndexEntry
from des_platform.archive.v1.layout import (
    FOOTER,
    HEADER,
    VERSION,
    check_header,
    parse_footer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from des_platform.archive.batch import ReadPolicy
    from des_platform.archive.cache import SourceCache
    from des_platform.archive.source import ByteSource
    from des_platform.archive.v1.index import Place, V1Index


class V1View:
    """One archive of version 1; thread-safe if its source is.

    Args:
        source: where the bytes come from.
        tail: the last bytes of the archive, at least its footer; what they hold is not read again.
        size: bytes of the archive, at least 88.
        parts: keeps the index between archives and processes.

    Raises:
        CorruptArchive: this is no archive, or its header or footer is broken.
        UnsupportedVersion: this is an archive of another version.
    """

    version = VERSION

    def __init__(self, source: ByteSource, tail: bytes, size: int, parts: SourceCache) -> None:
        self._source = source
        self._where = repr(source)
        self._size = size
        self._parts = parts
        self._footer = parse_footer(tail[-FOOTER.size :], size, self._where)
        self._tail, self._tail_start = tail, size - len(tail)
        check_header(self._read(0, HEADER.size), self._where)
        self._lock = threading.Lock()
        self._loaded: V1Index | None = None

    def __len__(self) -> int:
        return len(self._index())

    def __contains__(self, name: str) -> bool:
        return self._index().find(name) >= 0

    def find(self, name: str) -> IndexEntry | None:
        """Return where a file lies, or None.

        Raises:
            CorruptArchive: the index is broken. All methods below raise this too.
        """
        index = self._index()
        ordinal = index.find(name)
        if ordinal < 0:
            return None
        offset, length, flags = index.place(ordinal)
        return IndexEntry(name, offset, 0 if flags & FLAG_EXTERNAL else length, length, flags)

    def entries(self, prefix: str = "") -> Iterator[IndexEntry]:
        """Iterate over the entries in the order they were added, without building them all at once."""
        for name, offset, length, flags in self._index():
            if name.startswith(prefix):
                yield IndexEntry(name, offset, 0 if flags & FLAG_EXTERNAL else length, length, flags)

    def get(self, name: str) -> bytes:
        """Return the payload of a file.

        Raises:
            KeyError: there is no such file.
            ExternalFile: the payload is an object of its own.
            CorruptArchive: the payload cannot be read whole, or a reserved flag says that it is not plain bytes.
        """
        index = self._index()
        ordinal = self._require(name)
        place = index.place(ordinal)
        if place.flags:
            raise self._external(name, ordinal, place)
        return self._read(place.offset, place.length)

    def get_many(self, names: Iterable[str], policy: ReadPolicy) -> dict[str, bytes | ExternalFile]:
        """Return the payloads of many files in the order asked for, or where they are; unknown names are left out.

        Raises:
            CorruptArchive: as for `get`.
        """
        index = self._index()
        found: dict[str, bytes | ExternalFile] = {}
        inside: dict[str, tuple[int, int]] = {}
        for name in names:
            ordinal = index.find(name)
            if ordinal < 0:
                continue
            place = index.place(ordinal)
            if place.flags:
                found[name] = self._external(name, ordinal, place)
            else:
                found[name] = b""
                inside[name] = place.offset, place.length
        payloads = read_ranges(self._read, list(inside.values()), policy)
        found.update(zip(inside, payloads, strict=True))
        return found

    def meta(self, name: str) -> dict[str, Any]:
        """Return the metadata of a file, external or not.

        Raises:
            KeyError: there is no such file.
            CorruptArchive: the metadata is not a JSON object.
        """
        return self._meta(name, self._require(name))

    def stats(self) -> ArchiveStats:
        """Count what the archive holds."""
        external_count, external_bytes = self._index().external()
        return ArchiveStats(
            version=VERSION,
            file_count=len(self),
            external_count=external_count,
            data_bytes=self._footer.data_length,
            stored_bytes=self._footer.data_length,
            external_bytes=external_bytes,
            archive_bytes=self._size,
        )

    def hint(self) -> None:
        """Return None: version 1 has no hints."""

    def _require(self, name: str) -> int:
        ordinal = self._index().find(name)
        if ordinal < 0:
            raise KeyError(f"File not found: {name!r} is not in {self._where}")
        return ordinal

    def _index(self) -> V1Index:
        if self._loaded is None:
            from des_platform.archive.v1.index import V1Index

            with self._lock:
                if self._loaded is None:
                    try:
                        self._loaded = V1Index(self._read_index, self._footer, self._where)
                    except CorruptArchive:
                        if not self._parts.active:
                            raise
                        # What a cache kept may be broken without the archive being so.
                        self._loaded = V1Index(self._read, self._footer, self._where)
                    self._tail = b""
        return self._loaded

    def _read_index(self, offset: int, length: int) -> bytes:
        part = f"index{offset:x}.{length:x}"
        kept = self._parts.get(part)
        if kept is not None and len(kept) == length:
            return kept
        data = self._read(offset, length)
        if offset < self._tail_start:
            self._parts.set(part, data)
        return data

    def _read(self, offset: int, length: int) -> bytes:
        if not length:
            return b""
        # The tail is dropped by another thread at some time: look at one and the same.
        tail, start = self._tail, self._tail_start
        if tail and offset >= start:
            return tail[offset - start : offset - start + length]
        data = self._source.read_range(offset, length)
        if len(data) != length:
            raise CorruptArchive(
                f"{self._where}: got {len(data)} bytes for the {length} at {offset}: cut or replaced since opened?"
            )
        return data

    def _external(self, name: str, ordinal: int, place: Place) -> ExternalFile:
        if place.flags & ~FLAG_EXTERNAL:
            raise CorruptArchive(
                f"{self._where}: {name!r} has the flags {place.flags:#x}, reserved in DES version 1: "
                "what its bytes mean is not known"
            )
        key = self._meta(name, ordinal).get("external_key")
        if not isinstance(key, str) or not key:
            raise CorruptArchive(f"{self._where}: the metadata of external {name!r} has no external_key")
        return ExternalFile(name, key, place.length)

    def _meta(self, name: str, ordinal: int) -> dict[str, Any]:
        raw = self._read(*self._index().meta(ordinal))
        try:
            meta = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise CorruptArchive(f"{self._where}: the metadata of {name!r} is not JSON: {error}") from error
        if not isinstance(meta, dict):
            raise CorruptArchive(f"{self._where}: the metadata of {name!r} is {type(meta).__name__}, not a JSON object")
        return meta
