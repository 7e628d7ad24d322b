"""Files through a stream job, from one bucket to another one, byte for byte."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from des_platform.catalog import partitions
from des_platform.sources.messages.events import s3_event
from des_platform.sources.queues.queue import Outgoing
from des_platform.sources.streams.cutting import Cutter
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.streams.support import Bench, sha256
from des_platform_tests.sources.support import pending

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform

NOISE = random.Random(1).randbytes(5000)  # noqa: S311 - no secret
LINES = b"".join(b'{"id":%d,"name":"caf\xc3\xa9"}\r\n' % number for number in range(300))
FILES = {
    "quoted.csv": b'id,name\n1,"x,y"\n2,"line\nbreak"\n' * 60,
    "records.jsonl": LINES,
    "spaces.txt": b"  two  spaces\t\n\n   kept \n" * 100,
    "not_latin.csv": "Ω,日本\n".encode() * 200,
    "picture.jpg": NOISE,
    "one_line.json": b"[" + b"1," * 2000 + b"1]",
    "short.json": b'{ "a" : 1 }',
    "no_end.txt": b"a line\nand half a",
    "zeros.bin": bytes(4000),
    "empty.csv": b"",
    "sub/folder/a.txt": b"deep\n",
}


def test_every_kind_of_file_comes_back_byte_for_byte(bench: Bench) -> None:
    ids = {}
    for name, content in FILES.items():
        bench.put(name, content)
        ids[name] = bench.announce(name)

    done = bench.compress()
    back = bench.restore()

    assert (done.files, done.dead, done.problem) == (len(FILES), 0, None)
    assert (back.files, back.dead, back.problem) == (len(FILES), 0, None)
    assert bench.restored() == {f"{ids[name]}/{name}": content for name, content in FILES.items()}
    assert done.original_bytes == back.original_bytes == sum(map(len, FILES.values()))
    assert done.compressed_bytes == back.compressed_bytes
    assert bench.files.depth().waiting == bench.files.depth().in_flight == 0
    assert bench.manifests.depth().waiting == bench.manifests.depth().in_flight == 0


def test_every_codec_comes_back_and_is_told_of(streamed: Bench) -> None:
    expected = {}
    for codec in ("zstd", "xz", "bz2", "gzip", "store"):
        streamed.put(f"{codec}.jsonl", LINES)
        expected[f"{streamed.announce(f'{codec}.jsonl')}/{codec}.jsonl"] = LINES

        (facts,) = streamed.compress(codec=codec).done

        assert (facts.codec, facts.name, facts.original_bytes) == (codec, f"{codec}.jsonl", len(LINES))
        assert facts.chunks == len(list(Cutter(1000).cut([LINES])))
    assert streamed.restore().files == 5
    assert streamed.restored() == expected


def test_the_codec_may_be_chosen_by_a_sample(streamed: Bench) -> None:
    streamed.put("a.jsonl", LINES)
    streamed.announce("a.jsonl")

    (facts,) = streamed.compress(profile="warm").done

    assert facts.codec == "zstd"
    assert "profile warm" in facts.reason


def test_on_s3_files_that_events_announce_come_back(s3_platform: Platform, moto_endpoint: str) -> None:
    bench = Bench.make(s3_platform, moto_endpoint, objects=True)
    bench.put("a b.txt", LINES)
    bench.files.send([s3_event(LANDING, "in/a b.txt", len(LINES), "old", datetime.now(UTC))])
    bench.put("a b.txt", LINES * 2)  # replaced since: its present version is what is read

    assert bench.compress(processed="rename").files == 1
    assert bench.restore().files == 1

    assert [info.key for info in s3_platform.buckets.bucket(LANDING).list("")] == ["in/a b_delete.txt"]
    assert list(bench.restored().values()) == [LINES * 2]
    assert [key.split("/", 1)[1] for key in bench.restored()] == ["a b.txt"]


def test_what_does_not_compress_is_stored_as_it_is(streamed: Bench) -> None:
    streamed.put("noise", NOISE)
    streamed.announce("noise")

    (facts,) = streamed.compress().done

    assert (facts.codec, facts.compressed_bytes) == ("store", len(NOISE))
    assert "zstd-1" in facts.reason


def test_the_manifest_says_what_the_first_readers_need_and_what_proves_the_file(streamed: Bench) -> None:
    streamed.put("a.jsonl", LINES)
    identifier = streamed.announce("a.jsonl")
    (facts,) = streamed.compress(codec="bz2").done

    manifest = streamed.manifest()

    assert (manifest["ID"], manifest["file_name"]) == (identifier, "a.jsonl")
    assert manifest["file_total_chunk"] == len(manifest["sequence_number"]) == facts.chunks > 1
    assert manifest["shard_id"].startswith("shardId-")
    assert json.loads(manifest["metadata"]) == {"name": "bz2"}
    assert (manifest["file_size"], manifest["file_sha256"]) == (len(LINES), sha256(LINES))
    assert manifest["chunk_bytes"] == facts.compressed_bytes


def test_manifests_in_any_order_give_the_same_files(streamed: Bench) -> None:
    manifests = []
    for number in range(3):
        streamed.put(f"{number}.jsonl", LINES * (number + 1))
        streamed.announce(f"{number}.jsonl", f"id-{number}")
        streamed.compress()
        manifests.append(streamed.manifest())
    for manifest in reversed(manifests):
        manifest["sequence_number"].reverse()
        streamed.send_manifest(manifest)

    assert streamed.restore().files == 3

    assert streamed.restored() == {f"id-{number}/{number}.jsonl": LINES * (number + 1) for number in range(3)}


def test_what_is_put_together_in_a_dataset_is_recorded(streamed: Bench) -> None:
    with streamed.platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [streamed.platform.dataset])
    streamed.put("a.csv", b"1\n")
    identifier = streamed.announce("a.csv")
    streamed.compress()

    assert streamed.restore(restored={"bucket": LANDING, "prefix": f"things/{DAY}/"}).files == 1

    assert pending(streamed.platform) == [f"{identifier}/a.csv"]


def test_another_store_may_hold_originals_and_results(streamed: Bench, tmp_path: Any) -> None:
    store = f"file://{tmp_path / 'elsewhere'}"
    folder = tmp_path / "elsewhere"
    (folder / "incoming").mkdir(parents=True)
    (folder / "incoming" / "a.txt").write_bytes(LINES)
    identifier = streamed.announce("a.txt")
    places = {
        "originals": {"store": store, "bucket": "incoming"},
        "restored": {"store": store, "bucket": "outgoing", "prefix": "x/"},
    }

    assert streamed.compress(**places).files == 1
    assert streamed.restore(**places).files == 1

    assert (folder / "outgoing" / "x" / identifier / "a.txt").read_bytes() == LINES


def test_a_file_that_is_announced_twice_is_put_together_once(streamed: Bench) -> None:
    streamed.put("a.txt", LINES)
    identifier = streamed.announce("a.txt")
    streamed.compress()
    message = json.dumps({"ID": identifier, "file_name": "a.txt"})
    streamed.files.send([Outgoing(message, "again", "again")])
    assert streamed.compress().files == 1
    first = streamed.manifest()  # the queue has dropped the second one
    streamed.send_manifest(first)
    streamed.send_manifest(first)

    assert streamed.restore().files == 2
    assert streamed.restored() == {f"{identifier}/a.txt": LINES}
    assert streamed.letters() == []


def test_a_dry_run_sends_nothing_and_leaves_the_messages(bench: Bench) -> None:
    for number in range(3):
        bench.put(f"{number}.txt", LINES)
        bench.announce(f"{number}.txt")
    bench.announce("missing.txt")

    report = bench.compress(push=False)

    assert (report.received, report.files, report.dead) == (4, 3, 0)
    assert report.original_bytes == 3 * len(LINES) > report.compressed_bytes > 0
    assert bench.files.depth().waiting == 4
    assert bench.manifests.depth().waiting == 0
    assert list(bench.platform.buckets.bucket("chunks").list("")) == []


def test_a_processed_file_is_renamed_once_it_is_announced_and_never_compressed_again(streamed: Bench) -> None:
    streamed.put("a.b.csv", LINES)
    streamed.announce("a.b.csv", "one")
    assert streamed.compress(processed="rename").files == 1
    keys = [info.key for info in streamed.platform.buckets.bucket(LANDING).list("")]
    assert keys == ["in/a.b_delete.csv"]

    streamed.announce("a.b.csv", "came-back")
    streamed.announce("a.b_delete.csv", "our-own-event")
    report = streamed.compress(processed="rename")

    assert (report.received, report.files, report.dead) == (2, 0, 0)
    assert streamed.restore().files == 1
    assert streamed.restored() == {"one/a.b.csv": LINES}
