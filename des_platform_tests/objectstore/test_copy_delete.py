"""Existence, copies and deletions."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, ClassVar

import pytest

from des_platform.objectstore import (
    Buckets,
    InvalidKey,
    ObjectNotFound,
    ObjectStore,
    PreconditionFailed,
    StoreUnavailable,
)
from des_platform_tests.objectstore.conftest import LARGE_BYTES, pattern

if TYPE_CHECKING:
    from collections.abc import Callable
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


def test_only_the_version_that_was_seen_is_deleted(store: ObjectStore) -> None:
    seen = store.put("key", b"seen").etag
    store.put("key", b"another")

    with pytest.raises(PreconditionFailed, match="etag"):
        store.delete("key", if_match=seen)

    assert store.get("key", max_bytes=10) == b"another"
    store.delete("key", if_match=store.head("key").etag)
    assert not store.exists("key")
    with pytest.raises(ObjectNotFound):
        store.delete("key", if_match=seen)


class Conditional(BaseHTTPRequestHandler):
    """Knows one object, and answers a conditional deletion as it is told."""

    answer = 412
    asked: ClassVar[list[str | None]]

    def do_HEAD(self) -> None:
        self.reply(200)

    def do_DELETE(self) -> None:
        condition = self.headers["If-Match"]
        self.asked.append(condition)
        self.reply(self.answer if condition else 204)

    def reply(self, status: int) -> None:
        self.send_response(status)
        if status == 200:
            self.send_header("ETag", '"seen"')
            self.send_header("Last-Modified", "Sun, 01 Mar 2026 12:00:00 GMT")
        if status != 204:
            self.send_header("Content-Length", "4" if status == 200 else "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_an_object_that_is_replaced_between_look_and_deletion_stays(
    serve: Callable[[type[BaseHTTPRequestHandler]], ObjectStore],
) -> None:
    class Replaced(Conditional):
        answer = 412
        asked: ClassVar[list[str | None]] = []

    with pytest.raises(PreconditionFailed):
        serve(Replaced).delete("key", if_match="seen")
    assert Replaced.asked == ['"seen"']


def test_a_server_without_conditional_deletions_deletes_what_was_looked_at(
    serve: Callable[[type[BaseHTTPRequestHandler]], ObjectStore],
) -> None:
    class Plain(Conditional):
        answer = 501
        asked: ClassVar[list[str | None]] = []

    serve(Plain).delete("key", if_match="seen")
    assert (Plain.asked[0], Plain.asked[-1]) == ('"seen"', None)
