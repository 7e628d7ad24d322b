"""Where the chunks of a file are read, in the order of their numbers: from a shard of a stream, or from a bucket.

A chunk that is not there yet, or no longer, is `ChunksMissing`, which may heal. The records of a stream are fetched by
their sequence numbers, a page at a time, so memory holds one page; objects are read one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from des_platform.codecs import CorruptStream
from des_platform.objectstore import ObjectNotFound, ObjectTooLarge
from des_platform.sources.source import SourceUnavailable
from des_platform.sources.streams.writing import OBJECT_CHUNK_BYTES, chunk_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_kinesis import KinesisClient

    from des_platform.objectstore import ObjectStore
    from des_platform.sources.messages.chunk_manifest import ChunkedFile

_PAGE_RECORDS = 100
_EMPTY_PAGES = 10  # a stream may answer with empty pages before it comes to a record


class ChunksMissing(Exception):
    """The chunks that a manifest names are not there: not yet, or no longer."""


class ChunkReader(Protocol):
    """Reads chunks."""

    def chunks(self, file: ChunkedFile) -> Iterator[tuple[int, bytes]]:
        """The chunks of a file with their numbers, in order.

        Raises:
            ChunksMissing: there is not every chunk.
            CorruptStream: a chunk is larger than any.
            SourceUnavailable: the stream cannot be read.
            StoreUnavailable: the store cannot be read.
        """

    def close(self) -> None:
        """Close the connections."""


class ObjectChunks:
    """Chunks that are objects.

    Args:
        store: the bucket.
        prefix: start of their keys.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def chunks(self, file: ChunkedFile) -> Iterator[tuple[int, bytes]]:
        """The chunks of a file; errors as for `ChunkReader.chunks`."""
        for number in file.sequence_numbers:
            key = chunk_key(self._prefix, file.id, file.shard_id, number)
            try:
                yield number, self._store.get(key, max_bytes=OBJECT_CHUNK_BYTES)
            except ObjectNotFound as error:
                raise ChunksMissing(
                    f"chunk {number} of {file.file_name} is not there: {error}; it has not come yet, a rule of the "
                    "bucket has removed it, or the manifest's sender puts its chunks somewhere else"
                ) from None
            except ObjectTooLarge as error:
                raise CorruptStream(str(error)) from None

    def close(self) -> None:
        """Nothing is open."""


class StreamChunks:
    """Chunks that are records of a stream.

    Args:
        client: of the stream's server.
        stream: its name.
    """

    def __init__(self, client: KinesisClient, stream: str) -> None:
        self._client = client
        self._stream = stream

    def chunks(self, file: ChunkedFile) -> Iterator[tuple[int, bytes]]:
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

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

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
