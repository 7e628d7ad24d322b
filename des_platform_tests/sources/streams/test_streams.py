from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import sqlalchemy as sa

from des_platform.catalog import checkpoints, leases, partitions
from des_platform.catalog.tables import leases as leases_table
from des_platform.codecs import get_codec
from des_platform.sources.recording import Prepared, Recorder
from des_platform.sources.source import SourceUnavailable
from des_platform.sources.streams.compressing import ShardChanged, compress_file
from des_platform.sources.streams.cutting import CHUNK_BYTES
from des_platform.sources.streams.sink import MOST_BYTES, MOST_RECORDS, RecordsRefused, StreamSink
from des_platform.sources.streams.source import StreamConfig, StreamSource
from des_platform.sources.streams.writing import Original, StreamWriter
from des_platform_tests.platform import DAY
from des_platform_tests.sources.support import Post, announce, letters, pending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform_tests.platform import Platform


@pytest.fixture
def kinesis(moto_endpoint: str) -> Any:
    client = boto3.client("kinesis", endpoint_url=moto_endpoint, region_name="us-east-1")
    client.create_stream(StreamName="clicks", ShardCount=3)
    return client


@pytest.fixture
def config(kinesis: Any, moto_endpoint: str) -> StreamConfig:
    return StreamConfig(name="clicks", stream="clicks", endpoint=moto_endpoint)


@pytest.fixture
def sink(config: StreamConfig) -> StreamSink:
    return StreamSink(config)


@pytest.fixture(autouse=True)
def _registered(platform: Platform) -> None:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])


def source(platform: Platform, config: StreamConfig) -> StreamSource:
    return StreamSource(config, Recorder(platform.catalog, platform.buckets, [platform.dataset]))


def events(*names: str) -> list[tuple[str, bytes]]:
    return [(name, announce(f"things/{DAY}/{name}").encode()) for name in names]


def positions(platform: Platform) -> dict[str, str]:
    with platform.catalog.begin() as connection:
        return checkpoints.positions(connection, "clicks")


NAMES = [f"file-{number:02d}" for number in range(30)]


def test_every_record_is_recorded_once_and_reading_goes_on_behind_it(
    platform: Platform, config: StreamConfig, sink: StreamSink
) -> None:
    placed = sink.put(events(*NAMES))
    assert len({found.shard_id for found in placed}) == 3

    report = source(platform, config).drain(seconds=30)

    assert (report.received, report.new, report.dead) == (30, 30, 0)
    assert pending(platform) == NAMES
    last: defaultdict[str, int] = defaultdict(int)
    for found in placed:
        last[found.shard_id] = max(last[found.shard_id], found.sequence_number)
    assert positions(platform) == {shard: str(number) for shard, number in last.items()}

    assert source(platform, config).drain(seconds=30).received == 0
    sink.put(events("late"))
    assert source(platform, config).drain(seconds=30).received == 1
    assert pending(platform) == [*NAMES, "late"]


def test_without_time_nothing_is_read(platform: Platform, config: StreamConfig, sink: StreamSink) -> None:
    sink.put(events("one"))

    assert source(platform, config).drain(seconds=0).received == 0

    assert positions(platform) == {}


def test_a_crash_before_the_commit_neither_records_nor_moves_on(
    platform: Platform, config: StreamConfig, sink: StreamSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.put(events("one"))
    write = Prepared.write

    def dying(prepared: Prepared, connection: sa.Connection) -> None:
        write(prepared, connection)
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "write", dying)
        with pytest.raises(RuntimeError, match="dies here"):
            source(platform, config).drain(seconds=30)
    assert (pending(platform), positions(platform)) == ([], {})

    assert source(platform, config).drain(seconds=30).new == 1


def test_what_a_record_says_wrongly_is_a_dead_letter_and_costs_no_neighbour(
    platform: Platform, config: StreamConfig, sink: StreamSink
) -> None:
    placed = sink.put([("k", b"not JSON"), *events("one"), ("k", b"\xff\x00\xfe"), ("k", b'{"Records": []}')])

    report = source(platform, config).drain(seconds=30)

    assert (report.received, report.new, report.dead) == (4, 1, 3)
    assert pending(platform) == ["one"]
    found = {letter.reference for letter in letters(platform)}
    assert found == {f"{placed[index].shard_id}/{placed[index].sequence_number}" for index in (0, 2, 3)}
    assert {(letter.stage, letter.origin) for letter in letters(platform)} == {("stream", "clicks")}


def test_a_shard_that_another_process_reads_is_left_to_it(
    platform: Platform, config: StreamConfig, sink: StreamSink
) -> None:
    (placed,) = sink.put(events("one"))
    with platform.catalog.begin() as connection:
        lease = leases.acquire(connection, f"stream clicks {placed.shard_id}", seconds=60)
    assert lease is not None

    assert source(platform, config).drain(seconds=30).received == 0

    with platform.catalog.begin() as connection:
        leases.release(connection, lease)
    assert source(platform, config).drain(seconds=30).new == 1


def test_a_reader_that_was_overtaken_writes_nothing(
    platform: Platform, config: StreamConfig, sink: StreamSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.put(events("one"))
    prepare = Recorder.prepare

    def slow(recorder: Recorder, *arguments: Any, **options: Any) -> Prepared:
        with platform.catalog.begin() as connection:  # its lease ran out, and somebody took it
            connection.execute(leases_table.update().values(token=leases_table.c.token + 1))
        return prepare(recorder, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "prepare", slow)
        assert source(platform, config).drain(seconds=30).received == 0
    assert (pending(platform), positions(platform)) == ([], {})

    with platform.catalog.begin() as connection:
        connection.execute(leases_table.update().values(expires_at=sa.func.now()))
    assert source(platform, config).drain(seconds=30).new == 1


def test_a_stream_read_from_its_latest_record_misses_nothing_that_comes_between_two_drainings(
    platform: Platform, config: StreamConfig, sink: StreamSink
) -> None:
    latest = config.model_copy(update={"start": "latest"})
    sink.put(events("before"))
    assert source(platform, latest).drain(seconds=30).received == 0

    sink.put(events("between", "two", "drainings"))

    assert source(platform, latest).drain(seconds=30).new == 3
    assert pending(platform) == ["between", "drainings", "two"]


def test_a_stream_that_does_not_exist_is_named(platform: Platform, config: StreamConfig) -> None:
    with pytest.raises(SourceUnavailable, match="the stream gone of the source clicks cannot be read"):
        source(platform, config.model_copy(update={"stream": "gone"})).drain(seconds=30)


def test_after_a_split_every_file_is_recorded_once(
    platform: Platform, config: StreamConfig, sink: StreamSink, kinesis: Any
) -> None:
    sink.put(events(*NAMES[:10]))
    source(platform, config).drain(seconds=30)
    sink.put(events(*NAMES[10:20]))
    first = kinesis.list_shards(StreamName="clicks")["Shards"][0]
    middle = (int(first["HashKeyRange"]["StartingHashKey"]) + int(first["HashKeyRange"]["EndingHashKey"])) // 2
    kinesis.split_shard(StreamName="clicks", ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
    sink.put(events(*NAMES[20:]))

    source(platform, config).drain(seconds=30)

    assert pending(platform) == NAMES
    assert positions(platform)[first["ShardId"]].startswith("closed:")


class Faults:
    """Kinesis' errors, as its client has them."""

    class ExpiredIteratorException(Exception):
        pass

    class InvalidArgumentException(Exception):
        pass


@dataclass
class FakeKinesis:
    """A stream in memory that does what no local server does: shards that end, iterators that expire.

    Shards: name to parent, whether it has ended, and its records.
    """

    shards: dict[str, tuple[str | None, bool, list[bytes]]]
    exceptions: Faults = field(default_factory=Faults)
    expired: set[str] = field(default_factory=set)
    reads: list[str] = field(default_factory=list)
    page: int = 2

    def get_paginator(self, _name: str) -> Any:
        listed = []
        for name, (parent, ended, _) in self.shards.items():
            numbers = {"StartingSequenceNumber": "0"} | ({"EndingSequenceNumber": "99"} if ended else {})
            listed.append(
                {"ShardId": name, "SequenceNumberRange": numbers, **({"ParentShardId": parent} if parent else {})}
            )
        return SimpleNamespace(paginate=lambda **_: [{"Shards": [shard]} for shard in listed])

    def get_shard_iterator(self, **where: str) -> dict[str, str]:
        start = 0
        if where["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            start = int(where["StartingSequenceNumber"]) - 99
            if start > len(self.shards[where["ShardId"]][2]):
                raise self.exceptions.InvalidArgumentException("it did not come from this stream")
        return {"ShardIterator": f"{where['ShardId']}:{start}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - the client's names
        if ShardIterator in self.expired:
            self.expired.remove(ShardIterator)
            raise self.exceptions.ExpiredIteratorException("five minutes old")
        shard, start = ShardIterator.split(":")
        _, ended, held = self.shards[shard]
        end = min(int(start) + min(Limit, self.page), len(held))
        found = [
            {"SequenceNumber": str(100 + index), "Data": held[index], "PartitionKey": "k"}
            for index in range(int(start), end)
        ]
        self.reads += [shard] * len(found)
        answer = {"Records": found, "MillisBehindLatest": 0 if end == len(held) else 1}
        return answer if ended and end == len(held) else {**answer, "NextShardIterator": f"{shard}:{end}"}


def bodies(*names: str) -> list[bytes]:
    return [data for _, data in events(*names)]


def test_a_shard_is_read_once_its_parent_is_read_to_its_end(post: Post) -> None:
    made = StreamSource(
        StreamConfig(name="clicks", stream="clicks"),
        Recorder(post.platform.catalog, post.platform.buckets, [post.platform.dataset]),
    )
    fake = FakeKinesis(
        {
            "a-grandchild": ("child", False, bodies("g1")),
            "child": ("parent", True, bodies("c1", "c2", "c3")),
            "parent": ("forgotten", True, bodies("p1", "p2", "p3", "p4", "p5")),
        }
    )
    made._client = fake  # type: ignore[assignment]

    report = made.drain(seconds=30)

    assert report.new == 9
    assert fake.reads == ["parent"] * 5 + ["child"] * 3 + ["a-grandchild"]
    assert positions(post.platform) == {"parent": "closed:104", "child": "closed:102", "a-grandchild": "100"}
    assert made.drain(seconds=30).received == 0


def test_an_iterator_that_expired_and_a_stream_made_anew_lose_nothing(post: Post) -> None:
    made = StreamSource(
        StreamConfig(name="clicks", stream="clicks"),
        Recorder(post.platform.catalog, post.platform.buckets, [post.platform.dataset]),
    )
    made._client = FakeKinesis({"s": (None, False, bodies("1", "2", "3", "4"))}, expired={"s:2"})  # type: ignore[assignment]
    assert made.drain(seconds=30).new == 4

    made._client = FakeKinesis({"s": (None, False, bodies("new"))})  # type: ignore[assignment]

    assert made.drain(seconds=30).new == 1
    assert pending(post.platform) == ["1", "2", "3", "4", "new"]


class FlakySink:
    """A stream that refuses every third record it is given, whatever the request."""

    def __init__(self, *, always: bool = False) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.requests: list[list[dict[str, Any]]] = []
        self._given = 0
        self._always = always

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.requests.append(Records)
        answers: list[dict[str, str]] = []
        for record in Records:
            self._given += 1
            if self._always or self._given % 3 == 0:
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException"})
                continue
            self.taken.append((record["PartitionKey"], record["Data"]))
            answers.append({"ShardId": StreamName, "SequenceNumber": str(len(self.taken))})
        return {"Records": answers}

    def put_record(self, *, SequenceNumberForOrdering: str = "0", **_: object) -> dict[str, str]:  # noqa: N803
        number = int(SequenceNumberForOrdering) + 1
        return {"ShardId": f"shard-{number}", "SequenceNumber": str(number)}


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))


@pytest.mark.usefixtures("quick_retries")
def test_records_of_one_key_keep_their_order_though_some_are_refused(sink: StreamSink) -> None:
    sink._client = fake = FlakySink()  # type: ignore[assignment]
    records = [(f"key {number % 7}", str(number).encode()) for number in range(100)]

    placed = sink.put(iter(records))

    assert [fake.taken[found.sequence_number - 1] for found in placed] == records
    assert len(fake.taken) == 100
    for key in {key for key, _ in records}:
        assert [data for other, data in fake.taken if other == key] == [data for other, data in records if other == key]


@pytest.mark.usefixtures("quick_retries")
def test_a_stream_that_goes_on_refusing_is_told_of(sink: StreamSink) -> None:
    sink._client = FlakySink(always=True)  # type: ignore[assignment]

    with pytest.raises(RecordsRefused, match=r"refused 2 records: ProvisionedThroughput"):
        sink.put([("a", b"1"), ("b", b"2")])


@pytest.mark.usefixtures("quick_retries")
def test_no_request_is_larger_than_the_stream_takes(sink: StreamSink) -> None:
    sink._client = fake = FlakySink()  # type: ignore[assignment]
    large = bytes(3 << 20)

    sink.put(many_records(MOST_RECORDS + 20))
    sink.put((f"large {number}", large) for number in range(7))

    assert max(len(request) for request in fake.requests) == MOST_RECORDS
    assert max(sum(len(record["Data"]) for record in request) for request in fake.requests) <= MOST_BYTES
    with pytest.raises(ValueError, match="the most is"):
        sink.put([("a", bytes(MOST_BYTES))])


def many_records(number: int) -> Iterable[tuple[str, bytes]]:
    return ((f"key {index}", b"data") for index in range(number))


def test_a_file_whose_chunks_came_to_lie_in_two_shards_is_not_announced() -> None:
    original = Original("id", "a.txt", "v1", 1 << 20)
    writer = StreamWriter(FlakySink(), "clicks")  # type: ignore[arg-type]

    with pytest.raises(ShardChanged, match="put it again"):
        compress_file(original, [bytes(1 << 20)], writer, get_codec("zstd"), chunk_bytes=CHUNK_BYTES)
