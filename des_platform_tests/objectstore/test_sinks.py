"""Objects that come piece by piece: what is stored, what it costs, and what is left when it ends early."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.objectstore import (
    Buckets,
    IntegrityError,
    InvalidKey,
    ObjectNotFound,
    ObjectSink,
    ObjectStore,
    PreconditionFailed,
    StoreUnavailable,
    UnsupportedByStore,
)
from des_platform.objectstore import multipart as multipart_module
from des_platform.objectstore.multipart import part_bytes
from des_platform.objectstore.uploads import PART_BYTES
from des_platform_tests.objectstore.conftest import pattern

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from des_platform_tests.objectstore.relay import Relay

LARGE = pattern(20 * 1024 * 1024 + 12_345)


def write_all(sink: ObjectSink, data: bytes, step: int = 700_001) -> None:
    for start in range(0, len(data), step):
        sink.write([data[start : start + step]])


def finish(sink: ObjectSink, data: bytes) -> None:
    write_all(sink, data)
    sink.commit()


def content(store: ObjectStore, key: str) -> bytes:
    return store.get(key, max_bytes=100 * 1024 * 1024)


def left_over(tmp_path: Path, store: ObjectStore, s3_client: Any) -> list[str]:
    """Names of whatever the stores hold: objects, staged files, unfinished uploads."""
    files = [path.name for path in (tmp_path / "root").rglob("*") if path.is_file()]
    uploads = s3_client.list_multipart_uploads(Bucket="bucket").get("Uploads", []) if store.url == "s3://bucket" else []
    return files + [info.key for info in store.list()] + [upload["Key"] for upload in uploads]


@pytest.mark.parametrize("size", [0, 5, PART_BYTES, PART_BYTES + 1, len(LARGE)])
def test_what_was_written_is_the_object_once_it_is_committed(store: ObjectStore, size: int) -> None:
    data = LARGE[:size]
    sink = store.open_sink("a/key")
    write_all(sink, data)
    assert not store.exists("a/key")

    sink.commit()

    assert content(store, "a/key") == data
    assert (sink.result.key, sink.result.size) == ("a/key", size)
    assert sink.result.sha256 == hashlib.sha256(data).hexdigest()
    assert sink.result.etag == store.head("a/key").etag == next(store.list("a/")).etag


def test_parts_of_any_kind_are_written_in_order_and_may_be_reused_afterwards(store: ObjectStore) -> None:
    scratch = bytearray(b"one")
    sink = store.open_sink("key")
    parts: Sequence[bytes | bytearray | memoryview] = [scratch, b"", memoryview(b" two "), array("H", [1, 2]).tobytes()]
    sink.write(parts)
    sink.write([memoryview(array("H", [3]))])
    scratch[:] = b"ONE"
    sink.write([])
    sink.write([b"!"])

    sink.commit()

    assert content(store, "key") == b"one two " + array("H", [1, 2, 3]).tobytes() + b"!"


def test_a_large_object_goes_to_s3_in_parts_and_a_small_one_in_one_request(
    relayed_store: ObjectStore, relay: Relay
) -> None:
    small = relayed_store.open_sink("small")
    write_all(small, LARGE[:PART_BYTES])
    assert relay.requests == []
    small.commit()
    assert relay.lines() == ["PUT /bucket/small"]

    large = relayed_store.open_sink("large")
    write_all(large, LARGE)
    large.commit()

    assert large.result.etag.endswith("-3")
    assert sorted(request.sent for request in relay.requests if "partNumber" in request.path)[-2:] == [PART_BYTES] * 2


def test_the_parts_of_an_upload_suffice_for_the_largest_object() -> None:
    sizes = [part_bytes(number) for number in range(1, 10_001)]

    assert sum(sizes) >= 5 * 1024**4
    assert sizes == sorted(sizes)
    assert sizes[0] == PART_BYTES
    assert sizes[-1] <= 5 * 1024**3


@pytest.mark.parametrize("size", [5, len(LARGE)], ids=["small", "large"])
def test_a_taken_key_is_kept(store: ObjectStore, tmp_path: Path, s3_client: Any, size: int) -> None:
    store.put("key", b"first")
    sink = store.open_sink("key")

    with pytest.raises(PreconditionFailed, match=r"'bucket', key 'key'.*exists"):
        finish(sink, LARGE[:size])

    assert content(store, "key") == b"first"
    assert set(left_over(tmp_path, store, s3_client)) == {"key"}


@pytest.mark.parametrize("size", [5, len(LARGE)], ids=["small", "large"])
def test_a_taken_key_is_replaced_where_that_is_asked_for(store: ObjectStore, size: int) -> None:
    store.put("key", b"first")
    sink = store.open_sink("key", if_absent=False)
    write_all(sink, LARGE[:size])
    assert content(store, "key") == b"first"

    sink.commit()

    assert content(store, "key") == LARGE[:size]


@pytest.mark.parametrize("size", [5, len(LARGE)], ids=["small", "large"])
def test_of_two_sinks_of_one_key_one_wins(store: ObjectStore, tmp_path: Path, s3_client: Any, size: int) -> None:
    sinks = [store.open_sink("key") for _ in range(2)]
    for sink, data in zip(sinks, (LARGE[:size], LARGE[::-1][:size]), strict=True):
        write_all(sink, data)

    sinks[1].commit()
    with pytest.raises(PreconditionFailed, match="exists"):
        sinks[0].commit()

    assert content(store, "key") == LARGE[::-1][:size]
    assert set(left_over(tmp_path, store, s3_client)) == {"key"}


def test_a_key_taken_in_the_last_moment_is_kept_by_the_servers_own_condition(
    relayed_store: ObjectStore, relay: Relay, s3_store: ObjectStore, s3_client: Any
) -> None:
    def take_the_key(method: str, path: str, _headers: dict[str, str]) -> None:
        if method == "POST" and "uploadId" in path:
            s3_store.put("key", b"the other won")

    relay.before = take_the_key
    sink = relayed_store.open_sink("key")
    write_all(sink, LARGE)

    with pytest.raises(PreconditionFailed, match="exists"):
        sink.commit()

    assert content(s3_store, "key") == b"the other won"
    assert "Uploads" not in s3_client.list_multipart_uploads(Bucket="bucket")


def test_a_large_commit_is_conditional_and_goes_without_where_the_server_refuses_conditions(
    relayed_store: ObjectStore, relay: Relay
) -> None:
    def refuse(method: str, _path: str, headers: dict[str, str]) -> int | None:
        return 501 if method == "POST" and "if-none-match" in headers else None

    relay.before = refuse
    sink = relayed_store.open_sink("key")
    write_all(sink, LARGE)
    sink.commit()

    assert content(relayed_store, "key") == LARGE
    asked = [request for request in relay.requests if request.method == "POST" and "uploadId" in request.path]
    assert [request.headers.get("if-none-match") for request in asked] == ["*", None]


@pytest.mark.parametrize("size", [0, 5, len(LARGE)], ids=["nothing", "small", "large"])
def test_an_abort_leaves_nothing(store: ObjectStore, tmp_path: Path, s3_client: Any, size: int) -> None:
    sink = store.open_sink("key")
    write_all(sink, LARGE[:size])

    sink.abort()
    sink.abort()

    assert left_over(tmp_path, store, s3_client) == []
    with pytest.raises(RuntimeError, match="ended"):
        sink.write([b"more"])
    with pytest.raises(RuntimeError, match="ended"):
        sink.commit()
    with pytest.raises(RuntimeError, match="not committed"):
        _ = sink.result


def test_an_abort_after_the_commit_changes_nothing(store: ObjectStore) -> None:
    sink = store.open_sink("key")
    sink.write([b"1"])
    sink.commit()

    sink.abort()

    assert content(store, "key") == b"1"


def test_a_part_that_the_store_refuses_ends_the_sink_and_leaves_no_upload(
    relayed_store: ObjectStore, relay: Relay, s3_client: Any
) -> None:
    relay.before = lambda _method, path, _headers: 403 if "partNumber=2" in path else None
    sink = relayed_store.open_sink("key")

    with pytest.raises(StoreUnavailable, match="'key'"):
        finish(sink, LARGE)

    assert "Uploads" not in s3_client.list_multipart_uploads(Bucket="bucket")
    with pytest.raises(RuntimeError, match="ended"):
        sink.commit()
    assert not relayed_store.exists("key")


@pytest.mark.parametrize(
    ("length", "more"),
    [(0, 5), (1, 0), (1, PART_BYTES), (5 * 1024 * 1024, 5), (5 * 1024 * 1024 + 1, 5), (len(LARGE), PART_BYTES + 5)],
)
def test_a_copied_start_and_what_is_written_after_it_are_the_object(store: ObjectStore, length: int, more: int) -> None:
    store.put("source", LARGE)
    sink = store.open_sink("target")
    sink.copy(store.as_source("source"), length)
    write_all(sink, LARGE[:more])

    sink.commit()

    assert content(store, "target") == LARGE[:length] + LARGE[:more]
    assert sink.result.size == length + more
    assert (sink.result.sha256 is None) == (length > 0)
    assert sink.result.etag == store.head("target").etag


def test_a_copy_inside_the_server_moves_no_bytes_through_the_client(
    relayed_store: ObjectStore, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart_module, "_COPY_BYTES", 6 * 1024 * 1024)
    etag = relayed_store.put("old/source é+", LARGE).etag
    relay.requests.clear()
    sink = relayed_store.open_sink("target")

    source = relayed_store.as_source("old/source é+", if_match=etag)
    sink.copy(source, len(LARGE))
    sink.write([b"a new end"])
    sink.commit()

    assert content(relayed_store, "target") == LARGE + b"a new end"
    copies = [request for request in relay.requests if "x-amz-copy-source" in request.headers]
    assert len(copies) == 4
    assert {request.headers["x-amz-copy-source-if-match"] for request in copies} == {f'"{etag}"'}
    moved = sum(request.sent + request.received for request in relay.requests if request.method != "GET")
    assert moved < 20_000


def test_a_copy_between_buckets_of_a_server_moves_no_bytes_either(relay: Relay, s3_buckets: Buckets) -> None:
    s3_buckets.create("elsewhere").put("source", LARGE)
    s3_buckets.create("bucket")
    relayed = Buckets(s3_buckets._settings.model_copy(update={"s3_endpoint": relay.url}))
    sink = relayed.bucket("bucket").open_sink("target")

    sink.copy(relayed.bucket("elsewhere").as_source("source"), len(LARGE))
    sink.commit()

    assert content(relayed.bucket("bucket"), "target") == LARGE
    assert sum(request.sent for request in relay.requests) < 20_000


@pytest.mark.parametrize("target", ["file", "s3"])
def test_a_copy_from_another_store_is_streamed_through(
    target: str, file_store: ObjectStore, s3_store: ObjectStore
) -> None:
    into, out_of = (file_store, s3_store) if target == "file" else (s3_store, file_store)
    out_of.put("source", LARGE)
    sink = into.open_sink("target")

    sink.copy(out_of.as_source("source"), 10_000_000)
    sink.commit()

    assert content(into, "target") == LARGE[:10_000_000]


@pytest.mark.parametrize("length", [1_000, len(LARGE)], ids=["small", "large"])
def test_a_source_shorter_than_the_copy_ends_the_sink(
    store: ObjectStore, tmp_path: Path, s3_client: Any, length: int
) -> None:
    store.put("source", LARGE[: length - 1])
    sink = store.open_sink("target")

    with pytest.raises(IntegrityError, match="source"):
        sink.copy(store.as_source("source"), length)

    assert set(left_over(tmp_path, store, s3_client)) == {"source"}


def test_a_source_replaced_before_the_copy_is_noticed(store: ObjectStore, tmp_path: Path, s3_client: Any) -> None:
    store.put("source", LARGE)
    source = store.as_source("source")
    source.read_tail(100)
    store.put("source", LARGE[::-1])
    sink = store.open_sink("target")

    def copy_all() -> None:
        sink.copy(source, len(LARGE))
        sink.commit()

    with pytest.raises(PreconditionFailed, match="'source'"):
        copy_all()

    assert set(left_over(tmp_path, store, s3_client)) == {"source"}


def test_a_copy_can_only_come_first(store: ObjectStore) -> None:
    store.put("source", b"source")
    sink = store.open_sink("target")
    sink.write([b"1"])

    with pytest.raises(ValueError, match="can only come first"):
        sink.copy(store.as_source("source"), 6)

    sink.commit()
    assert content(store, "target") == b"1"


def test_attributes_reach_s3_for_small_and_large_objects(s3_store: ObjectStore, s3_client: Any) -> None:
    attributes = {"sha256": "00ff", "Original_name": "a", "Content-Type": "application/x-des"}
    for key, data in (("small", b"1"), ("large", LARGE)):
        sink = s3_store.open_sink(key, attributes=attributes)
        write_all(sink, data)
        sink.commit()
        head = s3_client.head_object(Bucket="bucket", Key=key)
        assert {name.lower(): value for name, value in head["Metadata"].items()} == {
            "sha256": "00ff",
            "original_name": "a",
        }
        assert head["ContentType"] == "application/x-des"


def test_a_sink_is_refused_at_once_for_a_hostile_key_or_attribute(store: ObjectStore) -> None:
    with pytest.raises(InvalidKey):
        store.open_sink("../x")
    with pytest.raises(InvalidKey):
        store.finish_torn_upload("../x")
    with pytest.raises(ValueError, match="attribute"):
        store.open_sink("key", attributes={"name": "line\nbreak"})


@pytest.mark.parametrize("key", ["object/below", "folder", "x" * 300, "staged#1"])
@pytest.mark.parametrize("if_absent", [True, False])
def test_a_key_that_a_folder_cannot_hold_is_refused(
    file_store: ObjectStore, tmp_path: Path, key: str, *, if_absent: bool
) -> None:
    file_store.put("object", b"")
    file_store.put("folder/below", b"")
    sink = file_store.open_sink(key, if_absent=if_absent)
    sink.write([b"1"])

    with pytest.raises(UnsupportedByStore):
        sink.commit()

    assert sorted(path.name for path in (tmp_path / "root").rglob("*") if path.is_file()) == ["below", "object"]


KILLED = """
import os, sys, time
from des_platform.objectstore import Buckets
from des_platform.settings import Settings

store = Buckets(Settings(store_url=sys.argv[1], s3_endpoint=sys.argv[2])).bucket("bucket")
sink = store.open_sink("key")
data = (bytes(range(251)) * 100_000)[: 20 * 1024 * 1024 + 12_345]
sink.write([data])
if sys.argv[1] == "s3://":
    client = store.s3._connect()
    for _ in range(3000):
        upload = client.list_multipart_uploads(Bucket="bucket")["Uploads"][0]["UploadId"]
        if len(client.list_parts(Bucket="bucket", Key="key", UploadId=upload).get("Parts", [])) == 2:
            break
print("half way", flush=True)
sys.stdin.read()
"""


def kill_half_way(store: ObjectStore, endpoint: str) -> None:
    """Kill a writer of `LARGE` under `key` after two parts of three."""
    url = "s3://" if store.url.startswith("s3") else store.url.removesuffix("/bucket")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, url, endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half way\n"
        writer.send_signal(signal.SIGKILL)


def test_an_upload_torn_by_a_kill_is_brought_back_as_far_as_it_came(
    store: ObjectStore, tmp_path: Path, moto_endpoint: str, s3_client: Any
) -> None:
    kill_half_way(store, moto_endpoint)
    assert not store.exists("key")
    assert store.finish_torn_upload("another key") is None

    etag = store.finish_torn_upload("key")

    assert etag == store.head("key").etag
    torn = content(store, "key")
    assert len(torn) >= 2 * PART_BYTES
    assert torn == LARGE[: len(torn)]
    assert store.finish_torn_upload("key") is None
    assert set(left_over(tmp_path, store, s3_client)) == {"key"}


def test_a_torn_upload_never_replaces_an_object(store: ObjectStore, moto_endpoint: str) -> None:
    kill_half_way(store, moto_endpoint)
    store.put("key", b"whole")

    with pytest.raises(PreconditionFailed, match="exists"):
        store.finish_torn_upload("key")

    assert content(store, "key") == b"whole"
    store.delete("key")
    assert store.finish_torn_upload("key")


def test_the_parts_behind_a_gap_are_left_out(s3_store: ObjectStore, s3_client: Any) -> None:
    upload = s3_client.create_multipart_upload(Bucket="bucket", Key="key")["UploadId"]
    for number in (1, 2, 4, 5):
        s3_client.upload_part(
            Bucket="bucket", Key="key", UploadId=upload, PartNumber=number, Body=bytes([number]) * 5 * 1024 * 1024
        )

    assert s3_store.finish_torn_upload("key")

    found = content(s3_store, "key")
    assert (len(found), set(found)) == (10 * 1024 * 1024, {1, 2})


def test_an_upload_without_a_first_part_has_nothing_to_bring_back(s3_store: ObjectStore, s3_client: Any) -> None:
    upload = s3_client.create_multipart_upload(Bucket="bucket", Key="key")["UploadId"]
    assert s3_store.finish_torn_upload("key") is None
    s3_client.upload_part(Bucket="bucket", Key="key", UploadId=upload, PartNumber=2, Body=b"1")
    s3_client.create_multipart_upload(Bucket="bucket", Key="key/longer")

    assert s3_store.finish_torn_upload("key") is None


def test_in_a_folder_a_writer_that_still_lives_is_left_alone(file_store: ObjectStore) -> None:
    sink = file_store.open_sink("key")
    write_all(sink, LARGE)

    assert file_store.finish_torn_upload("key") is None

    sink.commit()
    assert content(file_store, "key") == LARGE


@pytest.mark.parametrize("size", [0, 5, len(LARGE)])
def test_a_digest_says_what_an_object_holds(store: ObjectStore, size: int) -> None:
    data = LARGE[:size]
    etag = store.put("key", data).etag

    found = store.digest("key", if_match=etag)

    assert (found.size, found.sha256, found.etag) == (size, hashlib.sha256(data).hexdigest(), etag)


def test_a_digest_of_another_version_or_of_nothing_raises(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound):
        store.digest("key")
    store.put("key", b"1")
    with pytest.raises(PreconditionFailed):
        store.digest("key", if_match="other")
