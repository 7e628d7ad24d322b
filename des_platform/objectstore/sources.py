"""One version of one object as a random-access source of bytes, which is what the archive reader takes.

Invariants: nothing is asked before the first read; the version that the first answer showed is the only one that is
ever read, and each later request names it (`If-Match`), so an object that is replaced meanwhile raises
`PreconditionFailed` and two versions are never mixed. Where a store gives no etags there is nothing to hold on to.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from des_platform.objectstore.errors import PreconditionFailed
from des_platform.objectstore.ranges import check_range

if TYPE_CHECKING:
    from des_platform.objectstore.downloads import Downloader
    from des_platform.objectstore.objects import ObjectInfo


class ObjectSource:
    """One object as a source of bytes; several threads may read at once. `ObjectStore.as_source` makes them.

    Attributes:
        server: names the store that holds the bucket; the same for every bucket that it can copy from by itself.
        bucket: the bucket's name.
        key: the object's key.

    Args:
        downloader: reads the bucket.
        server: as the attribute.
        bucket: as the attribute.
        key: as the attribute.
        if_match: the only version to read; None for the one that the first answer shows.
    """

    def __init__(self, downloader: Downloader, server: str, bucket: str, key: str, if_match: str | None) -> None:
        self.server = server
        self.bucket = bucket
        self.key = key
        self._downloader = downloader
        self._lock = Lock()
        self._etag = if_match
        self._size: int | None = None

    def __repr__(self) -> str:
        return f"ObjectSource({self.bucket!r}, {self.key!r})"

    @property
    def identity(self) -> str | None:
        """`bucket/key/etag`, or None while no answer has shown the version."""
        return f"{self.bucket}/{self.key}/{self._etag}" if self._etag else None

    def read_tail(self, length: int) -> tuple[bytes, int]:
        """Read the last `length` bytes, or all there are, and the size of the object.

        One request; two where the object is empty or the server has no ranges that count from the end.

        Raises:
            ObjectNotFound: there is no such object.
            PreconditionFailed: the object was replaced.
            ValueError: `length` is below 1.
        """
        check_range(0, length)
        if not length:
            raise ValueError("a tail of 0 bytes is none; ask for at least 1")
        data, info = self._downloader.tail(self.key, length, self._etag)
        self._pin(info)
        return data, info.size

    def read_range(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer only where the object ends. 0 bytes need no request.

        Raises:
            ObjectNotFound: there is no such object.
            RangeNotSatisfiable: the range starts past the object's last byte.
            PreconditionFailed: the object was replaced.
        """
        check_range(offset, length)
        if not length:
            return b""
        data, info = self._downloader.piece(self.key, offset, length, self._etag)
        self._pin(info)
        return data

    def version(self) -> tuple[str, int]:
        """The etag and the size in bytes of the version that is read; asks the store unless a read has shown them.

        Raises:
            ObjectNotFound: there is no such object.
            PreconditionFailed: the object was replaced.
        """
        with self._lock:
            if self._size is not None:
                return self._etag or "", self._size
        info = self._downloader.head(self.key)
        self._pin(info)
        return info.etag, info.size

    def check(self) -> None:
        """Ask the store whether the version that was read is still there.

        Raises:
            ObjectNotFound: the object is gone.
            PreconditionFailed: the object was replaced.
        """
        self._pin(self._downloader.head(self.key))

    def _pin(self, info: ObjectInfo) -> None:
        with self._lock:
            # Of first reads at the same time each asked for any version: they must have met the same one.
            if self._etag is not None and info.etag != self._etag:
                raise PreconditionFailed(
                    f"bucket {self.bucket!r}, key {self.key!r}: its etag is {info.etag!r}, not {self._etag!r}: "
                    "it was replaced; open it anew"
                )
            self._etag = info.etag or None
            self._size = info.size
