"""Stream jobs in trouble: damage, lies, bombs, late chunks, files that change, workers that die or meet."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import zstandard

from des_platform.catalog import leases
from des_platform.catalog.tables import leases as leases_table
from des_platform.cli.demo.processes import wait_until
from des_platform.objectstore import ObjectStore
from des_platform.sources.config import Sources
from des_platform.sources.recording import Recorder
from des_platform.sources.reprocessing import Reprocessing
from des_platform.sources.source import SourceUnavailable
from des_platform.sources.streams import compressing, compressor
from des_platform.sources.streams.writing import partition_key
from des_platform_tests.platform import LANDING
from des_platform_tests.sources.streams.support import STREAM, Bench
from des_platform_tests.sources.support import redrive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.catalog.leases import Lease
    from des_platform_tests.objectstore.relay import Relay
    from des_platform_tests.platform import Platform

LINES = b"".join(b"line %d of a file\n" % number for number in range(300))


class Killed(BaseException):
    """The process dies here."""


def compressed(bench: Bench, content: bytes = LINES, **changes: object) -> dict[str, Any]:
    """The manifest of a file that was compressed."""
    bench.put("a.txt", content)
    bench.announce("a.txt")
    assert bench.compress(**changes).files == 1
    return bench.manifest()


def put_old(stranger: Any, records: list[bytes], pipeline: str) -> dict[str, Any]:
    """Put records as the first senders do; returns their manifest."""
    placed = [
        stranger.put_record(StreamName=STREAM, PartitionKey=partition_key("a.txt"), Data=data) for data in records
    ]
    return {
        "ID": "6f2a1c9e-0000-4000-8000-000000000000",
        "file_name": "a.txt",
        "file_total_chunk": len(placed),
        "shard_id": placed[0]["ShardId"],
        "sequence_number": sorted(record["SequenceNumber"] for record in placed),
        "metadata": json.dumps({"name": pipeline}),
    }


@pytest.mark.parametrize(
    ("first", "second", "pipeline"),
    [
        (bz2.compress, zstandard.compress, "bz2 + zstd"),
        (lzma.compress, bz2.compress, "lzma + bz2"),
    ],
    ids=["bz2+zstd", "lzma+bz2"],
)
def test_old_manifests_with_base64_and_divider_come_back(
    streamed: Bench, stranger: Any, first: Callable[[bytes], bytes], second: Callable[[bytes], bytes], pipeline: str
) -> None:
    joined = b"|".join(base64.b64encode(first(LINES[i : i + 900])) for i in range(0, len(LINES), 900))
    manifest = put_old(stranger, [second(joined[i : i + 701]) for i in range(0, len(joined), 701)], pipeline)
    streamed.send_manifest(manifest)

    assert streamed.restore().files == 1

    assert streamed.restored() == {f"{manifest['ID']}/a.txt": LINES}


def test_a_doubled_chunk_is_refused_whichever_way_it_is_told(bench: Bench) -> None:
    manifest = compressed(bench)
    numbers = manifest["sequence_number"]
    named_twice = {"sequence_number": [*numbers, numbers[0]], "file_total_chunk": len(numbers) + 1}
    bench.send_manifest(manifest | named_twice | {"ID": "twice"})
    bench.send_manifest(manifest | {"sequence_number": [*numbers[:-1], numbers[0]], "ID": "instead"})
    bench.send_manifest(manifest | {"file_total_chunk": len(numbers) + 1, "ID": "lies"})
    bench.send_manifest(
        manifest | {"sequence_number": numbers[:-1], "file_total_chunk": len(numbers) - 1, "ID": "fewer"}
    )

    assert bench.restore().dead == 4

    reasons = [letter.reason for letter in bench.letters()]
    assert all("'a.txt': " in reason for reason in reasons)
    assert bench.restored() == {}


def test_each_promise_of_a_manifest_is_checked_by_itself(streamed: Bench) -> None:
    manifest = compressed(streamed)
    number = manifest["file_total_chunk"]
    wrong = base64.b64encode(bytes(8 * number)).decode()
    lies: list[tuple[dict[str, Any], str]] = [
        ({"file_sha256": "0" * 64}, "a.txt: it has the SHA-256"),
        ({"file_size": 7}, f"a.txt: it has {len(LINES)} bytes, its manifest says 7"),
        ({"chunk_bytes": 7}, "a.txt: the chunks up to"),
        ({"chunk_checksums": wrong}, "a.txt: chunk 0 (record "),
        ({"chunk_checksums": wrong[:8]}, "'a.txt': chunk_checksums has 6 bytes"),
        ({"chunk_checksums": "Ω"}, "'a.txt': chunk_checksums is not base64"),
        ({"metadata": '{"name": "rot13"}'}, "a.txt: unknown codec 'rot13'"),
        ({"metadata": '{"name": "xz"}'}, "a.txt: xz: damaged"),
    ]
    for changes, said in lies:
        streamed.send_manifest(manifest | changes)
        assert streamed.restore().dead == 1
        assert said in streamed.letters()[0].reason
    assert streamed.restored() == {}


def test_a_chunk_that_rotted_is_named(platform: Platform, moto_endpoint: str) -> None:
    bench = Bench.make(platform, moto_endpoint, objects=True)
    manifest = compressed(bench)
    store = bench.platform.buckets.bucket(STREAM)
    [_, key, *_] = [info.key for info in store.list("chunks/")]
    data = bytearray(store.get(key, max_bytes=1 << 20))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    bench.send_manifest(manifest)

    assert bench.restore().dead == 1

    assert "a.txt: chunk 1 (record 1) has the checksum" in bench.letters()[0].reason
    assert bench.restored() == {}


def test_a_bomb_never_comes_out(streamed: Bench, stranger: Any) -> None:
    streamed.send_manifest(put_old(stranger, [bz2.compress(bytes(5_000_000))] * 2, "bz2"))

    assert streamed.restore(max_bytes=6_000_000).dead == 1

    assert "a.txt: bz2: more than the 6000000 bytes" in streamed.letters()[0].reason
    assert streamed.restored() == {}


def wait_and_restore(bench: Bench, manifest: dict[str, Any], arrive: Callable[[], object]) -> dict[str, bytes]:
    """Announce a file whose chunks arrive later; returns what is put together in the end."""
    bench.send_manifest(manifest)
    first = bench.restore(retry_seconds=1, attempts=1000)
    assert (first.postponed, first.files, first.dead) == (first.received, 0, 0)
    assert first.postponed > 0
    assert bench.restored() == {}
    arrive()
    wait_until(lambda: bench.manifests.depth().waiting == 1, 20, "the manifest is back")
    assert bench.restore().files == 1
    return bench.restored()


def test_records_that_come_after_their_manifest_are_waited_for(streamed: Bench, stranger: Any) -> None:
    manifest = put_old(stranger, [bz2.compress(b"early")], "bz2")
    late = str(int(manifest["sequence_number"][0]) + 1)

    restored = wait_and_restore(
        streamed,
        manifest | {"sequence_number": [late]},
        lambda: put_old(stranger, [bz2.compress(b"late")], "bz2"),
    )

    assert restored == {f"{manifest['ID']}/a.txt": b"late"}


def test_objects_that_come_after_their_manifest_are_waited_for(platform: Platform, moto_endpoint: str) -> None:
    bench = Bench.make(platform, moto_endpoint, objects=True)
    manifest = compressed(bench)
    store = bench.platform.buckets.bucket(STREAM)
    [*_, key] = [info.key for info in store.list("chunks/")]
    store.copy(key, "aside")
    store.delete(key)

    restored = wait_and_restore(bench, manifest, lambda: store.copy("aside", key))

    assert restored == {f"{manifest['ID']}/a.txt": LINES}


def test_chunks_that_never_come_are_given_up_with_the_reason(streamed: Bench) -> None:
    manifest = compressed(streamed)
    missing = str(10**55)
    numbers = [*manifest["sequence_number"][:-1], missing]
    streamed.send_manifest(manifest | {"sequence_number": numbers})

    report = streamed.restore(attempts=3)

    assert (report.received, report.postponed, report.dead) == (3, 2, 1)
    (letter,) = streamed.letters()
    assert (letter.stage, letter.subject, letter.origin) == ("stream_restore", "a.txt", "prices")
    assert missing in letter.reason
    assert streamed.manifests.depth().waiting == streamed.manifests.depth().in_flight == 0


def test_what_is_wrong_with_one_message_costs_its_neighbours_nothing(streamed: Bench) -> None:
    streamed.files.send(["no JSON", json.dumps({"ID": "x"}), json.dumps({"ID": "y", "file_name": "../../etc/passwd"})])
    streamed.announce("missing.txt")
    streamed.put("good.txt", LINES)
    identifier = streamed.announce("good.txt")
    streamed.put("large.txt", bytes(10_001))
    streamed.announce("large.txt")

    report = streamed.compress(attempts=2, max_bytes=10_000)

    assert (report.files, report.dead) == (1, 5)
    reasons = {letter.subject: letter.reason for letter in streamed.letters()}
    assert "'missing.txt'" in reasons["missing.txt"] or "in/missing.txt" in reasons["missing.txt"]
    assert "max_bytes is 10000" in reasons["large.txt"]
    assert streamed.restore().files == 1
    assert streamed.restored() == {f"{identifier}/good.txt": LINES}


def test_an_event_of_another_place_is_a_dead_letter(streamed: Bench) -> None:
    records = [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "eTag": "e"}},
        }
        for bucket, key in ((LANDING, "in/a.txt"), (LANDING, "secret/b.txt"), ("elsewhere", "in/c.txt"))
    ]
    streamed.put("a.txt", LINES)
    streamed.files.send([json.dumps({"Records": records})])

    report = streamed.compress()

    assert (report.received, report.files, report.dead) == (1, 1, 2)
    assert {letter.subject for letter in streamed.letters()} == {f"{LANDING}/secret/b.txt", "elsewhere/in/c.txt"}


def test_a_file_that_changes_while_it_is_read_is_not_announced_and_tried_again(
    streamed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ObjectStore.stream
    times = iter([True, False])

    def replaced(store: ObjectStore, key: str, *, if_match: str | None = None) -> Iterator[bytes]:
        if next(times):
            streamed.put("a.txt", LINES * 2)
        return stream(store, key, if_match=if_match, chunk_bytes=1000)

    monkeypatch.setattr(ObjectStore, "stream", replaced)
    streamed.put("a.txt", LINES)
    identifier = streamed.announce("a.txt")

    report = streamed.compress()

    assert (report.received, report.postponed, report.files, report.dead) == (2, 1, 1, 0)
    assert streamed.restore().files == 1
    assert streamed.restored() == {f"{identifier}/a.txt": LINES * 2}


def test_a_file_that_always_changes_is_given_up_by_name(streamed: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = ObjectStore.stream

    def replaced(store: ObjectStore, key: str, *, if_match: str | None = None) -> Iterator[bytes]:
        chunks = stream(store, key, if_match=if_match, chunk_bytes=1000)
        yield next(chunks)
        streamed.put("a.txt", LINES)
        yield from chunks

    monkeypatch.setattr(ObjectStore, "stream", replaced)
    streamed.put("a.txt", LINES)
    streamed.announce("a.txt")

    assert streamed.compress(attempts=2).dead == 1

    assert "a.txt changed while it was read" in streamed.letters()[0].reason
    assert streamed.manifests.depth().waiting == 0


def test_too_many_chunks_for_a_manifest_are_refused_with_the_size_to_use(
    streamed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressing, "MANIFEST_BYTES", 4000)
    streamed.put("a.txt", LINES)
    streamed.announce("a.txt")

    assert streamed.compress(chunk_bytes=20).dead == 1  # before anything was put
    reason = streamed.letters()[0].reason
    assert "a.txt makes 280 chunks" in reason
    enough = int(reason.split("set chunk_bytes to ")[1].split()[0])
    streamed.announce("a.txt")
    assert streamed.compress(chunk_bytes=enough).files == 1


def test_a_chunk_that_no_record_holds_is_refused_with_the_size_to_use(
    streamed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("des_platform.sources.streams.writing.StreamWriter.most_bytes", 500)
    streamed.put("a.txt", LINES)
    streamed.announce("a.txt")

    assert streamed.compress(codec="store").dead == 1

    assert "chunk 0 of a.txt has " in streamed.letters()[0].reason
    assert "set chunk_bytes to 450 or less" in streamed.letters()[0].reason


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_that_dies_at_the_manifest_leaves_one_file(
    streamed: Bench, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    streamed.settings["files"]["visibility_seconds"] = 1
    streamed.put("a.txt", LINES)
    identifier = streamed.announce("a.txt")
    announce = compressing.announce

    def dying(*arguments: Any, **options: Any) -> None:
        if moment == "after":
            announce(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(compressor, "announce", dying)
        with pytest.raises(Killed):
            streamed.compress()
    streamed.wait_for_files(1)

    assert streamed.compress().files == 1
    assert streamed.restore().files == 1  # of two manifests with one identifier, the queue gives one
    assert streamed.restored() == {f"{identifier}/a.txt": LINES}


def test_two_workers_share_a_queue_one_job_at_a_time_and_nothing_is_done_twice(
    streamed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {}
    for number in range(8):
        streamed.put(f"{number}.txt", LINES)
        expected[f"{streamed.announce(f'{number}.txt')}/{number}.txt"] = LINES
    alone: list[bool] = []
    compress_file = compressing.compress_file
    lock = threading.Lock()

    def watched(*arguments: Any, **options: Any) -> Any:
        alone.append(lock.acquire(blocking=False))
        try:
            return compress_file(*arguments, **options)
        finally:
            lock.release()

    monkeypatch.setattr(compressor, "compress_file", watched)

    def work(_number: int) -> Any:
        side = streamed.compressor(interval_seconds=0.01)
        worker = streamed.worker(side, interval_seconds=0.01)
        return worker.run(once=True, seconds=60, stop=threading.Event())

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(work, range(2)))

    assert alone == [True] * 8
    assert sum(report.files for report in reports) == 8
    assert streamed.restore().files == 8
    assert streamed.restored() == expected


def held(bench: Bench, url: str) -> Lease:
    with bench.platform.catalog.begin() as connection:
        lease = leases.acquire(connection, f"stream_compress {url}", seconds=60)
    assert lease is not None
    return lease


def test_a_queue_that_another_worker_has_is_left_to_it(streamed: Bench) -> None:
    streamed.put("a.txt", LINES)
    streamed.announce("a.txt")
    lease = held(streamed, streamed.files.url)

    report = streamed.compress()

    assert (report.waited, report.received) == (1, 0)
    with streamed.platform.catalog.begin() as connection:
        leases.release(connection, lease)
    assert streamed.compress().files == 1


def test_a_worker_that_slept_past_its_lease_announces_nothing(streamed: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    streamed.put("a.txt", LINES)
    streamed.announce("a.txt")
    compress_file = compressing.compress_file

    def slept(*arguments: Any, **options: Any) -> Any:
        done = compress_file(*arguments, **options)
        with streamed.platform.catalog.begin() as connection:
            connection.execute(leases_table.update().values(token=leases_table.c.token + 1))
        return done

    monkeypatch.setattr(compressor, "compress_file", slept)

    report = streamed.compress()

    assert (report.files, report.waited) == (0, 1)
    assert streamed.manifests.depth().waiting == 0
    assert streamed.files.depth().in_flight == 1


def test_a_worker_that_is_asked_to_end_gives_its_file_back(streamed: Bench) -> None:
    streamed.put("a.txt", LINES)
    identifier = streamed.announce("a.txt")
    asked = iter([False, False, False])  # at the queue, and before two chunks

    report = streamed.worker(streamed.compressor()).turn(seconds=30, stopping=lambda: next(asked, True))

    assert (report.stopped, report.files) == (1, 0)
    assert streamed.manifests.depth().waiting == 0
    assert streamed.compress().files == 1
    asked = iter([False, False, False])
    report = streamed.worker(streamed.restorer()).turn(seconds=30, stopping=lambda: next(asked, True))
    assert (report.stopped, report.files, streamed.restored()) == (1, 0, {})
    assert streamed.restore().files == 1
    assert streamed.restored() == {f"{identifier}/a.txt": LINES}


def test_a_stream_out_of_reach_keeps_the_message(streamed: Bench, relay: Relay) -> None:
    streamed.put("a.txt", LINES)
    streamed.announce("a.txt")
    relay.before = lambda _method, _path, headers: 403 if "Kinesis" in headers.get("x-amz-target", "") else None

    report = streamed.compress(chunks={"stream": STREAM, "endpoint": relay.url})

    assert (report.files, report.postponed, report.dead) == (0, 1, 0)
    assert isinstance(report.problem, SourceUnavailable)
    assert streamed.files.depth().in_flight == 1
    assert streamed.letters() == []


def test_what_the_queue_itself_gave_up_is_tried_once_more(streamed: Bench) -> None:
    client: Any = boto3.client("sqs", endpoint_url=streamed.endpoint, region_name="us-east-1")
    client.create_queue(QueueName="files-dead.fifo", Attributes={"FifoQueue": "true"})
    redrive(client, streamed.files.url, "files-dead.fifo")
    streamed.announce("a.txt", "comes-late")
    streamed.announce("b.txt", "never-comes")
    for _ in range(2):
        streamed.files.give_back(streamed.files.receive())
    streamed.put("a.txt", LINES)

    report = streamed.compress()

    assert (report.received, report.files, report.dead) == (2, 1, 1)
    assert streamed.restore().files == 1
    assert list(streamed.restored()) == ["comes-late/a.txt"]
    assert [letter.subject for letter in streamed.letters()] == ["b.txt"]


def test_a_dead_letter_goes_back_to_its_queue_and_is_not_taken_for_a_duplicate(streamed: Bench) -> None:
    streamed.announce("a.txt", "one")
    assert streamed.compress(attempts=1).dead == 1
    streamed.put("a.txt", LINES)
    platform = streamed.platform
    sources = Sources(stream_jobs=(streamed.job(),))

    (letter,) = streamed.letters()
    assert Reprocessing(Recorder(platform.catalog, platform.buckets, []), sources).retry(letter) is None

    assert streamed.letters() == []
    assert streamed.compress().files == 1
    assert streamed.restore().files == 1
    assert streamed.restored() == {"one/a.txt": LINES}


def test_another_version_never_changes_the_chunks_of_a_manifest_that_was_sent(
    platform: Platform, moto_endpoint: str
) -> None:
    bench = Bench.make(platform, moto_endpoint, objects=True)
    manifest = compressed(bench)
    bench.put("a.txt", LINES * 3)
    bench.announce("a.txt", manifest["ID"])
    bench.compress()
    bench.manifests.delete(bench.manifests.receive())
    bench.send_manifest(manifest)

    assert bench.restore().files == 1

    assert bench.restored() == {f"{manifest['ID']}/a.txt": LINES}
