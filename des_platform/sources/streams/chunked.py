"""Chunked files: from the records of a stream back to one whole file in the landing bucket.

The chunks stream through the codecs into the object, so memory holds what their reader does, and one chunk. Nothing
stands under the key before everything was checked. The key follows from the file's identifier, so putting the same file
together again changes nothing.

Each chunk is a stream of its codec's container by itself. Two-stage pipelines are those of the first chunked files:
each chunk is compressed by the first codec, the results are joined in base64 by '|', that text is cut anywhere, and
each part is compressed by the second codec.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from des_platform.codecs import CorruptStream, OutputTooLarge, UnknownCodec, decompress, get_codec
from des_platform.objectstore import PreconditionFailed, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from des_platform.codecs import Codec
    from des_platform.objectstore import ObjectInfo, ObjectStore
    from des_platform.sources.messages.chunk_manifest import ChunkedFile
    from des_platform.sources.streams.reading import ChunkReader

_ALIASES = {"lzma": "xz"}  # what the first chunked files call the .xz container
_DIVIDER = b"|"
_MAX_PIECE_BYTES = 1 << 26  # a chunk is a record, of at most 10 MiB, before it is compressed a second time
_TWO_STAGES = 2


class ChunkedFiles:
    """Puts chunked files together.

    Args:
        reader: of the chunks.
        store: the bucket in which the files are put together.
        prefix: start of their keys.
        max_bytes: largest file.
    """

    def __init__(self, reader: ChunkReader, store: ObjectStore, prefix: str, max_bytes: int) -> None:
        self.bucket = store.bucket
        self._reader = reader
        self._store = store
        self._prefix = prefix
        self._max_bytes = max_bytes

    def restore(self, file: ChunkedFile, told: Callable[[int, int], None] | None = None) -> ObjectInfo:
        """Put a file together, or find it where it was put together before.

        Args:
            file: what its manifest says.
            told: called with the number of bytes of each chunk and of the original so far, before the chunk is undone;
                what it raises ends the work, and nothing stands under the key.

        Returns:
            The object.

        Raises:
            ChunksMissing: there is not every chunk.
            InvalidKey: the object store cannot take the file's name.
            UnknownCodec: the pipeline names a codec that there is not.
            CorruptStream: chunks, sizes or a checksum are not what the manifest says, or too large.
            SourceUnavailable: the stream cannot be reached.
        """
        key = f"{self._prefix}{file.id}/{file.file_name}"
        try:
            self._put(key, file, told or _nobody)
        except (CorruptStream, UnknownCodec) as error:
            raise type(error)(f"{file.file_name}: {error}") from error
        return self._store.head(key)

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def _put(self, key: str, file: ChunkedFile, told: Callable[[int, int], None]) -> None:
        try:
            self._store.put(key, self._original(file, told), if_absent=True)
        except PreconditionFailed:
            fresh, there = digest_of(self._original(file, told)), self._store.digest(key)
            if (fresh.size, fresh.sha256) != (there.size, there.sha256):
                raise CorruptStream(
                    f"{self._store.bucket}/{key} is another file already: identifiers must be unique"
                ) from None

    def _original(self, file: ChunkedFile, told: Callable[[int, int], None]) -> Iterator[bytes]:
        """The original's bytes; raises at the end at the latest if they are not what the manifest says."""
        size, digest = 0, hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            for chunk in self._chunks(file):
                told(len(chunk), size)
                yield chunk

        for piece in undo(file.pipeline, chunks(), max_bytes=self._max_bytes):
            size += len(piece)
            digest.update(piece)
            yield piece
        if file.size is not None and size != file.size:
            raise CorruptStream(f"it has {size} bytes, its manifest says {file.size}")
        if file.sha256 is not None and digest.hexdigest() != file.sha256:
            raise CorruptStream(f"it has the SHA-256 {digest.hexdigest()}, its manifest says {file.sha256}")

    def _chunks(self, file: ChunkedFile) -> Iterator[bytes]:
        """The chunks, each checked before anybody decompresses it."""
        import xxhash

        size = 0
        for index, (number, data) in enumerate(self._reader.chunks(file)):
            size += len(data)
            if file.chunk_bytes is not None and size > file.chunk_bytes:
                raise CorruptStream(f"the chunks up to {number} have {size} bytes, all should have {file.chunk_bytes}")
            if file.checksums is not None and (found := xxhash.xxh3_64_intdigest(data)) != file.checksums[index]:
                raise CorruptStream(
                    f"chunk {index} (record {number}) has the checksum {found:016x}, its manifest says "
                    f"{file.checksums[index]:016x}"
                )
            yield data
        if file.chunk_bytes is not None and size != file.chunk_bytes:
            raise CorruptStream(f"the chunks have {size} bytes, their manifest says {file.chunk_bytes}")


def _nobody(_chunk_bytes: int, _original_bytes: int) -> None:
    """Nobody is told."""


def undo(pipeline: Iterable[str], chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes]:
    """Undo a pipeline of codecs.

    Args:
        pipeline: names of one or two codecs, in the order in which they were applied.
        chunks: the records.
        max_bytes: most bytes that may come out.

    Raises:
        UnknownCodec: there is no such codec.
        CorruptStream: the chunks are not what the pipeline writes, or more comes out.
    """
    codecs = [get_codec(_ALIASES.get(name.lower(), name.lower())) for name in pipeline]
    if len(codecs) == 1:
        pieces: Iterable[bytes] = chunks
    elif len(codecs) == _TWO_STAGES:
        # Base64 makes four bytes of three; what does not compress grows a little, never by half.
        pieces = _pieces(decompress(codecs[1], chunks, max_size=2 * max_bytes + _MAX_PIECE_BYTES))
    else:
        raise CorruptStream(f"a pipeline of {len(codecs)} codecs ({' + '.join(pipeline)}): there are one or two")
    left = max_bytes
    for piece in pieces:
        for original in _limited(codecs[0], piece, left, max_bytes):
            left -= len(original)
            yield original


def _limited(codec: Codec, piece: bytes, left: int, max_bytes: int) -> Iterator[bytes]:
    try:
        yield from decompress(codec, (piece,), max_size=left)
    except OutputTooLarge:
        raise OutputTooLarge(
            f"{codec.name}: more than the {max_bytes} bytes came out that are the most here: chunked_max_bytes of a "
            "queue, max_bytes of a stream job"
        ) from None


def _pieces(text: Iterable[bytes]) -> Iterator[bytes]:
    """What stands between dividers, decoded."""
    waiting = bytearray()
    for chunk in text:
        head, *others = chunk.split(_DIVIDER)
        waiting += head
        for other in others:
            yield _decoded(waiting)
            waiting = bytearray(other)
        if len(waiting) > _MAX_PIECE_BYTES:
            raise CorruptStream(f"a chunk of more than {_MAX_PIECE_BYTES} bytes: no divider was found")
    yield _decoded(waiting)


def _decoded(piece: bytearray) -> bytes:
    try:
        return base64.b64decode(piece, validate=True)
    except binascii.Error as error:
        raise CorruptStream(f"what stands between two dividers is not base64: {error}") from None
