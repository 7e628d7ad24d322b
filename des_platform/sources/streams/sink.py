"""Kinesis streams as a sink: records in the order of their keys, and whole files in chunks.

Records of one key keep their order: a request never holds two of them, since a request's records may fail one by one,
and the next request is sent once the last one is complete. Whatever a lost answer leaves twice in the stream does no
harm: messages are recorded once, and the manifest of a chunked file names the records that were acknowledged.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from des_platform.codecs import compress_bytes, get_codec
from des_platform.objectstore import check_key
from des_platform.sources.messages.chunk_manifest import ChunkedFile, chunk_manifest
from des_platform.sources.queues.queue import Outgoing
from des_platform.sources.retrying import retrying
from des_platform.sources.streams.source import kinesis_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from des_platform.sources.queues.queue import Queue
    from des_platform.sources.streams.source import StreamConfig

# Of Kinesis, for one PutRecords; a record alone may have as much where the stream was set to take it, else 1 MiB.
MOST_RECORDS = 500
MOST_BYTES = 10 << 20
CHUNK_BYTES = 400 << 10
"""Bytes of a file in each chunk, before it is compressed."""
_ATTEMPTS = 8


class RecordsRefused(Exception):
    """The stream took some records of a request and not these, time and again."""


class ShardChanged(Exception):
    """The stream was split or merged while a file was put, so its chunks lie in two shards: put it again."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record lies."""

    shard_id: str
    sequence_number: int


class StreamSink:
    """Puts records into a stream.

    Args:
        config: the stream.
    """

    def __init__(self, config: StreamConfig) -> None:
        self._stream = config.stream
        self._client = kinesis_client(config.endpoint, config.region, config.timeout_seconds)

    def put(self, records: Iterable[tuple[str, bytes]]) -> list[Placed]:
        """Put records.

        Args:
            records: partition key and data of each; records of one key keep their order.

        Returns:
            Where each lies, in the order of the records.

        Raises:
            RecordsRefused: the stream refused some of them again and again; what went before them is in it.
            ValueError: a record is larger than any request.
        """
        placed: list[Placed] = []
        remaining = iter(records)
        while window := list(islice(remaining, MOST_RECORDS)):
            placed += self._put_window(window)
        return placed

    def put_file(
        self, name: str, chunks: Iterable[bytes], queue: Queue, *, codec: str = "zstd", identifier: str | None = None
    ) -> ChunkedFile:
        """Put a file in chunks, each compressed, onto one shard, and then announce it in a queue.

        Args:
            name: the file's name.
            chunks: its bytes, cut anywhere.
            queue: is sent the manifest; on a FIFO queue in the shard's group.
            codec: name of the codec that compresses each chunk.
            identifier: the file's; a new one if None. A queue that dropped duplicates would drop a file's second
                manifest under the same one.

        Returns:
            What was announced.

        Raises:
            InvalidKey: no object store could take the name.
            UnknownCodec: there is no such codec.
            ShardChanged: the stream was split or merged meanwhile; nothing was announced.
        """
        check_key(name)
        compressor = get_codec(codec)
        key = partition_key(name)
        digest, size, chunk_bytes = hashlib.sha256(), 0, 0
        placed: list[Placed] = []
        for piece in _pieces(chunks, CHUNK_BYTES):
            digest.update(piece)
            data = compress_bytes(compressor, piece)
            size, chunk_bytes = size + len(piece), chunk_bytes + len(data)
            placed.append(self._put_after(key, data, placed[-1] if placed else None))
        shards = {found.shard_id for found in placed}
        if len(shards) != 1:
            raise ShardChanged(f"{self._stream} was resharded while {name} was put: put it again")
        file = ChunkedFile(
            identifier or str(uuid.uuid4()),
            name,
            shards.pop(),
            tuple(found.sequence_number for found in placed),
            (codec,),
            chunk_bytes,
            size,
            digest.hexdigest(),
        )
        queue.send([Outgoing(chunk_manifest(file), file.shard_id, file.id)])
        return file

    def _put_after(self, key: str, data: bytes, last: Placed | None) -> Placed:
        after: Any = {} if last is None else {"SequenceNumberForOrdering": str(last.sequence_number)}
        answer = self._client.put_record(StreamName=self._stream, PartitionKey=key, Data=data, **after)
        return Placed(answer["ShardId"], int(answer["SequenceNumber"]))

    def _put_window(self, window: Sequence[tuple[str, bytes]]) -> list[Placed]:
        placed: dict[int, Placed] = {}
        left = list(range(len(window)))
        while left:
            wave: list[int] = []
            waiting: list[int] = []
            keys: set[str] = set()
            size = 0
            for index in left:
                key, data = window[index]
                weight = len(key.encode()) + len(data)
                if weight > MOST_BYTES:
                    raise ValueError(f"a record of {weight} bytes, key included: the most is {MOST_BYTES}")
                if key in keys or size + weight > MOST_BYTES:
                    waiting.append(index)
                else:
                    wave.append(index)
                    size += weight
                keys.add(key)
            self._put_wave(window, wave, placed)
            left = waiting
        return [placed[index] for index in range(len(window))]

    def _put_wave(self, window: Sequence[tuple[str, bytes]], wave: list[int], placed: dict[int, Placed]) -> None:
        left = wave
        for attempt in retrying(_ATTEMPTS, base=0.1, most=5.0, on=RecordsRefused):
            with attempt:
                records: Any = [{"PartitionKey": window[index][0], "Data": window[index][1]} for index in left]
                answers = self._client.put_records(StreamName=self._stream, Records=records)["Records"]
                refused = []
                for index, answer in zip(left, answers, strict=True):
                    if "SequenceNumber" in answer:
                        placed[index] = Placed(answer["ShardId"], int(answer["SequenceNumber"]))
                    else:
                        refused.append((index, answer.get("ErrorCode", "no reason given")))
                left = [index for index, _ in refused]
                if refused:
                    raise RecordsRefused(f"{self._stream} refused {len(refused)} records: {refused[0][1]}")


def partition_key(name: str) -> str:
    """The partition key of a file's records: one key, so one shard."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`, the last one shorter; one empty piece where there are no bytes."""
    waiting = bytearray()
    number = 0
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
            number += 1
    if waiting or not number:
        yield bytes(waiting)
