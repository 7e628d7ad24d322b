"""One object that holds one file's original bytes: whole, or any range of them.

An index beside a compressed object (`index_key`) leads to the frames that hold a range, and lets frames be decompressed
side by side. It is a help, not a need: where it is lost or damaged, the object is read from its beginning, and the log
says so. One that leads to other bytes than it promises is a `CorruptStream`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.catalog.files import index_key
from des_platform.codecs import CorruptStream, FrameIndex, decompress, decompress_frames
from des_platform.objectstore import IntegrityError, ObjectNotFound
from des_platform.objectstore.store import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from des_platform.codecs import Codec
    from des_platform.objectstore import ObjectStore

_LOG = logging.getLogger(__name__)

_MAX_INDEX_BYTES = 64 << 20  # of an original of 5 TB in frames of 900 kB


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where a file's bytes are.

    Attributes:
        store: the bucket.
        key: the object's key.
        codec: how it is compressed.
        size: bytes of the original.
        if_match: only this version of the object.
        indexed: whether an index stands beside it.
    """

    store: ObjectStore
    key: str
    codec: Codec
    size: int
    if_match: str | None = None
    indexed: bool = False

    def content(self, index: FrameIndex | None, threads: int) -> Iterator[bytes]:
        """The original's bytes; through the index where there is one, frames side by side."""
        if index is None:
            chunks = self.store.stream(self.key, if_match=self.if_match)
            return decompress(self.codec, chunks, max_size=self.size, threads=threads)
        return decompress_frames(self.codec, index, self._read, threads=threads)

    def range(self, index: FrameIndex | None, offset: int, length: int, threads: int) -> Iterator[bytes]:
        """A range of the original, which lies within it; without an index it takes reading all that stands before."""
        if self.codec.name == "store":
            return self._requests(offset, length)
        if index is None:
            return part_of(self.content(None, threads), offset, length)
        return decompress_frames(self.codec, index, self._read, offset=offset, length=length, threads=threads)

    def load_index(self) -> FrameIndex | None:
        """Fetch the index; None where there is none, or none that can be read."""
        if not self.indexed:
            return None
        try:
            index = FrameIndex.from_bytes(self.store.get(index_key(self.key), max_bytes=_MAX_INDEX_BYTES))
        except (ObjectNotFound, IntegrityError, CorruptStream) as error:
            problem = str(error)
        else:
            if index.original_size == self.size:
                return index
            problem = f"it is of {index.original_size} bytes, the file has {self.size}"
        _LOG.warning("the index of %s/%s is not used: %s", self.store.bucket, self.key, problem)
        return None

    def _requests(self, offset: int, length: int) -> Iterator[bytes]:
        for start in range(offset, offset + length, CHUNK_BYTES):
            yield self._read(start, min(CHUNK_BYTES, offset + length - start))

    def _read(self, offset: int, length: int) -> bytes:
        return self.store.get_range(self.key, offset, length, if_match=self.if_match)


def part_of(pieces: Iterable[bytes], offset: int, length: int) -> Iterator[bytes]:
    """Cut a range out of a stream of bytes, and take no more of it than that.

    Raises:
        IntegrityError: the stream ends before the range does.
    """
    position, end = 0, offset + length
    for piece in pieces:
        wanted = piece[max(0, offset - position) : max(0, end - position)]
        position += len(piece)
        if wanted:
            yield wanted
        if position >= end:
            return
    if position < end:
        raise IntegrityError(f"{position} bytes came where {end} were catalogued")
