from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DesReader
from des_platform.catalog import dead_letters
from des_platform.codecs import decompress_bytes, get_codec
from des_platform.naming import shard_of
from des_platform.objectstore import StoreUnavailable
from des_platform_tests.damage import flip, noise, path_of, remove_bucket
from des_platform_tests.packing.conftest import all_published, archive_keys, contents_of, published, put_all
from des_platform_tests.platform import DAY, LANDING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform_tests.platform import Platform

CONTENTS = {
    "empty": b"",
    "small.txt": b"a" * 500,
    "small.bin": noise(1, 300),
    "large.txt": b"abc" * 5000,
    "kept.bin": noise(2, 5000),
}


def test_every_file_comes_back_from_its_archive(any_platform: Platform) -> None:
    contents = CONTENTS | {f"{number}.txt": f"file {number}".encode() for number in range(20)}
    put_all(any_platform, contents)
    reports = any_platform.pack()

    rows = any_platform.rows()
    assert {row.state for row in rows.values()} == {"packed"}
    assert contents_of(any_platform) == contents
    assert sum(report.newly_packed for report in reports) == len(contents)
    assert sum(report.original_bytes for report in reports) == sum(map(len, contents.values()))
    assert {found.key for found in all_published(any_platform)} == archive_keys(any_platform)


def test_every_name_is_in_exactly_the_archive_that_its_hash_says(platform: Platform) -> None:
    put_all(platform, {f"{number}.txt": f"file {number}".encode() for number in range(30)})
    platform.pack()
    names = []
    for found in all_published(platform):
        with DesReader(path_of(platform.buckets.own, found.key)) as archive:
            held = archive.list_files()
        assert {shard_of(name, platform.dataset.shard_bits) for name in held} == {found.shard}
        assert held == sorted(held)
        assert found.files == len(held)
        names += held
    assert sorted(names) == sorted(row.name for row in platform.rows().values())


@pytest.mark.parametrize("version", [1, 2])
def test_an_archive_alone_says_all_that_a_rebuild_of_the_catalogue_needs(one_shard: Platform, version: int) -> None:
    one_shard.dataset = one_shard.dataset.model_copy(update={"archive_version": version})
    put_all(one_shard, CONTENTS)
    one_shard.pack()
    found = published(one_shard)
    assert found is not None
    path = path_of(one_shard.buckets.own, found.key)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == found.sha256
    assert (found.files, found.external_files, found.archive_version) == (5, 2, version)
    with DesReader(path) as archive:
        assert archive.version == version
        for name, row in one_shard.rows().items():
            meta = archive.get_meta(row.name)
            assert (meta["bucket"], meta["key"], meta["etag"]) == (LANDING, row.key, row.etag)
            assert (meta.get("original_size", meta["size"]), meta["sha256"]) == (row.size, row.sha256)
            if archive.get_entry(row.name).is_external:
                store = one_shard.buckets.bucket(meta["external_bucket"])
                stored = store.get(meta["external_key"], max_bytes=10_000)
                assert len(stored) == meta["size"]
            else:
                stored = archive.get_file(row.name)
            codec = get_codec(meta.get("codec", "store"))
            assert decompress_bytes(codec, stored, max_size=row.size) == CONTENTS[name]


def test_packing_again_changes_nothing(platform: Platform) -> None:
    put_all(platform, CONTENTS)
    platform.pack()
    before, rows = all_published(platform), platform.rows()
    heads = [platform.buckets.own.head(found.key) for found in before]

    reports = platform.pack()
    assert sum(report.newly_packed for report in reports) == 0
    assert [report.container for report in reports if report.container] == before
    assert all_published(platform) == before
    assert platform.rows() == rows
    assert [platform.buckets.own.head(found.key) for found in before] == heads


def test_a_shard_without_files_has_no_archive(one_shard: Platform) -> None:
    put_all(one_shard, {})
    assert [report.container for report in one_shard.pack()] == [None]
    assert not archive_keys(one_shard)


def test_the_same_files_give_the_same_archive(any_platform: Platform) -> None:
    put_all(any_platform, CONTENTS)
    any_platform.pack()
    before = all_published(any_platform)
    any_platform.buckets.own.delete_many([found.key for found in before])

    any_platform.pack()
    after = all_published(any_platform)
    assert [(found.key, found.sha256, found.size) for found in after] == [
        (found.key, found.sha256, found.size) for found in before
    ]
    assert contents_of(any_platform) == CONTENTS


def test_members_taken_over_give_the_same_archive_as_originals(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)
    one_shard.pack()
    put_all(one_shard, {"late.txt": b"late" * 100})
    one_shard.pack()
    grown = published(one_shard)
    assert grown is not None
    one_shard.buckets.own.delete(grown.key)
    one_shard.pack()
    rebuilt = published(one_shard)
    assert rebuilt is not None
    assert rebuilt.sha256 == grown.sha256


def test_a_late_file_makes_a_new_generation_of_its_shard_alone(any_platform: Platform) -> None:
    contents = CONTENTS | {f"{number}.txt": f"file {number}".encode() for number in range(20)}
    put_all(any_platform, contents)
    any_platform.pack()
    before = {found.shard: found for found in all_published(any_platform)}
    put_all(any_platform, {"late.txt": b"late"})
    any_platform.pack()
    after = {found.shard: found for found in all_published(any_platform)}

    shard = any_platform.rows()["late.txt"].shard
    replaced = after.pop(shard)
    superseded = before.pop(shard, None)
    assert after == before
    if superseded is not None:
        assert (replaced.generation, replaced.files) == (superseded.generation + 1, superseded.files + 1)
        assert superseded.key not in archive_keys(any_platform)
    assert contents_of(any_platform) == contents | {"late.txt": b"late"}


def test_a_late_file_needs_no_original_but_its_own(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)
    one_shard.pack()
    small = [one_shard.rows()[name].key for name in ("empty", "small.txt", "small.bin")]
    one_shard.buckets.bucket(LANDING).delete_many(small)
    put_all(one_shard, {"late.txt": b"late"})
    [report] = one_shard.pack()
    assert (report.newly_packed, report.left_out) == (1, 0)
    assert contents_of(one_shard) == CONTENTS | {"late.txt": b"late"}


@pytest.mark.parametrize("positions", [(0,), (8,), range(20, 300, 50)], ids=["magic", "version", "members"])
def test_a_damaged_archive_is_rebuilt_from_originals_when_a_late_file_comes(
    one_shard: Platform, positions: Iterable[int]
) -> None:
    put_all(one_shard, CONTENTS)
    one_shard.pack()
    found = published(one_shard)
    assert found is not None
    path = path_of(one_shard.buckets.own, found.key)
    for position in positions:
        flip(path, position)
    put_all(one_shard, {"late.txt": b"late"})
    [report] = one_shard.pack()
    assert report.left_out == 0
    assert contents_of(one_shard) == CONTENTS | {"late.txt": b"late"}


def test_an_archive_that_somebody_overwrote_is_rebuilt(platform: Platform) -> None:
    put_all(platform, CONTENTS)
    platform.pack()
    for found in all_published(platform):
        platform.buckets.own.put(found.key, b"not an archive")
    platform.pack()
    assert contents_of(platform) == CONTENTS


def test_a_vanished_small_original_is_left_out_and_in_the_end_a_dead_letter(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)
    gone = one_shard.rows()["small.txt"]
    one_shard.buckets.bucket(LANDING).delete(gone.key)
    for attempt in (1, 2, 3):
        [report] = one_shard.pack()
        row = one_shard.rows()["small.txt"]
        assert (report.left_out, row.attempts, row.container_id) == (1, attempt, None)
        assert row.state == ("failed" if attempt == 3 else "ready")
    [report] = one_shard.pack()
    assert report.left_out == 0
    with one_shard.catalog.begin() as connection:
        [letter] = dead_letters.newest(connection)
    assert (letter.stage, letter.subject, letter.attempts) == ("des_shards", gone.subject, 1)
    assert "vanished" in letter.reason

    readable = {name: one_shard.reader.read(row) for name, row in one_shard.rows().items() if row.state == "packed"}
    assert readable == {name: content for name, content in CONTENTS.items() if name != "small.txt"}


def test_a_replaced_small_original_is_left_out(platform: Platform) -> None:
    put_all(platform, CONTENTS)
    platform.buckets.bucket(LANDING).put(platform.rows()["small.txt"].key, b"b" * 500)
    assert sum(report.left_out for report in platform.pack()) == 1
    assert [name for name, row in platform.rows().items() if row.state != "packed"] == ["small.txt"]


def test_a_damaged_small_original_is_left_out(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)
    flip(path_of(one_shard.buckets.bucket(LANDING), one_shard.rows()["small.txt"].key), 100)
    [report] = one_shard.pack()
    assert report.left_out == 1
    assert "SHA-256" in (one_shard.rows()["small.txt"].last_error or "")


@pytest.mark.parametrize("bucket", ["landing", "des"])
def test_a_bucket_that_is_gone_stops_the_run_and_no_file_is_blamed(s3_platform: Platform, bucket: str) -> None:
    put_all(s3_platform, {"a": b"1" * 100})
    remove_bucket(s3_platform.settings.s3_endpoint, bucket)
    with pytest.raises(StoreUnavailable):
        s3_platform.packer.pack(s3_platform.dataset, DAY, s3_platform.rows()["a"].shard)
    assert s3_platform.rows()["a"].attempts == 0


def test_a_shard_whose_every_file_is_unreadable_publishes_nothing(one_shard: Platform) -> None:
    put_all(one_shard, {"a": b"1", "b": b"2"})
    one_shard.buckets.bucket(LANDING).delete_many([row.key for row in one_shard.rows().values()])
    [report] = one_shard.pack()
    assert (report.container, report.left_out) == (None, 2)
    assert not archive_keys(one_shard)


def test_more_files_than_are_read_ahead_are_packed(one_shard: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("des_platform.packing.pack._READ_AHEAD", 4)
    contents = {f"{number}.txt": f"file {number}".encode() for number in range(10)}
    put_all(one_shard, contents)
    one_shard.pack()
    assert contents_of(one_shard) == contents


def test_packing_leaves_the_scratch_folder_empty(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)
    one_shard.pack()
    assert not [*one_shard.scratch.iterdir()]


def test_archive_with_a_member_that_cannot_be_taken_over_is_kept_for_salvage(one_shard: Platform) -> None:
    key = one_shard.put("a.txt", b"only copy, damaged")
    one_shard.run_all()
    (before,) = one_shard.pack()
    assert before.container is not None
    archive = path_of(one_shard.buckets.own, before.container.key)
    flip(archive, archive.read_bytes().index(b"only copy"))
    one_shard.buckets.bucket(LANDING).delete(key)

    one_shard.put("late.txt", b"late")
    one_shard.run_all()

    (after,) = one_shard.pack()
    assert after.container is not None
    assert after.container.key != before.container.key
    assert archive.exists()
    assert one_shard.reader.read(one_shard.rows()["late.txt"]) == b"late"
