"""Uploads of local files: what counts as proof, what is resumed, what is left behind."""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.objectstore import AccessDenied, IntegrityError, ObjectStore, SourceChanged
from des_platform.objectstore.transfers import parts, upload
from des_platform_tests.objectstore.conftest import pattern

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.objectstore.relay import Relay

PART = 5 * 1024 * 1024
LARGE = pattern(2 * PART + 12_345)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    return path


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory"


def flipped(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


def unfinished(client: Any) -> list[Any]:
    found: list[Any] = client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    return found


def refuse(part: int) -> Any:
    return lambda _method, path, _headers: 403 if f"partNumber={part}" in path else None


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("verify", ["reply", "read-back"])
def test_a_file_is_stored_with_its_proof(store: ObjectStore, path: Path, data: bytes, verify: Any) -> None:
    path.write_bytes(data)
    seen: list[tuple[int, int | None]] = []

    done = upload(store, path, "a/key", verify=verify, progress=lambda *step: seen.append(step))

    assert store.get("a/key", max_bytes=len(LARGE)) == data
    assert (done.key, done.size, done.etag) == ("a/key", len(data), store.head("a/key").etag)
    on_s3 = store.s3 is not None
    assert done.proof == ("read-back" if verify == "read-back" else "checksum" if on_s3 else "size")
    whole_is_known = data is not LARGE or verify == "read-back" or not on_s3
    assert done.sha256 == (hashlib.sha256(data).hexdigest() if whole_is_known else None)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((0, len(data)), (len(data), len(data)))


def test_metadata_reach_the_object(s3_store: ObjectStore, s3_client: Any, path: Path) -> None:
    for data in (b"small", LARGE):
        path.write_bytes(data)
        upload(s3_store, path, "key", metadata={"month": "2026-03", "Content-Type": "text/plain"})
        found = s3_client.head_object(Bucket="bucket", Key="key")
        assert (found["Metadata"]["month"], found["ContentType"]) == ("2026-03", "text/plain")


def test_an_interrupted_upload_sends_only_what_is_missing(
    relayed_store: ObjectStore, relay: Relay, path: Path, memory: Path, s3_client: Any
) -> None:
    relay.before = refuse(3)
    with pytest.raises(AccessDenied):
        upload(relayed_store, path, "key", resume=memory)
    assert not relayed_store.exists("key")
    relay.before = lambda *_: None
    relay.requests.clear()

    done = upload(relayed_store, path, "key", resume=memory)

    assert (done.resumed_bytes, done.proof) == (2 * PART, "checksum")
    assert [line.path.count("partNumber") for line in relay.requests if line.method == "PUT"] == [1]
    assert relayed_store.get("key", max_bytes=len(LARGE)) == LARGE
    assert (unfinished(s3_client), list(memory.iterdir())) == ([], [])


def test_a_part_with_other_bytes_is_sent_again(
    relayed_store: ObjectStore, relay: Relay, path: Path, memory: Path, s3_client: Any
) -> None:
    relay.before = refuse(3)
    with pytest.raises(AccessDenied):
        upload(relayed_store, path, "key", resume=memory)
    relay.before = lambda *_: None
    (left,) = unfinished(s3_client)
    s3_client.upload_part(
        Bucket="bucket", Key="key", UploadId=left["UploadId"], PartNumber=1, Body=flipped(LARGE[:PART])
    )

    done = upload(relayed_store, path, "key", resume=memory)

    assert done.resumed_bytes == PART
    assert relayed_store.get("key", max_bytes=len(LARGE)) == LARGE


@pytest.mark.parametrize("change", ["file", "metadata", "torn memory"])
def test_what_an_upload_of_something_else_left_is_not_taken_up(
    relayed_store: ObjectStore, relay: Relay, path: Path, memory: Path, change: str
) -> None:
    relay.before = refuse(3)
    with pytest.raises(AccessDenied):
        upload(relayed_store, path, "key", resume=memory)
    relay.before = lambda *_: None
    if change == "file":
        path.write_bytes(LARGE[::-1])
    if change == "torn memory":
        for file in memory.iterdir():
            file.write_text('{"upload": "x')

    done = upload(relayed_store, path, "key", resume=memory, metadata={"new": "1"} if change == "metadata" else None)

    assert (done.resumed_bytes, done.proof) == (0, "checksum")
    assert relayed_store.get("key", max_bytes=len(LARGE)) == path.read_bytes()


def test_an_upload_that_the_store_forgot_begins_anew(
    relayed_store: ObjectStore, relay: Relay, path: Path, memory: Path, s3_client: Any
) -> None:
    relay.before = refuse(3)
    with pytest.raises(AccessDenied):
        upload(relayed_store, path, "key", resume=memory)
    relay.before = lambda *_: None
    (left,) = unfinished(s3_client)
    s3_client.abort_multipart_upload(Bucket="bucket", Key="key", UploadId=left["UploadId"])

    assert upload(relayed_store, path, "key", resume=memory).resumed_bytes == 0


def test_without_a_memory_a_failed_upload_leaves_no_parts(
    relayed_store: ObjectStore, relay: Relay, path: Path, s3_client: Any
) -> None:
    relay.before = refuse(2)
    with pytest.raises(AccessDenied):
        upload(relayed_store, path, "key")

    assert (unfinished(s3_client), list(relayed_store.list())) == ([], [])


def test_a_memory_that_cannot_be_written_costs_only_the_resumption(
    s3_store: ObjectStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert upload(s3_store, path, "key", resume=path / "below a file").proof == "checksum"
    assert "would begin anew" in caplog.text


@pytest.mark.parametrize("size", [10, len(LARGE)], ids=["small", "large"])
@pytest.mark.parametrize("change", ["grows", "is rewritten", "is replaced", "vanishes"])
def test_a_file_that_changes_while_it_is_uploaded_becomes_no_object(
    store: ObjectStore, request: pytest.FixtureRequest, path: Path, memory: Path, size: int, change: str
) -> None:
    path.write_bytes(LARGE[:size])

    def spoil(*_: object) -> None:
        if change == "grows":
            path.write_bytes(LARGE[:size] + b"more")
        elif change == "is rewritten":
            path.write_bytes(LARGE[::-1][:size])
            os.utime(path, ns=(1, 1))
        else:
            path.unlink(missing_ok=True)
            if change == "is replaced":
                path.write_bytes(LARGE[:size])

    with pytest.raises(SourceChanged, match=str(path)):
        upload(store, path, "key", progress=spoil, resume=memory)

    assert list(store.list()) == []
    if store.s3 is not None:
        assert unfinished(request.getfixturevalue("s3_client")) == []


@pytest.mark.parametrize(("data", "verify"), [(LARGE, "reply"), (LARGE, "read-back"), (b"small", "read-back")])
def test_a_store_that_keeps_other_bytes_is_caught(
    relayed_store: ObjectStore, relay: Relay, path: Path, data: bytes, verify: Any
) -> None:
    path.write_bytes(data)
    is_data = {"PUT"}
    relay.sent = lambda method, _path, body: flipped(body) if method in is_data and len(body) > 4 else body

    with pytest.raises(IntegrityError, match=r"'bucket', key 'key'.*SHA-256"):
        upload(relayed_store, path, "key", verify=verify)


def test_metadata_that_we_wrote_ourselves_prove_nothing(relayed_store: ObjectStore, relay: Relay, path: Path) -> None:
    path.write_bytes(b"small")
    relay.sent = lambda method, _path, body: flipped(body) if method == "PUT" else body

    with pytest.raises(IntegrityError, match="read back"):
        upload(relayed_store, path, "key", verify="read-back", metadata={"sha256": "0" * 64})


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_store_without_checksums_is_said_to_prove_nothing(
    relayed_store: ObjectStore, relay: Relay, path: Path, data: bytes
) -> None:
    path.write_bytes(data)
    relay.hidden = "x-amz-checksum"

    assert upload(relayed_store, path, "key").proof == "size"
    assert upload(relayed_store, path, "key", verify="read-back").proof == "read-back"


def test_a_refusal_is_named_and_not_asked_for_again(relayed_store: ObjectStore, relay: Relay, path: Path) -> None:
    relay.before = lambda *_: 403

    with pytest.raises(AccessDenied, match="'bucket', key 'key'.*access was denied"):
        upload(relayed_store, path, "key")

    assert len(relay.requests) == 1


@pytest.mark.parametrize("resume", [False, True])
def test_a_busy_store_is_asked_again_in_one_layer(
    relayed_store: ObjectStore, relay: Relay, path: Path, memory: Path, *, resume: bool
) -> None:
    busy = iter([503, 503])
    relay.before = lambda _method, path, _headers: next(busy, None) if "partNumber=1" in path else None

    assert upload(relayed_store, path, "key", resume=memory if resume else None).proof == "checksum"
    assert sum("partNumber=1" in request.path for request in relay.requests) == 3


def test_the_log_tells_of_an_upload_that_nobody_watches(
    s3_store: ObjectStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="des_platform")
    upload(s3_store, path, "key")

    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("des_platform")]
    assert line.startswith("upload of file to s3://bucket/key: 10.5 of 10.5 MB (100%), ")


def test_what_is_no_regular_file_is_refused(s3_store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        upload(s3_store, tmp_path, "key")
    with pytest.raises(ValueError, match="/dev/zero is no regular file"):
        upload(s3_store, type(tmp_path)("/dev/zero"), "key")
    with pytest.raises(ValueError, match="attribute"):
        upload(s3_store, tmp_path / "missing", "key", metadata={"name": "line\nbreak"})
