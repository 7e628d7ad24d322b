from __future__ import annotations

import base64
import bz2
import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import zstandard

from des_platform.cli.demo.processes import wait_until
from des_platform.objectstore import digest_of
from des_platform.sources.messages.chunk_manifest import chunk_manifest
from des_platform.sources.queues import source as drain_module
from des_platform.sources.queues.queue import Outgoing
from des_platform.sources.source import SourceUnavailable
from des_platform.sources.streams.cutting import CHUNK_BYTES
from des_platform.sources.streams.writing import partition_key
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.conftest import open_post
from des_platform_tests.sources.streams.support import send_file
from des_platform_tests.sources.support import letters, pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.sources.queues.queue import QueueConfig
    from des_platform_tests.objectstore.relay import Relay
    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.support import Post

PREFIX = f"things/{DAY}/"


@pytest.fixture
def kinesis(moto_endpoint: str) -> Any:
    """A stranger's client of a stream of three shards."""
    client = boto3.client("kinesis", endpoint_url=moto_endpoint, region_name="us-east-1")
    client.create_stream(StreamName="chunks", ShardCount=3)
    return client


@pytest.fixture
def manifests(queue_config: QueueConfig, kinesis: Any, moto_endpoint: str) -> QueueConfig:
    """A FIFO queue whose manifests name chunks in the stream."""
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = client.create_queue(QueueName="manifests.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    changes = {"url": url, "visibility_seconds": 1, "default_bucket": LANDING}
    return queue_config.model_copy(update=changes | {"chunk_stream": "chunks", "chunked_prefix": PREFIX})


@pytest.fixture
def chunked(platform: Platform, manifests: QueueConfig) -> Post:
    return open_post(platform, manifests)


def text(size: int, seed: int = 1) -> bytes:
    """Text that compresses a little."""
    return random.Random(seed).randbytes(size // 2).hex().encode()  # noqa: S311 - no secret


def put_chunks(kinesis: Any, name: str, chunks: Sequence[bytes]) -> dict[str, Any]:
    """Put chunks among the records of others, and return the manifest as the first senders of such files write it."""
    numbers, shard = [], ""
    for chunk in chunks:
        kinesis.put_record(StreamName="chunks", PartitionKey=partition_key(name), Data=b"another file's")
        placed = kinesis.put_record(StreamName="chunks", PartitionKey=partition_key(name), Data=chunk)
        numbers.append(placed["SequenceNumber"])
        shard = placed["ShardId"]
    return {
        "ID": str(uuid.uuid4()),
        "file_name": name,
        "file_total_chunk": len(chunks),
        "shard_id": shard,
        "sequence_number": sorted(numbers),  # as texts, so that "10" stands before "8"
        "metadata": json.dumps({"name": "bz2"}),
    }


def send(post: Post, manifest: dict[str, Any]) -> str:
    body = json.dumps(manifest)
    post.queue.send([Outgoing(body, manifest["shard_id"], str(uuid.uuid4()))])
    return body


def landed(post: Post, manifest: dict[str, Any]) -> bytes:
    key = f"{PREFIX}{manifest['ID']}/{manifest['file_name']}"
    return post.platform.buckets.bucket(LANDING).get(key, max_bytes=1 << 24)


@pytest.mark.parametrize(
    ("size", "codec"), [(0, "zstd"), (1, "bz2"), (CHUNK_BYTES, "xz"), (3 * CHUNK_BYTES + 7, "zstd"), (5, "store")]
)
def test_a_file_that_was_put_in_chunks_lands_whole_and_is_recorded(
    chunked: Post, kinesis: Any, size: int, codec: str
) -> None:
    content = text(size + 1)[:size]
    pieces = [content[start : start + 50_000] for start in range(0, size, 50_000)]

    file = send_file(kinesis, "prices.csv", pieces, chunked.queue, codec=codec)
    report = chunked.source().drain(seconds=30)

    assert len(file.sequence_numbers) == max(1, -(-size // CHUNK_BYTES))
    assert (file.size, file.sha256) == (size, digest_of([content]).sha256)
    assert (report.received, report.new, report.dead) == (1, 1, 0)
    assert pending(chunked.platform) == [f"{file.id}/prices.csv"]
    assert landed(chunked, {"ID": file.id, "file_name": "prices.csv"}) == content
    assert chunked.platform.take_in().files == 1


def test_on_s3_a_file_is_put_together_once_however_often_it_is_announced(
    s3_platform: Platform, manifests: QueueConfig, kinesis: Any
) -> None:
    post = open_post(s3_platform, manifests)
    content = text(9 << 20)  # more than one part of an upload
    file = send_file(kinesis, "a.txt", [content], post.queue)
    post.queue.send([Outgoing(chunk_manifest(file), file.shard_id, "sent again")])

    report = post.source().drain(seconds=30)

    assert (report.new, report.known, report.dead) == (1, 1, 0)
    assert landed(post, {"ID": file.id, "file_name": "a.txt"}) == content


def test_chunks_are_found_among_other_records_and_ordered_by_number(chunked: Post, kinesis: Any) -> None:
    content = text(12_000)
    manifest = put_chunks(kinesis, "a.txt", [bz2.compress(content[i : i + 1000]) for i in range(0, 12_000, 1000)])
    assert manifest["sequence_number"] != sorted(manifest["sequence_number"], key=int)
    send(chunked, manifest)

    assert chunked.source().drain(seconds=30).new == 1

    assert landed(chunked, manifest) == content


def test_the_two_stages_of_the_first_senders_are_undone(chunked: Post, kinesis: Any) -> None:
    content = text(40_000)
    stage = b"|".join(base64.b64encode(bz2.compress(content[i : i + 9000])) for i in range(0, 40_000, 9000))
    records = [zstandard.compress(stage[i : i + 7001]) for i in range(0, len(stage), 7001)]
    manifest = put_chunks(kinesis, "a.txt", records) | {"metadata": {"name": "bz2 + zstd"}}
    send(chunked, manifest)

    assert chunked.source().drain(seconds=30).new == 1

    assert landed(chunked, manifest) == content


def test_a_manifest_that_comes_twice_gives_one_file(chunked: Post, kinesis: Any) -> None:
    manifest = put_chunks(kinesis, "a.txt", [bz2.compress(b"content")])
    send(chunked, manifest)
    assert chunked.source().drain(seconds=30).new == 1
    send(chunked, manifest)

    report = chunked.source().drain(seconds=30)

    assert (report.new, report.known, report.dead) == (0, 1, 0)
    assert chunked.platform.take_in().files == 1


def test_another_file_under_the_same_identifier_is_refused(chunked: Post, kinesis: Any) -> None:
    manifest = put_chunks(kinesis, "a.txt", [bz2.compress(b"content")])
    send(chunked, manifest)
    send(chunked, {**put_chunks(kinesis, "a.txt", [bz2.compress(b"another")]), "ID": manifest["ID"]})

    report = chunked.source().drain(seconds=30)

    assert (report.new, report.dead) == (1, 1)
    assert "another file already" in letters(chunked.platform)[0].reason
    assert landed(chunked, manifest) == b"content"


CONTENT = b"content of a file"
BOMB = bz2.compress(bytes(5_000_000))


@pytest.mark.parametrize(
    ("changes", "chunks", "said"),
    [
        ({"file_total_chunk": 3}, [CONTENT], "file_total_chunk is 3, and sequence_number names 1"),
        ({"sequence_number": []}, [CONTENT], "sequence_number is a list, expected a list of at least one"),
        ({"sequence_number": ["1", "one"], "file_total_chunk": 2}, [CONTENT], "names 1 different records"),
        ({"sequence_number": ["2", "2"], "file_total_chunk": 2}, [CONTENT], "names 1 different records"),
        ({"file_size": 16}, [CONTENT], "has 17 bytes, its manifest says 16"),
        ({"file_sha256": "0" * 64}, [CONTENT], "its manifest says 000"),
        ({"file_sha256": "short"}, [CONTENT], "expected 64 hexadecimal digits"),
        ({"chunk_bytes": 1}, [CONTENT], "all should have 1"),
        ({"chunk_bytes": 1 << 20}, [CONTENT], "their manifest says 1048576"),
        ({"metadata": "{}"}, [CONTENT], "'name' of the metadata is missing"),
        ({"metadata": {"name": "rot13"}}, [CONTENT], "unknown codec 'rot13'"),
        ({"metadata": {"name": "xz"}}, [CONTENT], "damaged"),
        ({"metadata": {"name": "bz2 + bz2"}}, [CONTENT], "not base64"),
        ({"metadata": {"name": "bz2 + zstd + xz"}}, [CONTENT], "a pipeline of 3 codecs"),
        ({"file_name": "../../etc/passwd"}, [CONTENT], "'..'"),
        ({"ID": "../a"}, [CONTENT], "expected letters, digits"),
        ({}, [b"no bzip2"], "damaged"),
        ({}, [BOMB], "more than the 1000000 bytes"),
        ({"metadata": {"name": "bz2+bz2"}}, [base64.b64encode(BOMB)], "chunked_max_bytes"),
    ],
    ids=str,
)
def test_what_is_not_as_its_manifest_says_is_a_dead_letter_and_never_lands(
    chunked: Post, kinesis: Any, changes: dict[str, Any], chunks: list[bytes], said: str
) -> None:
    packed = [chunk if chunk.startswith(b"no ") or chunk is BOMB else bz2.compress(chunk) for chunk in chunks]
    body = send(chunked, put_chunks(kinesis, "a.txt", packed) | changes)
    good = put_chunks(kinesis, "b.txt", [bz2.compress(b"good")])
    send(chunked, good)

    report = chunked.source(chunked_max_bytes=1_000_000).drain(seconds=30)

    assert (report.new, report.dead) == (1, 1)
    (letter,) = letters(chunked.platform)
    assert (letter.body, letter.origin) == (body, "files")
    assert said in letter.reason
    assert pending(chunked.platform) == [f"{good['ID']}/b.txt"]
    assert [info.key for info in chunked.platform.buckets.bucket(LANDING).list("")] == [f"{PREFIX}{good['ID']}/b.txt"]


@pytest.mark.parametrize(
    "changes", [{"sequence_number": ["900"]}, {"shard_id": "shardId-000000000009"}], ids=["record", "shard"]
)
def test_a_manifest_whose_chunks_are_missing_waits_in_the_queue_until_it_is_given_up(
    chunked: Post, kinesis: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(drain_module, "GIVE_UP_CHUNKS_AFTER", 2)
    body = send(chunked, put_chunks(kinesis, "a.txt", [bz2.compress(b"content")]) | changes)

    report = chunked.source().drain(seconds=30)

    assert (report.received, report.postponed, report.dead) == (0, 1, 0)
    assert "1 left in the queue" in report.note
    assert letters(chunked.platform) == []
    wait_until(lambda: chunked.queue.depth().in_flight == 0, 20, "the manifest is back")
    report = chunked.source().drain(seconds=30)
    assert (report.received, report.postponed, report.dead) == (1, 0, 1)
    (letter,) = letters(chunked.platform)
    assert letter.body == body
    assert chunked.queue.depth().waiting == 0


def test_chunks_that_come_late_are_found_when_the_manifest_comes_back(chunked: Post, kinesis: Any) -> None:
    manifest = put_chunks(kinesis, "a.txt", [bz2.compress(b"content")])
    late = str(int(manifest["sequence_number"][0]) + 1)
    send(chunked, manifest | {"sequence_number": [late]})
    assert chunked.source().drain(seconds=30).postponed == 1

    kinesis.put_record(StreamName="chunks", PartitionKey=partition_key("a.txt"), Data=bz2.compress(b"late"))
    wait_until(lambda: chunked.queue.depth().in_flight == 0, 20, "the manifest is back")

    assert chunked.source().drain(seconds=30).new == 1
    assert landed(chunked, manifest) == b"late"


def test_a_queue_that_knows_no_stream_says_how_to_name_one(chunked: Post, kinesis: Any) -> None:
    send(chunked, put_chunks(kinesis, "a.txt", [bz2.compress(b"content")]))

    assert chunked.source(chunk_stream=None).drain(seconds=30).dead == 1

    assert "'chunk_stream'" in letters(chunked.platform)[0].reason


def test_a_stream_out_of_reach_leaves_the_manifest_and_costs_its_neighbours_nothing(
    chunked: Post, kinesis: Any, relay: Relay
) -> None:
    manifest = put_chunks(kinesis, "a.txt", [bz2.compress(b"content")])
    send(chunked, manifest)
    chunked.queue.send([Outgoing(chunked.put("beside-it"), "another group", "1")])
    relay.before = lambda _method, _path, headers: 403 if "Kinesis" in headers.get("x-amz-target", "") else None

    with pytest.raises(SourceUnavailable, match="the stream chunks cannot be read"):
        chunked.source(endpoint=relay.url).drain(seconds=30)

    assert pending(chunked.platform) == ["beside-it"]
    assert letters(chunked.platform) == []
    wait_until(lambda: chunked.queue.depth().in_flight == 0, 20, "the manifest is back")
    assert chunked.source().drain(seconds=30).new == 1
