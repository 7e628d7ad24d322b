"""Archives behind any of fsspec's own filesystems, for reading: `http://`, `gs://`, `memory://` and the like.

How it fails: what the filesystem raises passes through. It has no conditional requests, so that an archive that is
replaced while it is read is noticed by its own checksums alone; therefore these sources have no identity to cache by.
"""

from __future__ import annotations

import posixpath
from threading import Lock
from typing import TYPE_CHECKING

import fsspec

from des_platform.objectstore import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

_BIG_FILES = "_bigFiles"


class RemoteSource:
    """One file of a filesystem of fsspec as a source of bytes; several threads may read at once.

    Args:
        url: the file's address, its scheme included.

    Raises:
        ValueError: fsspec knows no such scheme.
        ImportError: what the scheme needs is not installed.
    """

    identity: str | None = None

    def __init__(self, url: str) -> None:
        self._url = url
        self._filesystem, self._path = fsspec.core.url_to_fs(url)
        self._lock = Lock()
        self._size: int | None = None

    def __repr__(self) -> str:
        return f"RemoteSource({self._url!r})"

    def read_tail(self, length: int) -> tuple[bytes, int]:
        """Return the last ``length`` bytes, or all there are, and the size of the file.

        Raises:
            FileNotFoundError: there is no such file.
        """
        size = self._known_size()
        start = max(0, size - length)
        return (self.read_range(start, size - start) if size else b""), size

    def read_range(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on; fewer only where the file ends.

        Raises:
            IntegrityError: the server sent more than was asked for.
        """
        data: bytes = self._filesystem.cat_file(self._path, start=offset, end=offset + length)
        if len(data) > length:
            raise IntegrityError(
                f"{self._url}: {len(data)} bytes came for the {length} that were asked for: its server knows no "
                "ranges; download the archive and read the copy"
            )
        return data

    def _known_size(self) -> int:
        with self._lock:
            if self._size is None:
                size = self._filesystem.info(self._path)["size"]
                if not isinstance(size, int):
                    raise IntegrityError(f"{self._url}: its server does not say how long it is; download it first")
                self._size = size
            return self._size


class RemoteFolder:
    """The objects of big files beside an archive, for reading.

    Args:
        url: the archive's address.
    """

    def __init__(self, url: str) -> None:
        self._filesystem, path = fsspec.core.url_to_fs(url)
        self._root = posixpath.dirname(path)

    def put(self, key: str, data: bytes, *, attributes: Mapping[str, str] | None = None) -> None:
        """Refuse: such an archive is only read.

        Raises:
            PermissionError: always.
        """
        raise PermissionError(f"{key!r} ({len(data)} bytes, {attributes}) is not stored: {self._root} is only read")

    def get(self, key: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes; of a longer one than ``max_bytes``, one byte more than that.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the key leads to something else than a big file's object.
        """
        # The archive is from outside and names the key: it must not make us read whatever else the server has.
        segments = key.split("/")
        if _BIG_FILES not in segments or ".." in segments:
            raise ValueError(f"the key {key[:200]!r} is not that of a big file beside the archive")
        data: bytes = self._filesystem.cat_file(f"{self._root}/{key}", start=0, end=max_bytes + 1)
        return data
