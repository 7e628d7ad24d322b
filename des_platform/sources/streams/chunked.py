"""Chunked files: from the records of a stream back to one whole file in the landing bucket.

The records are fetched by their sequence numbers, a page at a time, and stream through the codecs into the object, so
memory holds one page and one chunk. Nothing stands under the key before everything was checked. The key follows from
the file's identifier, so putting the same file together again changes nothing.

Two-stage pipelines are those of the first chunked files: each chunk is compressed by the first codec, the results are
joined in base64 by '|', that text is cut anywhere, and each part is compressed by the second codec.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from des_platform.codecs import CorruptStream, OutputTooLarge, decompress, get_codec
from des_platform.objectstore import PreconditionFailed, digest_of
from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_kinesis import KinesisClient

    from des_platform.codecs import Codec
    from des_platform.objectstore import ObjectInfo, ObjectStore
    from des_platform.sources.messages.chunk_manifest import ChunkedFile

_ALIASES = {"lzma": "xz"}  # what the first chunked files call the .xz container
_DIVIDER = b"|"
_PAGE_RECORDS = 100
_EMPTY_PAGES = 10  # a stream may answer with empty pages before it comes to a record
_MAX_PIECE_BYTES = 1 << 26  # a chunk is a record, of at most 10 MiB, before it is compressed a second time
_TWO_STAGES = 2


class ChunksMissing(Exception):
    """The stream does not hold the chunks that a manifest names: not yet, or no longer."""


class ChunkedFiles:
    """Puts chunked files together.

    Args:
        client: of the stream's server.
        stream: name of the stream that holds the chunks.
        store: the bucket in which the files are put together.
        prefix: start of their keys.
        max_bytes: largest file.
    """

    def __init__(self, client: KinesisClient, stream: str, store: ObjectStore, prefix: str, max_bytes: int) -> None:
        self.bucket = store.bucket
        self._client = client
        self._stream = stream
        self._store = store
        self._prefix = prefix
        self._max_bytes = max_bytes

    def restore(self, file: ChunkedFile) -> ObjectInfo:
        """Put a file together, or find it where it was put together before.

        Returns:
            The object.

        Raises:
            ChunksMissing: the stream does not hold every chunk.
            InvalidKey: the object store cannot take the file's name.
            UnknownCodec: the pipeline names a codec that there is not.
            CorruptStream: chunks, sizes or the SHA-256 are not what the manifest says, or too large.
            SourceUnavailable: the stream cannot be reached.
        """
        key = f"{self._prefix}{file.id}/{file.file_name}"
        try:
            self._store.put(key, self._original(file), if_absent=True)
        except PreconditionFailed:
            fresh, there = digest_of(self._original(file)), self._store.digest(key)
            if (fresh.size, fresh.sha256) != (there.size, there.sha256):
                raise CorruptStream(
                    f"{self._store.bucket}/{key} is another file already: identifiers must be unique"
                ) from None
        return self._store.head(key)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _original(self, file: ChunkedFile) -> Iterator[bytes]:
        """The original's bytes; raises at the end at the latest if they are not what the manifest says."""
        size, digest = 0, hashlib.sha256()
        for piece in undo(file.pipeline, self._chunks(file), max_bytes=self._max_bytes):
            size += len(piece)
            digest.update(piece)
            yield piece
        if file.size is not None and size != file.size:
            raise CorruptStream(f"{file.file_name} has {size} bytes, its manifest says {file.size}")
        if file.sha256 is not None and digest.hexdigest() != file.sha256:
            raise CorruptStream(
                f"{file.file_name} has the SHA-256 {digest.hexdigest()}, its manifest says {file.sha256}"
            )

    def _chunks(self, file: ChunkedFile) -> Iterator[bytes]:
        size = 0
        for number, data in self._records(file):
            size += len(data)
            if file.chunk_bytes is not None and size > file.chunk_bytes:
                raise CorruptStream(f"the chunks up to {number} have {size} bytes, all should have {file.chunk_bytes}")
            yield data
        if file.chunk_bytes is not None and size != file.chunk_bytes:
            raise CorruptStream(f"the chunks have {size} bytes, their manifest says {file.chunk_bytes}")

    def _records(self, file: ChunkedFile) -> Iterator[tuple[int, bytes]]:
        """The named records. Each page begins with the next of them: what lies between them is hardly read."""
        left = list(reversed(file.sequence_numbers))
        while left:
            page = self._page(file.shard_id, left[-1])
            if not page or page[0][0] != left[-1]:
                raise ChunksMissing(
                    f"{self._stream}/{file.shard_id} does not hold record {left[-1]} of {file.file_name}: "
                    "it is not there yet, its retention has passed, or the queue names another stream"
                )
            for number, data in page:
                if left and number == left[-1]:
                    left.pop()
                    yield number, data

    def _page(self, shard: str, number: int) -> list[tuple[int, bytes]]:
        """The first records from a sequence number on; none if there are none."""
        from botocore.exceptions import BotoCoreError, ClientError

        faults = self._client.exceptions
        try:
            iterator = self._client.get_shard_iterator(
                StreamName=self._stream,
                ShardId=shard,
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                StartingSequenceNumber=str(number),
            )["ShardIterator"]
            for _ in range(_EMPTY_PAGES):
                answer = self._client.get_records(ShardIterator=iterator, Limit=_PAGE_RECORDS)
                if answer["Records"]:
                    return [(int(record["SequenceNumber"]), record["Data"]) for record in answer["Records"]]
                if not answer.get("NextShardIterator") or not answer.get("MillisBehindLatest"):
                    break
                iterator = answer["NextShardIterator"]
        except (faults.ResourceNotFoundException, faults.InvalidArgumentException) as error:
            raise ChunksMissing(f"{self._stream}/{shard} cannot be read at record {number}: {error}") from None
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailable(f"the stream {self._stream} cannot be read: {error}") from error
        return []


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
        yield from decompress(codecs[0], chunks, max_size=max_bytes)
        return
    if len(codecs) != _TWO_STAGES:
        raise CorruptStream(f"a pipeline of {len(codecs)} codecs ({' + '.join(pipeline)}): there are one or two")
    first, second = codecs
    # Base64 makes four bytes of three; what does not compress grows a little, never by half.
    text = decompress(second, chunks, max_size=2 * max_bytes + _MAX_PIECE_BYTES)
    left = max_bytes
    for piece in _pieces(text):
        for original in _limited(first, piece, left, max_bytes):
            left -= len(original)
            yield original


def _limited(codec: Codec, piece: bytes, left: int, max_bytes: int) -> Iterator[bytes]:
    try:
        yield from decompress(codec, (piece,), max_size=left)
    except OutputTooLarge:
        raise OutputTooLarge(f"{codec.name}: more than the {max_bytes} bytes of chunked_max_bytes came out") from None


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
