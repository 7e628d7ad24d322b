"""Downloads to local files: what counts as proof, what is resumed, what never stands under the file's name."""

from __future__ import annotations

import base64
import fcntl
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.objectstore import AccessDenied, IntegrityError, ObjectNotFound, ObjectStore
from des_platform.objectstore.transfers import download, file_download, parts, upload
from des_platform_tests.objectstore.conftest import pattern

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.objectstore.relay import Relay

PART = 5 * 1024 * 1024
CHUNK = 1_000_000
LARGE = pattern(PART + 12_345)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)
    monkeypatch.setattr(file_download, "_CHUNK_BYTES", CHUNK)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder / "file"


def store_as(store: ObjectStore, tmp_path: Path, data: bytes, **options: Any) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    upload(store, source, "key", **options)


def refuse_from(offset: int) -> Any:
    """Ranges from there on are refused; those before come, in whatever order."""

    def refuse(method: str, _path: str, headers: dict[str, str]) -> int | None:
        first = int(headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        return 403 if method == "GET" and first >= offset else None

    return refuse


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_an_object_is_written_with_its_proof(store: ObjectStore, tmp_path: Path, path: Path, data: bytes) -> None:
    store_as(store, tmp_path, data)
    path.write_bytes(b"what was there before")
    seen: list[tuple[int, int | None]] = []

    done = download(store, "key", path, progress=lambda *step: seen.append(step))

    assert path.read_bytes() == data
    assert (done.size, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert done.proof == ("unverified" if store.s3 is None else "checksum")
    assert (seen, seen[-1]) == (sorted(seen), (len(data), len(data)))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_other_bytes_of_the_right_length_are_caught_and_not_written(
    relayed_store: ObjectStore, relay: Relay, tmp_path: Path, path: Path, data: bytes
) -> None:
    store_as(relayed_store, tmp_path, data)
    path.write_bytes(b"before")
    relay.received = lambda method, _path, body: body[:-1] + bytes([body[-1] ^ 1]) if method == "GET" else body

    with pytest.raises(IntegrityError, match=r"'bucket', key 'key'.*the store's own"):
        download(relayed_store, "key", path)

    assert [(file, file.read_bytes()) for file in path.parent.iterdir()] == [(path, b"before")]


def test_the_metadatas_checksum_is_compared_where_the_store_has_none(
    relayed_store: ObjectStore, relay: Relay, s3_client: Any, path: Path
) -> None:
    relay.hidden = "x-amz-checksum"
    for told, proof in (
        ("", "unverified"),
        (hashlib.sha256(b"data").hexdigest(), "metadata"),
        ("no hash", "unverified"),
    ):
        s3_client.put_object(Bucket="bucket", Key="key", Body=b"data", Metadata={"sha256": told})
        assert download(relayed_store, "key", path).proof == proof
    s3_client.put_object(Bucket="bucket", Key="key", Body=b"data", Metadata={"sha256": "0" * 64})
    with pytest.raises(IntegrityError, match="metadata"):
        download(relayed_store, "key", path)


def test_a_checksum_of_parts_whose_size_nobody_tells_is_no_proof(
    s3_store: ObjectStore, s3_client: Any, path: Path
) -> None:
    named = {"Bucket": "bucket", "Key": "key"}
    started = s3_client.create_multipart_upload(**named, ChecksumAlgorithm="SHA256")["UploadId"]
    done = []
    for number, data in enumerate((LARGE[:PART], LARGE[PART:]), 1):
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        part = s3_client.upload_part(
            **named, UploadId=started, PartNumber=number, Body=data, ChecksumAlgorithm="SHA256", ChecksumSHA256=digest
        )
        done.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": digest})
    s3_client.complete_multipart_upload(**named, UploadId=started, MultipartUpload={"Parts": done})

    assert download(s3_store, "key", path).proof == "unverified"
    assert path.read_bytes() == LARGE


def test_an_expected_checksum_decides_alone(store: ObjectStore, path: Path) -> None:
    store.put("key", b"data")

    assert download(store, "key", path, expected_sha256=hashlib.sha256(b"data").hexdigest().upper()).proof == "expected"
    with pytest.raises(IntegrityError, match="the expected one is 000"):
        download(store, "key", path, expected_sha256="0" * 64)
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_download_goes_on_where_it_broke_off(
    relayed_store: ObjectStore, relay: Relay, tmp_path: Path, path: Path
) -> None:
    store_as(relayed_store, tmp_path, LARGE)
    relay.before = refuse_from(3 * CHUNK)
    with pytest.raises(AccessDenied):
        download(relayed_store, "key", path)
    (left,) = path.parent.iterdir()
    assert left != path
    relay.before = lambda *_: None

    done = download(relayed_store, "key", path)

    assert (done.resumed_bytes, done.proof) == (3 * CHUNK, "checksum")
    assert path.read_bytes() == LARGE
    assert list(path.parent.iterdir()) == [path]


def test_what_came_of_another_version_is_thrown_away(
    relayed_store: ObjectStore, relay: Relay, tmp_path: Path, path: Path
) -> None:
    store_as(relayed_store, tmp_path, LARGE)
    relay.before = refuse_from(3 * CHUNK)
    with pytest.raises(AccessDenied):
        download(relayed_store, "key", path)
    relay.before = lambda *_: None
    store_as(relayed_store, tmp_path, LARGE[::-1])

    assert download(relayed_store, "key", path).resumed_bytes == 0
    assert path.read_bytes() == LARGE[::-1]
    assert list(path.parent.iterdir()) == [path]


def test_a_spoilt_part_of_a_file_is_caught_at_the_end_and_the_next_try_is_clean(
    relayed_store: ObjectStore, relay: Relay, tmp_path: Path, path: Path
) -> None:
    store_as(relayed_store, tmp_path, LARGE)
    relay.before = refuse_from(3 * CHUNK)
    with pytest.raises(AccessDenied):
        download(relayed_store, "key", path)
    relay.before = lambda *_: None
    (left,) = path.parent.iterdir()
    left.write_bytes(b"x" * left.stat().st_size)

    with pytest.raises(IntegrityError):
        download(relayed_store, "key", path)
    assert download(relayed_store, "key", path).resumed_bytes == 0
    assert path.read_bytes() == LARGE


def test_without_resumption_nothing_is_left(
    relayed_store: ObjectStore, relay: Relay, tmp_path: Path, path: Path
) -> None:
    store_as(relayed_store, tmp_path, LARGE)
    relay.before = refuse_from(3 * CHUNK)

    with pytest.raises(AccessDenied):
        download(relayed_store, "key", path, resume=False)

    assert list(path.parent.iterdir()) == []


def test_an_object_replaced_meanwhile_is_named_and_nothing_is_written(
    store: ObjectStore, tmp_path: Path, path: Path
) -> None:
    store_as(store, tmp_path, LARGE)

    def replace(done: int, _total: int | None) -> None:
        if done == CHUNK:
            store.put("key", LARGE[::-1])

    with pytest.raises(IntegrityError, match="replaced while it was downloaded"):
        download(store, "key", path, progress=replace, resume=False)

    assert list(path.parent.iterdir()) == []


def test_two_downloads_of_one_file_do_not_meet(store: ObjectStore, tmp_path: Path, path: Path) -> None:
    store_as(store, tmp_path, LARGE)
    inner: list[int] = []

    def again(done: int, _total: int | None) -> None:
        if done == CHUNK:
            inner.append(download(store, "key", path).size)

    assert download(store, "key", path, progress=again).size == inner[0] == len(LARGE)
    assert path.read_bytes() == LARGE
    assert list(path.parent.iterdir()) == [path]


def test_parts_of_another_process_and_of_other_files_stay(store: ObjectStore, path: Path) -> None:
    store.put("key", b"data")
    busy, other = path.with_name(f".file.{'a' * 16}.part"), path.with_name(f".file.txt.{'b' * 16}.part")
    other.touch()
    with busy.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        download(store, "key", path)
    assert sorted(path.parent.iterdir()) == sorted([busy, other, path])


def test_a_missing_object_and_a_place_that_holds_no_file_are_refused(store: ObjectStore, path: Path) -> None:
    store.put("key", b"data")
    with pytest.raises(ObjectNotFound):
        download(store, "missing", path)
    with pytest.raises(IsADirectoryError):
        download(store, "key", path.parent)
    with pytest.raises(IntegrityError, match="4 bytes, expected at least 5"):
        download(store, "key", path, min_bytes=5)
    assert list(path.parent.iterdir()) == []


def test_a_name_as_long_as_the_system_allows_can_be_written(store: ObjectStore, path: Path) -> None:
    store.put("key", b"data")
    long = path.with_name("ü" * 127)
    download(store, "key", long)
    assert long.read_bytes() == b"data"
