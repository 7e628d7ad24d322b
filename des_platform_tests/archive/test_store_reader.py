"""Archives in an object store, on a real S3 server and on a folder."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from des_platform.archive.cache import InMemoryIndexCache
from des_platform.archive.errors import CorruptArchive, ExternalFile
from des_platform.archive.reader import DesReader
from des_platform.archive.store import S3DesReader
from des_platform.archive.writer import DesWriter
from des_platform.objectstore import Buckets, ObjectStore
from des_platform.objectstore.errors import ObjectNotFound, PreconditionFailed
from des_platform.settings import Settings
from des_platform_tests.archive.counting import CountingSource
from des_platform_tests.archive.literal_v2 import Archive, Item, external_record, write_v2

if TYPE_CHECKING:
    from pathlib import Path

KEY = "2025-01-15/shard_00.des"
FILES: dict[str, bytes | Item] = {f"d/{number}": Item(b"%d" % number * 60) for number in range(3000)}


@functools.cache
def _s3_buckets(endpoint: str) -> Buckets:
    """One for all tests, because boto3 takes 0.2 s to make a client; the server forgets its buckets between them."""
    return Buckets(Settings(store_url="s3://", bucket="own", s3_endpoint=endpoint))


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        buckets = Buckets(Settings(store_url=f"file://{tmp_path}/root", bucket="own"))
    else:
        buckets = _s3_buckets(request.getfixturevalue("moto_endpoint"))
    return buckets.create("bucket")


@pytest.fixture(scope="module")
def archive() -> Archive:
    return write_v2(FILES, page_count=8)


class Counted:
    """A store of one object that counts what is asked of it."""

    def __init__(self, data: bytes, etag: str) -> None:
        self.source = CountingSource(data)
        self.etag = etag

    def as_source(self, key: str, *, if_match: str | None = None) -> CountingSource:
        assert key == KEY
        self.source = CountingSource(self.source.data, etag=if_match or None)
        return self.source

    def get(self, key: str, *, max_bytes: int) -> bytes:
        raise LookupError(f"{key} of {max_bytes} bytes")

    def put(self, key: str, data: bytes, *, attributes: object = None) -> None:
        raise AssertionError(key, data, attributes)


def test_an_archive_in_a_store_is_read_like_a_local_one(store: ObjectStore, archive: Archive) -> None:
    put = store.put(KEY, archive.data)
    for options in ({}, {"etag": put.etag}, {"hint": archive.hint()}, {"etag": put.etag, "hint": archive.hint()}):
        with S3DesReader(store, KEY, **options) as reader:
            assert reader.get_file("d/7") == b"7" * 60
            assert reader.get_files_batch(["d/1", "absent", "d/2999"]) == {"d/1": b"1" * 60, "d/2999": b"2999" * 60}
            assert reader.list_files("d/299") == sorted(name for name in FILES if name.startswith("d/299"))
            assert reader.get_meta("d/10") == {"size": 120}


def test_an_archive_that_was_replaced_is_noticed_and_never_mixed(store: ObjectStore, archive: Archive) -> None:
    put = store.put(KEY, archive.data)
    reader = S3DesReader(store, KEY)
    assert reader.get_file("d/7") == b"7" * 60
    store.put(KEY, write_v2({name: Item(b"new" * 30) for name in FILES}, page_count=8).data)
    with pytest.raises(PreconditionFailed):
        reader.get_file("d/2000")
    with pytest.raises(PreconditionFailed):
        reader.list_files()
    with pytest.raises(PreconditionFailed):
        S3DesReader(store, KEY, etag=put.etag)
    with pytest.raises(PreconditionFailed):
        S3DesReader(store, KEY, etag=put.etag, hint=archive.hint()).get_file("d/7")
    assert S3DesReader(store, KEY, hint=archive.hint()).get_file("d/7") == b"new" * 30


def test_an_old_hint_that_leads_behind_the_end_is_given_up(store: ObjectStore, archive: Archive) -> None:
    store.put(KEY, write_v2({"d/7": b"new"}).data)
    reader = S3DesReader(store, KEY, hint=archive.hint())
    assert reader.get_file("d/7") == b"new"
    assert S3DesReader(store, KEY, hint=archive.hint()).get_files_batch(["d/7", "d/8"]) == {"d/7": b"new"}


def test_what_is_not_there_or_no_archive_is_told(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound):
        S3DesReader(store, KEY)
    for content in (b"", b"x", bytes(100_000)):
        store.put(KEY, content)
        with pytest.raises(CorruptArchive):
            S3DesReader(store, KEY)


@pytest.mark.parametrize("prefix", ["2025-01-15", "2025-01-15/shard_00", "", "else/where"])
def test_big_files_are_found_under_whichever_prefix_they_were_written(store: ObjectStore, prefix: str) -> None:
    key = f"{prefix}/_bigFiles/big" if prefix else "_bigFiles/big"
    store.put(key, b"large" * 10)
    record = external_record(key, 50, k=1)
    store.put(KEY, write_v2({"a": b"alpha", "big": Item(record, 50, flags=1)}).data)
    reader = S3DesReader(store, KEY)
    assert reader.get_file("big") == b"large" * 10
    assert reader.get_files_batch(["big", "a"]) == {"big": b"large" * 10, "a": b"alpha"}
    assert reader.list_files() == ["a", "big"]
    assert reader.list_files(include_external=False) == ["a"]
    assert reader.list_files("b", include_external=False) == []
    assert reader.get_meta("big")["external_key"] == key


def test_a_big_file_that_is_gone_is_told_with_its_key(store: ObjectStore) -> None:
    store.put(KEY, write_v2({"big": Item(external_record("gone/_bigFiles/big", 50), 50, flags=1)}).data)
    with pytest.raises(ExternalFile, match="gone/_bigFiles/big"):
        S3DesReader(store, KEY).get_file("big")


def test_version_1_is_read_too(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "a.des"
    with DesWriter(path, format_version=1) as writer:
        writer.add_file("a.txt", b"hello", {"k": 1})
        writer.add_file("empty", b"")
    store.put(KEY, path.read_bytes())
    reader = S3DesReader(store, KEY)
    assert (reader.version, reader.list_files(), reader.hint()) == (1, ["a.txt", "empty"], None)
    assert (reader.get_file("a.txt"), reader.get_file("empty")) == (b"hello", b"")
    assert reader.get_meta("a.txt") == {"k": 1, "size": 5}


def test_with_its_etag_a_cached_archive_costs_the_payload_alone(archive: Archive) -> None:
    cache = InMemoryIndexCache()
    store = Counted(archive.data, "1")
    names = [name for name in FILES if DesReader(CountingSource(archive.data)).get_entry(name).offset < 100_000][:20]
    assert S3DesReader(store, KEY, etag="1", cache=cache).get_files_batch(names)
    assert store.source.requests >= 3
    for name in names:
        assert S3DesReader(store, KEY, etag="1", cache=cache).get_file(name) == FILES[name].stored
        assert (store.source.tails, len(store.source.reads)) == (0, 1)


def test_the_etag_of_the_first_answer_finds_the_pages_in_the_cache(store: ObjectStore, archive: Archive) -> None:
    store.put(KEY, archive.data)
    cache = InMemoryIndexCache()
    for _ in range(2):
        assert S3DesReader(store, KEY, cache=cache).get_file("d/7") == b"7" * 60
    store.put(KEY, write_v2({"d/7": Item(b"new" * 50_000)}).data)
    assert S3DesReader(store, KEY, cache=cache).get_file("d/7") == b"new" * 50_000
