"""Where the chunks of a file are put, in order: onto one shard of a stream, as objects in a bucket, or nowhere.

A writer puts one chunk after the other and says where it lies. Whatever a lost answer or a killed worker leaves there
twice does no harm: a manifest names the chunks that were acknowledged. Chunks that are objects lie under a folder of
their file's identifier and version, so a file that changed never changes the chunks of a manifest that was sent; they
stay until a rule of the bucket removes them, as the records of a stream do until their retention has passed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

    from des_platform.objectstore import ObjectStore

KINESIS_RECORD_BYTES = (1 << 20) - 32
"""Most bytes of a chunk in a stream: a record may have 1 MiB, its partition key of 32 characters included."""
OBJECT_CHUNK_BYTES = 64 << 20
"""Most bytes of a chunk that is an object: whoever reads it holds it whole."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record lies."""

    shard_id: str
    sequence_number: int


@dataclass(frozen=True, slots=True)
class Original:
    """A file that is put in chunks.

    Attributes:
        id: its identifier: ASCII letters, digits, '.', '_' and '-'.
        name: its name.
        version: tells its content apart from another one under the same identifier; as `id`, and no longer than 64.
        size: bytes.
    """

    id: str
    name: str
    version: str
    size: int


class ChunkWriter(Protocol):
    """Puts chunks.

    Attributes:
        most_bytes: of one chunk, compressed.
        manifest_bytes: about what a chunk takes in a manifest.
    """

    most_bytes: int
    manifest_bytes: int

    def put(self, file: Original, number: int, data: bytes, last: Placed | None) -> Placed:
        """Put a chunk.

        Args:
            file: whose it is.
            number: which of its chunks, from 0.
            data: its compressed bytes.
            last: where the one before it lies.

        Raises:
            SourceUnavailable: the stream does not take it.
            StoreUnavailable: the store does not take it.
        """

    def close(self) -> None:
        """Close the connections."""


class StreamWriter:
    """Chunks are records of a stream; those of one file lie on one shard.

    Args:
        client: of the stream's server.
        stream: its name.
    """

    most_bytes = KINESIS_RECORD_BYTES
    manifest_bytes = 71  # a sequence number has 56 digits

    def __init__(self, client: KinesisClient, stream: str) -> None:
        self._client = client
        self._stream = stream

    def put(self, file: Original, number: int, data: bytes, last: Placed | None) -> Placed:  # noqa: ARG002 - Kinesis counts itself
        """Put a chunk; arguments and errors as for `ChunkWriter.put`."""
        from botocore.exceptions import BotoCoreError, ClientError

        after: Any = {} if last is None else {"SequenceNumberForOrdering": str(last.sequence_number)}
        key = partition_key(file.name)
        try:
            answer = self._client.put_record(StreamName=self._stream, PartitionKey=key, Data=data, **after)
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailable(f"the stream {self._stream} does not take chunks: {error}") from error
        return Placed(answer["ShardId"], int(answer["SequenceNumber"]))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class ObjectWriter:
    """Chunks are objects; a file's folder stands for the shard.

    Args:
        store: the bucket.
        prefix: start of their keys.
    """

    most_bytes = OBJECT_CHUNK_BYTES
    manifest_bytes = 18

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def put(self, file: Original, number: int, data: bytes, last: Placed | None) -> Placed:  # noqa: ARG002 - a key needs no order
        """Put a chunk; arguments and errors as for `ChunkWriter.put`."""
        self._store.put(chunk_key(self._prefix, file.id, file.version, number), data)
        return Placed(file.version, number)

    def close(self) -> None:
        """Nothing is open."""


class NowhereWriter:
    """Chunks are put nowhere: what they would take is counted, and refused where another writer would refuse it.

    Args:
        instead_of: the writer whose limits hold.
    """

    def __init__(self, instead_of: type[StreamWriter | ObjectWriter]) -> None:
        self.most_bytes = instead_of.most_bytes
        self.manifest_bytes = instead_of.manifest_bytes

    def put(self, file: Original, number: int, data: bytes, last: Placed | None) -> Placed:  # noqa: ARG002 - nothing is put
        """Put nothing."""
        return Placed(file.version, number)

    def close(self) -> None:
        """Nothing is open."""


def partition_key(name: str) -> str:
    """The partition key of a file's records: one key, so one shard."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def chunk_key(prefix: str, identifier: str, folder: str, number: int) -> str:
    """The key of a chunk that is an object."""
    return f"{prefix}{identifier}/{folder}/{number:06d}"
