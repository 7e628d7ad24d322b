"""Writing one object piece by piece, by whoever has the bytes: what the kinds of store have in common.

Invariants: a reader sees the whole object or none, and none until `commit` returns; any error ends the sink and takes
back what was sent, so only a killed process leaves an unfinished upload (`ObjectStore.finish_torn_upload`).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from des_platform.objectstore.errors import IntegrityError
from des_platform.objectstore.uploads import PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.objectstore.uploads import PutOptions


class RangeSource(Protocol):
    """What a sink can copy from."""

    def read_range(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`; fewer only where the source ends."""


@dataclass(frozen=True, slots=True)
class SinkResult:
    """What a sink stored.

    Attributes:
        key: the object's key.
        size: bytes.
        etag: as in `ObjectInfo`.
        sha256: SHA-256 of the bytes, 64 lower-case hexadecimal digits; None where a part was copied.
    """

    key: str
    size: int
    etag: str
    sha256: str | None


class ObjectSink(ABC):
    """One object on its way into a bucket; `ObjectStore.open_sink` makes them. For one thread at a time.

    Args:
        bucket: the bucket's name.
        key: the object's key.
    """

    def __init__(self, bucket: str, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._copied = False
        self._ended = False
        self._result: SinkResult | None = None

    def __repr__(self) -> str:
        return f"ObjectSink({self._bucket!r}, {self._key!r})"

    @property
    def result(self) -> SinkResult:
        """What `commit` stored.

        Raises:
            RuntimeError: nothing is committed.
        """
        if self._result is None:
            raise RuntimeError(f"{self!r} has no result: it is not committed")
        return self._result

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Add these bytes, one part after the other; they are not used after the return.

        Raises:
            StoreUnavailable: the store refused these bytes or, since they go in the background, earlier ones.
            PreconditionFailed: the key is taken already.
            RuntimeError: the sink has ended.
        """
        with self._or_abort():
            for part in parts:
                view = memoryview(part).cast("B")
                if not self._copied:
                    self._sha256.update(view)
                self._size += len(view)
                self._take(view)

    def copy(self, source: RangeSource, length: int) -> None:
        """Add the first `length` bytes of a source, without moving them through here where the store can.

        Raises:
            IntegrityError: the source has fewer bytes.
            ValueError: bytes were added before; the sink stays as it was.
            PreconditionFailed: an object that is copied was replaced; `commit` may raise it too.
            RuntimeError: the sink has ended.
        """
        if self._size or length < 0:
            raise ValueError(f"{self!r} has {self._size} bytes already; a copy of {length} bytes can only come first")
        with self._or_abort():
            if length:
                self._copied = True
                self._copy(source, length)
                self._size += length

    def commit(self) -> None:
        """Make the object appear; `result` describes it.

        Raises:
            PreconditionFailed: the key is taken, or the object that was copied from was replaced.
            StoreUnavailable: the store refused or did not answer.
            RuntimeError: the sink has ended.
        """
        with self._or_abort():
            etag = self._publish()
        self._ended = True
        self._result = SinkResult(self._key, self._size, etag, None if self._copied else self._sha256.hexdigest())

    def abort(self) -> None:
        """Take back what was sent, if the sink has not ended."""
        if not self._ended:
            self._ended = True
            self._drop()

    @contextmanager
    def _or_abort(self) -> Iterator[None]:
        if self._ended:
            raise RuntimeError(f"{self!r} has ended: open another one")
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def _stream_through(self, source: RangeSource, length: int, offset: int = 0) -> None:
        while offset < length:
            piece = source.read_range(offset, min(PART_BYTES, length - offset))
            if not piece:
                raise IntegrityError(f"{source!r} ended at byte {offset}, before the {length} bytes to copy")
            self._take(memoryview(piece))
            offset += len(piece)

    @abstractmethod
    def _take(self, data: memoryview) -> None:
        """Add bytes; keep no reference to them."""

    @abstractmethod
    def _copy(self, source: RangeSource, length: int) -> None:
        """Add the first bytes of a source, at least one."""

    @abstractmethod
    def _publish(self) -> str:
        """Finish the object and return its etag."""

    @abstractmethod
    def _drop(self) -> None:
        """Leave nothing behind; keep silent about a failure, because what led here matters more."""


class SinkOpener(Protocol):
    """How a bucket takes objects that come piece by piece."""

    server: str

    def open(self, key: str, options: PutOptions) -> ObjectSink:
        """Open a sink."""

    def finish_torn(self, key: str) -> str | None:
        """Make an object of what an unfinished upload has stored; its etag, or None without such an upload."""
