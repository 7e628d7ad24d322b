"""Existence, copies and deletions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from des_platform.objectstore import Buckets, InvalidKey, ObjectNotFound, ObjectStore, StoreUnavailable
from des_platform_tests.objectstore.conftest import LARGE_BYTES, pattern

if TYPE_CHECKING:
    from pathlib import Path


def test_an_object_exists_from_put_to_delete(store: ObjectStore) -> None:
    assert not store.exists("a/key")
    store.put("a/key", b"")
    assert store.exists("a/key")
    assert not store.exists("a")
    store.delete("a/key")
    assert not store.exists("a/key")


def test_head_of_nothing_names_bucket_and_key(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound, match="'bucket' has no object 'nothing'"):
        store.head("nothing")


def test_a_copy_is_independent_of_its_source(store: ObjectStore) -> None:
    data = pattern(LARGE_BYTES)
    store.put("source", data)
    store.put("b/target", b"old")

    store.copy("source", "b/target")
    store.put("source", b"changed")
    assert store.get("b/target", max_bytes=LARGE_BYTES) == data
    store.delete("source")
    assert store.get("b/target", max_bytes=LARGE_BYTES) == data


def test_a_copy_onto_itself_changes_nothing(store: ObjectStore) -> None:
    etag = store.put("key", b"1").etag

    store.copy("key", "key")

    assert store.head("key").etag == etag


@pytest.mark.parametrize("target", ["target", "nothing"])
def test_a_copy_of_nothing_raises(store: ObjectStore, target: str) -> None:
    with pytest.raises(ObjectNotFound, match="'nothing'"):
        store.copy("nothing", target)
    assert not store.exists("target")


def test_deleting_what_is_absent_is_fine(store: ObjectStore) -> None:
    present = [f"key/{number}" for number in range(30)]
    for key in present:
        store.put(key, b"")

    store.delete("nothing")
    store.delete_many(key for key in ["absent", "key", *present, "key/30/below"])
    store.delete_many([])

    assert list(store.list()) == []


def test_a_hostile_key_among_others_is_refused(store: ObjectStore) -> None:
    store.put("good", b"")

    with pytest.raises(InvalidKey):
        store.delete_many(["good", "../bad"])

    assert store.exists("good")


def test_more_keys_than_one_request_takes_are_deleted(s3_store: ObjectStore) -> None:
    s3_store.put("0000", b"")
    s3_store.put("2004", b"")

    s3_store.delete_many(f"{number:04}" for number in range(2005))

    assert list(s3_store.list()) == []


def test_deleting_from_a_missing_s3_bucket_is_an_error(s3_buckets: Buckets) -> None:
    with pytest.raises(StoreUnavailable, match="does not exist"):
        s3_buckets.bucket("nowhere").delete("key")


def test_deleting_the_last_file_removes_its_empty_folders(file_store: ObjectStore, tmp_path: Path) -> None:
    file_store.put("a/b/c", b"")

    file_store.delete("a/b/c")

    assert list((tmp_path / "root" / "bucket").iterdir()) == []
