"""Both versions of the archive format: what is published, what is taken over from the one into the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import pytest

from des_platform.archive import DesReader
from des_platform.archive.models import FLAG_DICTIONARY
from des_platform.archive.verification import verify
from des_platform.packing.verify import prove_shard
from des_platform_tests.damage import flip, noise, path_of
from des_platform_tests.packing.conftest import contents_of, published, put_all
from des_platform_tests.platform import DAY, LANDING

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform.catalog.containers import Container
    from des_platform_tests.platform import Platform

DOCUMENTS = {
    f"{number}.json": f'{{"id": {number}, "text": "{number % 7 * "ab"}{"yes" * 30}"}}'.encode() for number in range(100)
}
CONTENTS = DOCUMENTS | {"empty": b"", "large.txt": b"abc" * 5000}


def of_version(platform: Platform, version: int, **changes: object) -> Platform:
    platform.dataset = platform.dataset.model_copy(update={"archive_version": version, **changes})
    return platform


def packed(platform: Platform, contents: dict[str, bytes] = CONTENTS) -> tuple[Container, Path]:
    put_all(platform, contents)
    platform.pack()
    found = published(platform)
    assert found is not None
    return found, path_of(platform.buckets.own, found.key)


def test_a_dataset_writes_version_2_unless_it_says_otherwise(one_shard: Platform) -> None:
    container, path = packed(one_shard)
    with DesReader(path) as archive:
        assert archive.version == container.archive_version == 2
        assert archive.hint() == container.hint
    assert contents_of(one_shard) == CONTENTS


@pytest.mark.parametrize("version", [1, 2])
def test_a_dataset_of_the_archive_profile_packs_its_small_files(one_shard: Platform, version: int) -> None:
    packed(of_version(one_shard, version, profile="archive"))
    assert contents_of(one_shard) == CONTENTS


def test_version_1_has_no_hint_and_reads_alike(one_shard: Platform) -> None:
    container, path = packed(of_version(one_shard, 1))
    with DesReader(path) as archive:
        assert archive.version == container.archive_version == 1
    assert container.hint is None
    assert contents_of(one_shard) == CONTENTS
    assert prove_shard(one_shard.catalog, one_shard.reader, "things", DAY, 0).problems == []


def test_a_published_archive_is_sound(one_shard: Platform) -> None:
    container, _ = packed(one_shard)
    found = verify(one_shard.buckets.own.as_source(container.key))
    assert (found.problems, found.files, found.version) == ([], len(CONTENTS), 2)


@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("after", [1, 2])
def test_members_are_taken_over_from_either_version_into_either(one_shard: Platform, before: int, after: int) -> None:
    packed(of_version(one_shard, before))
    one_shard.buckets.bucket(LANDING).delete_many([one_shard.rows()[name].key for name in (*DOCUMENTS, "empty")])

    container, path = packed(of_version(one_shard, after), {"late.txt": b"late" * 100})

    contents = CONTENTS | {"late.txt": b"late" * 100}
    assert (container.archive_version, container.generation, container.files) == (after, 2, len(contents))
    assert contents_of(one_shard) == contents
    with DesReader(path) as archive:
        assert archive.version == after
    assert prove_shard(one_shard.catalog, one_shard.reader, "things", DAY, 0).problems == []


@pytest.mark.parametrize("version", [1, 2])
def test_one_damaged_member_does_not_keep_the_others_from_being_taken_over(one_shard: Platform, version: int) -> None:
    _, path = packed(of_version(one_shard, version), {"bad": bytes(range(256)), "good": b"good"})
    rows = one_shard.rows()
    flip(path, path.read_bytes().index(bytes(range(100, 200))))
    one_shard.buckets.bucket(LANDING).delete(rows["good"].key)

    put_all(one_shard, {"late.txt": b"late"})
    [report] = one_shard.pack()

    assert report.left_out == 0
    assert contents_of(one_shard) == {"bad": bytes(range(256)), "good": b"good", "late.txt": b"late"}


def test_an_archive_without_a_file_that_is_lost_is_the_one_of_the_other_files_alone(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)
    row = one_shard.rows()["7.json"]
    one_shard.buckets.bucket(LANDING).delete(row.key)
    for _ in range(3):
        one_shard.pack()
    with_loss = published(one_shard)
    assert with_loss is not None
    assert one_shard.rows()["7.json"].state == "failed"

    one_shard.buckets.own.delete(with_loss.key)
    [again] = one_shard.pack()
    assert again.container is not None
    assert (again.container.key, again.container.sha256) == (with_loss.key, with_loss.sha256)


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_threads_nor_clocks_change_a_byte(
    one_shard: Platform, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    container, _ = packed(one_shard, DOCUMENTS)
    one_shard.buckets.own.delete(container.key)
    monkeypatch.setattr("time.time_ns", lambda: 0)
    again = replace(one_shard.packer, threads=threads).pack(one_shard.dataset, DAY, 0)
    assert again.container is not None
    assert (again.container.key, again.container.sha256) == (container.key, container.sha256)


@pytest.mark.parametrize("profile", ["hot", "warm", "cold", "compatible"])
def test_documents_shrink_whatever_the_profile(one_shard: Platform, profile: str) -> None:
    container, path = packed(of_version(one_shard, 2, profile=profile))
    with DesReader(path) as archive:
        assert archive.get_stats().compression_ratio < 0.5
    assert contents_of(one_shard) == CONTENTS
    assert container.external_files == 1


def test_an_archive_with_a_dictionary_gives_its_files_back(one_shard: Platform) -> None:
    phrases = [noise(number, 40).hex() for number in range(60)]
    contents = {str(number): " ".join(phrases[number % 50 : number % 50 + 10]).encode() for number in range(300)}
    _, path = packed(one_shard, contents)
    with DesReader(path) as archive:
        assert any(entry.flags & FLAG_DICTIONARY for entry in archive.iter_entries())
    assert contents_of(one_shard) == contents


def test_sql_finds_where_files_came_from(one_shard: Platform) -> None:
    _, path = packed(one_shard)
    rows = one_shard.rows()
    found = duckdb.sql(
        "SELECT name, bucket, key, size, metadata ->> '$.sha256' FROM read_parquet($path) ORDER BY key",
        params={"path": str(path)},
    ).fetchall()
    sizes = {name: row.stored_size if row.codec else row.size for name, row in rows.items()}
    expected = [(row.name, LANDING, row.key, sizes[name], row.sha256) for name, row in rows.items()]
    assert found == sorted(expected, key=lambda line: line[2])
