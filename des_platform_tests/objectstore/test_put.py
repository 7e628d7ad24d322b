"""What a put stores, under which conditions, and what it leaves behind when it fails."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.objectstore import (
    InvalidKey,
    ObjectNotFound,
    ObjectStore,
    PreconditionFailed,
    StoreUnavailable,
    UnsupportedByStore,
)
from des_platform_tests.objectstore.conftest import LARGE_BYTES, pattern

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = pattern(LARGE_BYTES)
PIECE = 300_000


def in_pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def failing(data: bytes) -> Iterator[bytes]:
    yield from in_pieces(data)
    raise FileNotFoundError("the source went away")


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "stream"])
def test_what_was_put_is_read_back_with_size_and_sha256(store: ObjectStore, data: bytes, *, streamed: bool) -> None:
    result = store.put("a/key", in_pieces(data) if streamed else data)

    assert store.get("a/key", max_bytes=LARGE_BYTES) == data
    assert (result.key, result.size, result.sha256) == ("a/key", len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_put_head_and_list_agree_on_the_etag(store: ObjectStore, data: bytes) -> None:
    result = store.put("a/key", in_pieces(data))

    assert '"' not in result.etag
    assert result.etag == store.head("a/key").etag == next(store.list("a/")).etag
    assert store.get("a/key", max_bytes=LARGE_BYTES, if_match=result.etag) == data


def test_a_large_stream_goes_to_s3_in_parts_and_a_small_one_in_a_single_put(s3_store: ObjectStore) -> None:
    assert s3_store.put("large", in_pieces(LARGE)).etag.endswith("-2")
    assert s3_store.put("small", in_pieces(b"small")).etag == hashlib.md5(b"small").hexdigest()  # noqa: S324 - S3's etag


def test_a_put_replaces_what_was_there(store: ObjectStore) -> None:
    before = store.put("key", LARGE)
    after = store.put("key", b"new")

    assert store.get("key", max_bytes=10) == b"new"
    assert before.etag != after.etag


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_file_is_put_with_its_size_known_to_the_progress(store: ObjectStore, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "upload"
    path.write_bytes(data)
    seen: list[tuple[int, int | None]] = []

    result = store.put_file("key", path, progress=lambda done, total: seen.append((done, total)))

    assert result.sha256 == hashlib.sha256(data).hexdigest()
    assert store.get("key", max_bytes=LARGE_BYTES) == data
    assert seen == sorted(seen)
    assert seen[-1] == (len(data), len(data))


def test_the_progress_of_a_stream_counts_without_a_total(store: ObjectStore) -> None:
    seen: list[tuple[int, int | None]] = []

    store.put("key", in_pieces(LARGE), progress=lambda done, total: seen.append((done, total)))

    assert len(seen) > 1
    assert seen[-1] == (LARGE_BYTES, None)


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "stream"])
def test_if_absent_keeps_what_is_there(store: ObjectStore, data: bytes, *, streamed: bool) -> None:
    store.put("free/key", in_pieces(data) if streamed else data, if_absent=True)
    assert store.get("free/key", max_bytes=LARGE_BYTES) == data
    store.put("taken", b"first")

    with pytest.raises(PreconditionFailed, match=r"'bucket', key 'taken'.*exists"):
        store.put("taken", in_pieces(data) if streamed else data, if_absent=True)

    assert store.get("taken", max_bytes=10) == b"first"
    assert [info.key for info in store.list()] == ["free/key", "taken"]


def test_of_many_writers_at_once_exactly_one_finds_the_key_absent(store: ObjectStore) -> None:
    def write(number: int) -> bool:
        try:
            store.put("lock", str(number).encode(), if_absent=True)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(16)))

    assert won.count(True) == 1
    assert store.get("lock", max_bytes=10) == str(won.index(True)).encode()


def test_large_streams_racing_for_a_key_in_a_folder_have_one_winner(file_store: ObjectStore) -> None:
    def racing() -> Iterator[bytes]:
        yield LARGE
        # Taken after the upload began: only a condition on the commit itself notices.
        file_store.put("key", b"the other won")

    with pytest.raises(PreconditionFailed):
        file_store.put("key", racing(), if_absent=True)

    assert file_store.get("key", max_bytes=20) == b"the other won"


def test_a_large_stream_to_s3_checks_the_key_again_before_it_completes(s3_store: ObjectStore, s3_client: Any) -> None:
    def racing() -> Iterator[bytes]:
        yield LARGE
        s3_store.put("key", b"the other won")

    with pytest.raises(PreconditionFailed):
        s3_store.put("key", racing(), if_absent=True)

    assert s3_store.get("key", max_bytes=20) == b"the other won"
    assert "Uploads" not in s3_client.list_multipart_uploads(Bucket="bucket")


def test_if_match_swaps_only_the_version_it_names_on_s3(s3_store: ObjectStore) -> None:
    first = s3_store.put("key", b"1")
    second = s3_store.put("key", b"2", if_match=first.etag)

    with pytest.raises(PreconditionFailed):
        s3_store.put("key", b"3", if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        s3_store.put("never", b"3", if_match=second.etag)

    assert s3_store.get("key", max_bytes=10) == b"2"
    assert not s3_store.exists("never")


def test_if_match_is_refused_where_it_cannot_be_kept(file_store: ObjectStore) -> None:
    first = file_store.put("key", b"1")

    with pytest.raises(UnsupportedByStore, match="'key'"):
        file_store.put("key", b"2", if_match=first.etag)

    assert file_store.get("key", max_bytes=10) == b"1"


def test_if_match_is_refused_for_a_stream_of_several_parts(store: ObjectStore) -> None:
    first = store.put("key", b"1")

    with pytest.raises(UnsupportedByStore, match="pass bytes"):
        store.put("key", in_pieces(LARGE), if_match=first.etag)

    assert store.get("key", max_bytes=10) == b"1"


def test_both_conditions_at_once_are_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="not both"):
        store.put("key", b"", if_absent=True, if_match="etag")


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("if_absent", [False, True])
def test_an_error_in_the_data_leaves_nothing_behind(
    store: ObjectStore, tmp_path: Path, data: bytes, *, if_absent: bool
) -> None:
    with pytest.raises(FileNotFoundError, match="the source went away"):
        store.put("folder/key", failing(data), if_absent=if_absent)

    with pytest.raises(ObjectNotFound):
        store.head("folder/key")
    assert list(store.list()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_error_in_the_data_aborts_the_upload_on_s3(s3_store: ObjectStore, s3_client: Any) -> None:
    s3_store.put("key", b"before")

    with pytest.raises(FileNotFoundError):
        s3_store.put("key", failing(LARGE))

    assert s3_store.get("key", max_bytes=10) == b"before"
    assert "Uploads" not in s3_client.list_multipart_uploads(Bucket="bucket")


def test_an_object_is_copied_by_putting_the_stream_of_another(store: ObjectStore) -> None:
    store.put("source", LARGE)

    result = store.put("target", store.stream("source", chunk_bytes=3_000_000))

    assert result.sha256 == hashlib.sha256(LARGE).hexdigest()


def test_attributes_reach_s3_for_small_and_large_objects(s3_store: ObjectStore, s3_client: Any) -> None:
    attributes = {"sha256": "00ff", "original_name": "a", "Content-Type": "application/x-des"}

    for key, data in (("small", b"1"), ("large", LARGE)):
        s3_store.put(key, data, attributes=attributes)
        head = s3_client.head_object(Bucket="bucket", Key=key)
        assert head["Metadata"] == {"sha256": "00ff", "original_name": "a"}
        assert head["ContentType"] == "application/x-des"


def test_a_folder_takes_an_object_without_its_attributes(file_store: ObjectStore) -> None:
    file_store.put("small", b"1", attributes={"sha256": "00ff"})
    file_store.put("large", LARGE, attributes={"sha256": "00ff"})

    assert [info.size for info in file_store.list()] == [LARGE_BYTES, 1]


@pytest.mark.parametrize("attributes", [{"name": "line\nbreak"}, {"name": "é"}, {"a b": "1"}, {"": "1"}])
def test_attributes_that_s3_cannot_carry_are_refused(store: ObjectStore, attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="attribute"):
        store.put("key", b"1", attributes=attributes)

    assert not store.exists("key")


def test_a_hostile_key_is_refused_before_the_data_is_touched(store: ObjectStore) -> None:
    with pytest.raises(InvalidKey):
        store.put("../escape", failing(b""))


def test_a_missing_s3_bucket_is_named(s3_buckets: Any) -> None:
    with pytest.raises(StoreUnavailable, match=r"'nowhere'.*does not exist"):
        s3_buckets.bucket("nowhere").put("key", b"")


@pytest.mark.parametrize("key", ["object/below", "folder", "x" * 300, "staged#1"])
def test_a_key_that_a_folder_cannot_hold_is_refused_and_reads_as_absent(file_store: ObjectStore, key: str) -> None:
    file_store.put("object", b"")
    file_store.put("folder/below", b"")

    with pytest.raises(UnsupportedByStore):
        file_store.put(key, b"1")

    assert not file_store.exists(key)
    with pytest.raises(ObjectNotFound):
        file_store.get(key, max_bytes=10)
    file_store.delete(key)
    assert [info.key for info in file_store.list()] == ["folder/below", "object"]


def test_a_stream_far_larger_than_memory_allows_is_put_in_bounded_memory(tmp_path: Path) -> None:
    script = """
import resource, sys
from des_platform.objectstore import Buckets
from des_platform.settings import Settings

store = Buckets(Settings(store_url=f"file://{sys.argv[1]}")).create("bucket")
store.put("warm", b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store.put("key", (bytes(1 << 20) for _ in range(256)))
size = sum(len(chunk) for chunk in store.stream("key"))
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    size, grown_kib = map(int, done.stdout.split())

    assert size == 256 * 1024 * 1024
    assert grown_kib < 100 * 1024
