"""Archives in an object store: `DesReader` over one object, with the store as the place of the big files.

The room of the object store is not known here: whatever has `as_source` and `get` will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from des_platform.archive.reader import MAX_OBJECT_BYTES, PAGE_CACHE_BYTES, DesReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from des_platform.archive.cache import IndexCache
    from des_platform.archive.source import ByteSource


class ArchiveStore(Protocol):
    """A bucket: gives objects as sources of bytes, and holds the big files' objects, too."""

    def as_source(self, key: str, *, if_match: str | None = None) -> ByteSource:
        """Return an object as a source of bytes of one version of it; ``if_match`` says of which. Asks nothing yet."""

    def get(self, key: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes; more than ``max_bytes`` are refused unread."""

    def put(self, key: str, data: bytes, *, attributes: Mapping[str, str] | None = None) -> object:
        """Store an object."""


class S3DesReader(DesReader):
    """Reads an archive that is an object of a store; the store's errors pass through.

    Args:
        store: the bucket.
        key: the archive's key.
        etag: the only version to read. With it an index in ``cache`` is found before the first request; without it
            the version that the first answer shows is the only one that is read.
        hint: the archive's 64 bytes: the first request is for a page, and none is for the archive's end.
        cache: keeps indexes between readers and processes.
        page_cache_bytes: how much of the index is kept in memory.
        max_object_bytes: a file that is longer is not read.

    Raises:
        CorruptArchive: this is no archive, or its header or footer is broken.
        UnsupportedVersion: this is an archive of another version.
    """

    def __init__(
        self,
        store: ArchiveStore,
        key: str,
        *,
        etag: str | None = None,
        hint: bytes | None = None,
        cache: IndexCache | None = None,
        page_cache_bytes: int = PAGE_CACHE_BYTES,
        max_object_bytes: int = MAX_OBJECT_BYTES,
    ) -> None:
        super().__init__(
            store.as_source(key, if_match=etag),
            hint=hint,
            cache=cache,
            big_files=store,
            page_cache_bytes=page_cache_bytes,
            max_object_bytes=max_object_bytes,
        )

    def list_files(self, prefix: str = "", *, include_external: bool = True) -> list[str]:
        """Return the names of all files that start so; see `iter_entries` for their order.

        Args:
            prefix: only names that start so.
            include_external: whether files count whose payload is an object of its own.
        """
        if include_external:
            return super().list_files(prefix)
        return [entry.name for entry in self.iter_entries(prefix) if not entry.is_external]
