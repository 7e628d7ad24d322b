"""Reads DES v1 archives through byte ranges: a local file, or whatever else can give bytes from the middle.

Opening reads the footer and the header and checks both; the index is read once, whole, when first needed. Afterwards a
file costs one read. A reader is safe for threads if its source is, and never asks a source for more than one region of
the archive, nor for a range of no bytes.

How it fails: whatever is wrong with the archive is a `CorruptArchive` or an `UnsupportedVersion`, whatever is wrong
with reaching it is the source's own error. Version 1 has no checksums: a changed payload byte goes unseen here.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from des_platform.archive.index import PackedIndex
from des_platform.archive.layout import (
    FLAG_EXTERNAL,
    FOOTER,
    HEADER,
    MIN_ARCHIVE_SIZE,
    CorruptArchive,
    ExternalFile,
    Footer,
    IndexEntry,
    check_header,
    parse_footer,
)
from des_platform.archive.source import ByteSource, FileSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

DEFAULT_MAX_GAP = 1024 * 1024
DEFAULT_MAX_SPAN = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveStats:
    """What an archive holds; sizes in bytes.

    Attributes:
        file_count: all files.
        external_count: those whose payload is an object of its own.
        data_bytes: payloads in the archive.
        external_bytes: payloads outside.
        meta_bytes: metadata, as JSON.
        index_bytes: the index.
        archive_bytes: the whole archive file.
    """

    file_count: int
    external_count: int
    data_bytes: int
    external_bytes: int
    meta_bytes: int
    index_bytes: int
    archive_bytes: int


class DesReader:
    """Reads one archive; a context manager, thread-safe.

    Args:
        source: where the bytes come from; a path is opened, and closed with the reader.

    Raises:
        CorruptArchive: this is no archive, or its header or footer is broken.
        UnsupportedVersion: this is an archive of another version.
    """

    def __init__(self, source: ByteSource | str | os.PathLike[str]) -> None:
        self._owned: FileSource | None = None
        if isinstance(source, (str, os.PathLike)):
            source = self._owned = FileSource(source)
        self._source: ByteSource = source
        self._where = repr(source)
        self._lock = threading.Lock()
        self._loaded: PackedIndex | None = None
        self._closed = False
        try:
            self._size = source.size
            self._footer = self._read_footer()
            check_header(self._read(0, HEADER.size), self._where)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._index())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._index()

    def close(self) -> None:
        """Close the file, if the reader opened it. A source that was handed over stays open. May be called twice."""
        self._closed = True
        if self._owned is not None:
            self._owned.close()

    def list_files(self) -> list[str]:
        """Return the names of all files in archive order, external ones included.

        Raises:
            CorruptArchive: the index is broken. All methods below raise this too.
        """
        return [entry.name for entry in self._index()]

    def iter_entries(self) -> Iterator[IndexEntry]:
        """Iterate over the entries in archive order without building them all at once."""
        return iter(self._index())

    def get_index(self) -> dict[str, IndexEntry]:
        """Return all entries by name, in archive order: several hundred bytes of memory per file."""
        return {entry.name: entry for entry in self._index()}

    def get_entry(self, name: str) -> IndexEntry:
        """Return where a file lies.

        Raises:
            KeyError: there is no such file.
        """
        entry = self._index().find(name)
        if entry is None:
            raise KeyError(f"File not found: {name!r} is not in {self._where}")
        return entry

    def get_file(self, name: str) -> bytes:
        """Return the payload of a file.

        Raises:
            KeyError: there is no such file.
            ExternalFile: the payload is an object of its own; the error carries its key.
            CorruptArchive: the payload cannot be read whole, or a reserved flag says that it is not plain bytes.
        """
        entry = self.get_entry(name)
        self._require_inside(entry)
        return self._read(entry.data_offset, entry.data_length)

    def get_meta(self, name: str) -> dict[str, Any]:
        """Return the metadata of a file, external or not.

        Raises:
            KeyError: there is no such file.
            CorruptArchive: the metadata is not a JSON object.
        """
        return self._meta_of(self.get_entry(name))

    def get_files_batch(
        self, names: Iterable[str], *, max_gap: int = DEFAULT_MAX_GAP, max_span: int = DEFAULT_MAX_SPAN
    ) -> dict[str, bytes]:
        """Return the payloads of many files with few reads, in the order asked for; unknown names are left out.

        Files that lie close together are read in one go, gaps included. Beside the result at most ``max_span`` bytes
        are in memory at a time (or one file, where a single one is longer).

        Args:
            names: the names; asking twice for one is no error.
            max_gap: the most bytes between two files to read for nothing; 0 joins only neighbours.
            max_span: the most bytes of one joined read.

        Raises:
            TypeError: ``names`` is a single string.
            ValueError: ``max_gap`` or ``max_span`` is negative.
            ExternalFile: one of the files is external; nothing has been read. See `IndexEntry.is_external`.
            CorruptArchive: as for `get_file`.
        """
        if isinstance(names, (str, bytes)):
            raise TypeError("names must be a collection of names, not a single string; use get_file for one file")
        if max_gap < 0 or max_span < 0:
            raise ValueError(f"max_gap ({max_gap}) and max_span ({max_span}) must not be negative")
        index = self._index()
        entries = {name: entry for name in names if (entry := index.find(name)) is not None}
        for entry in entries.values():
            self._require_inside(entry)
        result = dict.fromkeys(entries, b"")
        wanted = sorted((entry for entry in entries.values() if entry.data_length), key=lambda entry: entry.data_offset)
        for start, end, members in _join(wanted, max_gap, max_span):
            span = self._read(start, end - start)
            for entry in members:
                offset = entry.data_offset - start
                result[entry.name] = span[offset : offset + entry.data_length]
        return result

    def get_stats(self) -> ArchiveStats:
        """Count what the archive holds. Reads the index."""
        external_sizes = [entry.data_length for entry in self._index() if entry.is_external]
        return ArchiveStats(
            file_count=len(self),
            external_count=len(external_sizes),
            data_bytes=self._footer.data_length,
            external_bytes=sum(external_sizes),
            meta_bytes=self._footer.meta_length,
            index_bytes=self._footer.index_length,
            archive_bytes=self._size,
        )

    def _read_footer(self) -> Footer:
        if self._size < MIN_ARCHIVE_SIZE:
            raise CorruptArchive(
                f"{self._where}: {self._size} bytes are too few: the smallest archive has {MIN_ARCHIVE_SIZE}"
            )
        return parse_footer(self._read(self._size - FOOTER.size, FOOTER.size), self._size, self._where)

    def _index(self) -> PackedIndex:
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    raw = self._read(self._footer.index_start, self._footer.index_length)
                    self._loaded = PackedIndex(raw, self._footer, self._where)
        return self._loaded

    def _read(self, offset: int, length: int) -> bytes:
        if self._closed:
            raise RuntimeError(f"{self._where}: the reader is closed")
        if not length:
            return b""
        data = self._source.read_range(offset, length)
        if len(data) != length:
            raise CorruptArchive(
                f"{self._where}: got {len(data)} bytes for the {length} at {offset}: cut or replaced since opened?"
            )
        return data

    def _require_inside(self, entry: IndexEntry) -> None:
        if entry.flags == 0:
            return
        if entry.flags & ~FLAG_EXTERNAL:
            raise CorruptArchive(
                f"{self._where}: {entry.name!r} has the flags {entry.flags:#x}, reserved in DES version 1: "
                "what its bytes mean is not known"
            )
        key = self._meta_of(entry).get("external_key")
        if not isinstance(key, str) or not key:
            raise CorruptArchive(f"{self._where}: the metadata of external {entry.name!r} has no external_key")
        raise ExternalFile(entry.name, key, entry.data_length)

    def _meta_of(self, entry: IndexEntry) -> dict[str, Any]:
        raw = self._read(entry.meta_offset, entry.meta_length)
        try:
            meta = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise CorruptArchive(f"{self._where}: the metadata of {entry.name!r} is not JSON: {error}") from error
        if not isinstance(meta, dict):
            raise CorruptArchive(
                f"{self._where}: the metadata of {entry.name!r} is {type(meta).__name__}, not a JSON object"
            )
        return meta


def _join(entries: Iterable[IndexEntry], max_gap: int, max_span: int) -> Iterator[tuple[int, int, list[IndexEntry]]]:
    """Group entries sorted by offset into ranges ``(start, end, entries)`` to read at once."""
    start = end = 0
    members: list[IndexEntry] = []
    for entry in entries:
        entry_end = max(end, entry.data_offset + entry.data_length)
        if members and (entry.data_offset - end > max_gap or entry_end - start > max_span):
            yield start, end, members
            members = []
        if not members:
            start, entry_end = entry.data_offset, entry.data_offset + entry.data_length
        members.append(entry)
        end = entry_end
    if members:
        yield start, end, members
