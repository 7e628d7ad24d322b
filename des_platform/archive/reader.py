"""Reads DES archives of either version through byte ranges: a local file, or whatever else gives bytes of its middle.

Opening reads the last 64 KiB, once; a hint of version 2 saves even that. A reader is safe for threads if its source is,
never asks a source for what lies outside the archive, nor for a range of no bytes.

How it fails: whatever is wrong with the archive is a `CorruptArchive` or an `UnsupportedVersion`, whatever is wrong
with reaching it, or the objects of its external files, is the source's or the store's own error.
"""

from __future__ import annotations

import os
import posixpath
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from des_platform.archive.batch import LATENCY, LOCAL, ReadPolicy
from des_platform.archive.big_files import FOLDER, LocalFolder, key_of
from des_platform.archive.cache import SourceCache
from des_platform.archive.errors import CorruptArchive, ExternalFile, UnsupportedVersion
from des_platform.archive.models import TAIL_BYTES
from des_platform.archive.source import ByteSource, FileSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from des_platform.archive.big_files import ObjectFolder
    from des_platform.archive.cache import IndexCache
    from des_platform.archive.models import ArchiveStats, IndexEntry

PAGE_CACHE_BYTES = 64 * 1024 * 1024
MAX_OBJECT_BYTES = 4 * 1024**3
VERSION_1 = 1
VERSION_2 = 2

_MIN_ARCHIVE_BYTES = 88
_FOOTER_BYTES = 72
_FOOTER_MAGIC = b"DESFOOT1"


class ArchiveView(Protocol):
    """Reads one archive of one version; driven by `DesReader`, by several threads at once."""

    version: int

    def __len__(self) -> int: ...

    def __contains__(self, name: str) -> bool: ...

    def find(self, name: str) -> IndexEntry | None:
        """Return where a file lies, or None."""

    def entries(self, prefix: str = "") -> Iterator[IndexEntry]:
        """Iterate over the entries; version 1 in the order of adding, version 2 in the order of names."""

    def get(self, name: str) -> bytes:
        """Return a payload; raises KeyError, ExternalFile."""

    def get_many(self, names: Iterable[str], policy: ReadPolicy) -> dict[str, bytes | ExternalFile]:
        """Return many payloads in the order asked for, and where those of external files are."""

    def meta(self, name: str) -> dict[str, Any]:
        """Return the metadata of a file."""

    def stats(self) -> ArchiveStats:
        """Count what the archive holds."""

    def hint(self) -> bytes | None:
        """Return what saves the next reader the archive's end; None where the version has no hints."""


class DesReader:
    """Reads one archive; a context manager, thread-safe.

    Args:
        source: where the bytes come from; a path is opened, and closed with the reader.
        hint: what `hint` of a reader of the same archive gave: nothing is read when opening.
        cache: keeps the index between readers, and between processes; never used for a source without an identity.
        big_files: the store of big files' objects. Without it a reader of a path looks for them below the archive's own
            directory, under keys with ``_bigFiles`` in them alone.
        page_cache_bytes: how much of the index version 2 keeps in memory.
        max_object_bytes: a file that is longer is not read.

    Raises:
        CorruptArchive: this is no archive, or its header or footer is broken.
        UnsupportedVersion: this is an archive of another version.
    """

    def __init__(
        self,
        source: ByteSource | str | os.PathLike[str],
        *,
        hint: bytes | None = None,
        cache: IndexCache | None = None,
        big_files: ObjectFolder | None = None,
        page_cache_bytes: int = PAGE_CACHE_BYTES,
        max_object_bytes: int = MAX_OBJECT_BYTES,
    ) -> None:
        self._owned: FileSource | None = None
        self._closed = False
        self._max_object_bytes = max_object_bytes
        if isinstance(source, (str, os.PathLike)):
            source = self._owned = FileSource(source)
        self._source: ByteSource = source
        self._where = repr(source)
        self._big_files = big_files
        try:
            self._view = self._open(hint, cache, page_cache_bytes)
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
        return len(self._open_view())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._open_view()

    @property
    def version(self) -> int:
        """The archive's format version."""
        return self._view.version

    def close(self) -> None:
        """Close the file, if the reader opened it. A source that was handed over stays open. May be called twice."""
        self._closed = True
        if self._owned is not None:
            self._owned.close()

    def list_files(self, prefix: str = "") -> list[str]:
        """Return the names of all files that start so, external ones included; see `iter_entries` for their order.

        Raises:
            CorruptArchive: the index is broken. All methods below raise this too.
        """
        return [entry.name for entry in self.iter_entries(prefix)]

    def iter_entries(self, prefix: str = "") -> Iterator[IndexEntry]:
        """Iterate over the entries: version 1 in the order of adding, version 2 in the order of names.

        Args:
            prefix: only of names that start so.
        """
        return self._open_view().entries(prefix)

    def get_index(self) -> dict[str, IndexEntry]:
        """Return all entries by name: several hundred bytes of memory per file."""
        return {entry.name: entry for entry in self.iter_entries()}

    def get_entry(self, name: str) -> IndexEntry:
        """Return where a file lies.

        Raises:
            KeyError: there is no such file.
        """
        entry = self._open_view().find(name)
        if entry is None:
            raise KeyError(f"File not found: {name!r} is not in {self._where}")
        return entry

    def get_file(self, name: str) -> bytes:
        """Return the payload of a file; of an external one, the object that holds it.

        Raises:
            KeyError: there is no such file.
            ExternalFile: the payload is an object of its own, and there is no store for it or it is not there.
            CorruptArchive: the payload is not whole, or is not what was archived.
            ValueError: an external file is longer than ``max_object_bytes``.
        """
        # The most travelled way: written out, `_open_view` would be a tenth of a warm read.
        if self._closed:
            self._open_view()
        try:
            return self._view.get(name)
        except ExternalFile as external:
            return self._fetch(external)

    def get_meta(self, name: str) -> dict[str, Any]:
        """Return the metadata of a file, external or not.

        Raises:
            KeyError: there is no such file.
            CorruptArchive: the metadata is not a JSON object.
        """
        return self._open_view().meta(name)

    def get_files_batch(self, names: Iterable[str], *, policy: ReadPolicy | None = None) -> dict[str, bytes]:
        """Return the payloads of many files with few reads, in the order asked for; unknown names are left out.

        Args:
            names: the names; asking twice for one is no error.
            policy: what to save: time (`LATENCY`), `BYTES` or `REQUESTS`. By default time: `LOCAL` for a local file.

        Raises:
            TypeError: ``names`` is a single string.
            ExternalFile, CorruptArchive, ValueError: as for `get_file`; nothing is returned.
        """
        if isinstance(names, (str, bytes)):
            raise TypeError("names must be a collection of names, not a single string; use get_file for one file")
        wanted = list(dict.fromkeys(names))
        view = self._open_view()
        policy = policy or (LOCAL if isinstance(self._source, FileSource) else LATENCY)
        found = view.get_many(wanted, policy)
        external = [file for file in found.values() if isinstance(file, ExternalFile)]
        fetched = self._fetch_all(external, policy) if external else {}
        return {name: fetched[name] if isinstance(file, ExternalFile) else file for name, file in found.items()}

    def get_stats(self) -> ArchiveStats:
        """Count what the archive holds."""
        return self._open_view().stats()

    def hint(self) -> bytes | None:
        """Return 64 bytes with which a reader of this archive reads nothing when opening; None in version 1."""
        return self._open_view().hint()

    def _open_view(self) -> ArchiveView:
        if self._closed:
            raise RuntimeError(f"{self._where}: the reader is closed")
        return self._view

    def _open(self, hint: bytes | None, cache: IndexCache | None, page_cache_bytes: int) -> ArchiveView:
        parts = SourceCache(cache, self._source)
        tail = None if hint else self._read_tail(parts)
        version = VERSION_2 if tail is None else _version_of(*tail, self._where)
        if tail is not None and version == VERSION_1:
            from des_platform.archive.v1.view import V1View

            return V1View(self._source, *tail, parts)
        if version == VERSION_2:
            from des_platform.archive.v2.view import V2View

            return V2View(
                self._source,
                self._where,
                tail=tail,
                hint=hint,
                cache=cache,
                page_cache_bytes=page_cache_bytes,
                max_object_bytes=self._max_object_bytes,
            )
        raise UnsupportedVersion(
            f"{self._where}: an archive of DES version {version}; this reader knows the versions 1 and 2"
        )

    def _read_tail(self, parts: SourceCache) -> tuple[bytes, int]:
        tail = parts.read_tail(TAIL_BYTES)
        if parts.active and tail[0][-_FOOTER_BYTES:][:8] != _FOOTER_MAGIC:
            # What a cache kept may be broken without the archive being so.
            return parts.refresh_tail(TAIL_BYTES)
        return tail

    def _fetch_all(self, external: list[ExternalFile], policy: ReadPolicy) -> dict[str, bytes]:
        if self._store() is None:
            raise external[0]
        with ThreadPoolExecutor(min(policy.concurrency, len(external))) as pool:
            return dict(zip((file.name for file in external), pool.map(self._fetch, external), strict=True))

    def _store(self) -> ObjectFolder | None:
        if self._big_files is None and self._owned is not None:
            return LocalFolder(Path(self._owned.path).parent)
        return self._big_files

    def _fetch(self, external: ExternalFile) -> bytes:
        store = self._store()
        if store is None:
            raise external
        if external.size > self._max_object_bytes:
            raise ValueError(
                f"{external.name!r} has {external.size} bytes: more than the max_object_bytes {self._max_object_bytes}"
            )
        missing: Exception = external
        for key in self._keys(external):
            try:
                data = store.get(key, max_bytes=external.size)
            except (LookupError, FileNotFoundError, ValueError) as error:
                missing = error
                continue
            if len(data) != external.size:
                raise CorruptArchive(
                    f"{self._where}: the object {key!r} of {external.name!r} has {len(data)} bytes or more, "
                    f"{external.size} were archived: was it replaced?"
                )
            return data
        raise external from missing

    def _keys(self, external: ExternalFile) -> list[str]:
        """Under which keys the object may stand: the one that was noted, then the one beside the archive."""
        # A source that knows its key in the store says so; a local archive's own directory is the store's root.
        beside = key_of(posixpath.dirname(str(getattr(self._source, "key", ""))), external.name)
        # An archive from outside must not make a reader give out whatever else lies beside it.
        trusted = self._big_files is not None or FOLDER in external.external_key.split("/")
        return list(dict.fromkeys([external.external_key, beside] if trusted else [beside]))


def _version_of(tail: bytes, size: int, where: str) -> int:
    if size < _MIN_ARCHIVE_BYTES:
        raise CorruptArchive(f"{where}: {size} bytes are too few: the smallest archive has {_MIN_ARCHIVE_BYTES}")
    if len(tail) != min(TAIL_BYTES, size):
        raise CorruptArchive(f"{where}: its end came as {len(tail)} of {size} bytes: cut or replaced since opened?")
    magic, version = tail[-_FOOTER_BYTES:][:8], tail[-_FOOTER_BYTES + 8]
    if magic != _FOOTER_MAGIC:
        raise CorruptArchive(
            f"{where}: the footer magic is {magic!r}, not {_FOOTER_MAGIC!r}: no DES archive, or a cut one"
        )
    return version
