"""Kinesis streams as a sink: records in the order of their keys.

Records of one key keep their order: a request never holds two of them, since a request's records may fail one by one,
and the next request is sent once the last one is complete. Whatever a lost answer leaves twice in the stream does no
harm: messages are recorded once.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from des_platform.sources.retrying import retrying
from des_platform.sources.streams.kinesis import kinesis_client
from des_platform.sources.streams.writing import Placed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from des_platform.sources.streams.kinesis import StreamAddress

# Of Kinesis, for one PutRecords; a record alone may have as much where the stream was set to take it, else 1 MiB.
MOST_RECORDS = 500
MOST_BYTES = 10 << 20
_ATTEMPTS = 8


class RecordsRefused(Exception):
    """The stream took some records of a request and not these, time and again."""


class StreamSink:
    """Puts records into a stream.

    Args:
        config: the stream.
    """

    def __init__(self, config: StreamAddress) -> None:
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
