"""Listings: prefixes, order, resumption, and names that the platform itself would not use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.objectstore import Buckets, InvalidKey, ObjectStore, StoreUnavailable, check_key, listing

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ["a-b/c", "a.b", "a/b/c", "a/b/d/e", "a/bc.txt", "a/x", "ab", "b", "é/z", "日本"]


@pytest.fixture
def filled(store: ObjectStore) -> ObjectStore:
    for key in reversed(KEYS):
        store.put(key, key.encode())
    return store


def keys(store: ObjectStore, prefix: str = "", start_after: str | None = None) -> list[str]:
    return [info.key for info in store.list(prefix, start_after=start_after)]


def test_a_listing_is_complete_and_in_key_order(filled: ObjectStore) -> None:
    assert keys(filled) == KEYS == sorted(KEYS, key=str.encode)


PREFIXES = ["a", "a/", "a/b", "a/b/", "a/b/c", "a/bc.txt", "a-", "é", "zzz", "a//b", "/a", "../", "a/./b", "a/b/c/"]


def test_a_prefix_is_the_plain_start_of_a_key(filled: ObjectStore) -> None:
    found = {prefix: keys(filled, prefix) for prefix in PREFIXES}

    assert found == {prefix: [key for key in KEYS if key.startswith(prefix)] for prefix in PREFIXES}


@pytest.mark.parametrize("prefix", ["", "a/b"])
def test_a_listing_resumes_after_a_key(filled: ObjectStore, prefix: str) -> None:
    marks = ["", "a", "a/", "a/b", "a/b/c", "a/b/zz", "a0", "ab", "zzz", "日本", "a/b\x7f"]

    found = {mark: keys(filled, prefix, mark) for mark in marks}

    assert found == {mark: [key for key in KEYS if key.startswith(prefix) and key > mark] for mark in marks}


def test_listed_objects_are_described_as_head_describes_them(filled: ObjectStore) -> None:
    for info in filled.list():
        head = filled.head(info.key)
        assert (info.key, info.size, info.etag) == (head.key, head.size, head.etag)
        # S3 heads round to seconds what its listing gives in milliseconds.
        assert info.last_modified.replace(microsecond=0) == head.last_modified.replace(microsecond=0)
        assert info.last_modified.tzinfo is not None


def test_an_empty_bucket_lists_nothing(store: ObjectStore) -> None:
    assert keys(store) == []


def test_a_missing_folder_lists_nothing_and_a_missing_s3_bucket_raises(
    file_buckets: Buckets, s3_buckets: Buckets, tmp_path: Path
) -> None:
    gone = file_buckets.bucket("gone")
    (tmp_path / "root" / "gone").rmdir()

    assert keys(gone) == []
    with pytest.raises(StoreUnavailable, match=r"'nowhere'.*does not exist"):
        keys(s3_buckets.bucket("nowhere"))


def test_a_listing_asks_s3_for_the_next_page_only_when_it_is_reached(
    s3_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE_KEYS", 3)
    for number in range(8):
        s3_store.put(str(number), b"")
    listed = s3_store.list()
    first_page = [next(listed).key for _ in range(3)]
    s3_store.delete("4")

    assert first_page == ["0", "1", "2"]
    assert [info.key for info in listed] == ["3", "5", "6", "7"]


def test_strange_keys_of_others_do_not_end_an_s3_listing(s3_store: ObjectStore, s3_client: Any) -> None:
    strange = ["a//b", "a/./b", "back\\slash", "folder/", "tab\tname"]
    for key in [*strange, "good"]:
        s3_client.put_object(Bucket="bucket", Key=key, Body=b"1")

    assert keys(s3_store) == sorted([*strange, "good"])
    for key in strange:
        with pytest.raises(InvalidKey):
            check_key(key)


def test_strange_files_of_others_do_not_end_the_listing_of_a_folder(file_store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "root" / "bucket"
    file_store.put("good", b"1")
    (folder / "line\nbreak").write_bytes(b"1")
    (folder / os.fsdecode(b"not-\xff-unicode")).write_bytes(b"1")
    (folder / "cycle").symlink_to(folder)
    (folder / "dangling").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe")
    (folder / "uploading#1").write_bytes(b"half")

    assert keys(file_store) == ["good", "line\nbreak", "not-\udcff-unicode"]
    for key in keys(file_store)[1:]:
        with pytest.raises(InvalidKey):
            check_key(key)
