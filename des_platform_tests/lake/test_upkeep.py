"""Snapshots forgotten, orphans removed, manifests merged: the rows stay, and what is in doubt stays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from des_platform.lake.upkeep.reachable import normalised
from des_platform.lake.upkeep.types import UpkeepRefused
from des_platform_tests.lake.conftest import rows
from des_platform_tests.lake.upkeep_tables import FIRST, NAME, NOW, age, content, days, fill_days, objects, upkeep_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.lake.tables import Lake
    from des_platform.lake.upkeep.upkeep import Upkeep
    from des_platform_tests.platform import Platform


@pytest.fixture
def kept(platform: Platform) -> Iterator[tuple[Lake, Upkeep]]:
    with upkeep_of(platform) as opened:
        yield opened


def test_forgotten_snapshots_take_the_files_that_only_they_name_with_them(
    platform: Platform, kept: tuple[Lake, Upkeep]
) -> None:
    lake, upkeep = kept
    for symbol in ("A", "B", "C"):
        lake.replace_day(NAME, FIRST, [rows(5, symbol)], properties={})
    before = content(upkeep)
    assert len(objects(platform, ".parquet")) == 3

    planned = upkeep.expire(NAME, apply=False, older_than=NOW, keep=1)
    assert (planned.applied, planned.snapshots) == (False, 4)
    assert len(objects(platform, ".parquet")) == 3

    done = upkeep.expire(NAME, apply=True, older_than=NOW, keep=1)
    assert (done.applied, done.snapshots) == (True, 4)
    assert done.files_after == planned.files_after < done.files_before
    assert done.bytes_saved > 0
    assert len(objects(platform, ".parquet")) == 1
    assert content(upkeep) == before
    assert upkeep.expire(NAME, apply=True, older_than=NOW, keep=1).snapshots == 0


def test_a_snapshot_that_was_the_newest_lately_stays_however_old_it_is(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    for symbol in ("A", "B"):
        lake.replace_day(NAME, FIRST, [rows(5, symbol)], properties={})
    assert upkeep.expire(NAME, apply=True, older_than=timedelta(minutes=5), keep=1).snapshots == 0


def test_the_newest_snapshots_and_what_a_tag_holds_stay(platform: Platform, kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    lake.replace_day(NAME, FIRST, [rows(5, "A")], properties={})
    tagged = upkeep.table(NAME)
    tagged.manage_snapshots().create_tag(tagged.metadata.current_snapshot_id or 0, "audited").commit()
    for symbol in ("B", "C", "D"):
        lake.replace_day(NAME, FIRST, [rows(5, symbol)], properties={})

    upkeep.expire(NAME, apply=True, older_than=NOW, keep=2)

    table = upkeep.table(NAME)
    assert len(table.metadata.snapshots) == 3
    old = table.scan(snapshot_id=table.metadata.refs["audited"].snapshot_id).to_arrow()
    assert set(old["symbol"].to_pylist()) == {"A"}
    assert len(objects(platform, ".parquet")) == 2  # A, and D; the second newest is the step that dropped C


def test_orphans_go_once_they_are_old_and_nothing_else_does(platform: Platform, kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    fill_days(lake, 3)
    folder = f"lake/des/{NAME}/"
    orphans = {
        f"{folder}data/x/killed.parquet",
        f"{folder}metadata/killed-m0.avro",
        f"{folder}metadata/9.metadata.json",
    }
    strange = {f"{folder}notes.txt", f"{folder}metadata/version-hint.text"}
    beside = {f"lake/des/{NAME}_too/data/a.parquet", f"lake/des/{NAME}.parquet"}
    for key in orphans | strange | beside:
        platform.buckets.own.put(key, b"left behind")
    before, files = content(upkeep), objects(platform)

    assert upkeep.orphans(NAME, apply=True).files_removed == 0
    age(platform, 3.5)
    fresh = f"{folder}data/in-flight.parquet"
    platform.buckets.own.put(fresh, b"a writer is about to commit this")
    planned = upkeep.orphans(NAME, apply=False)
    assert {part.name for part in planned.parts} == orphans
    assert objects(platform) == files | {fresh}

    done = upkeep.orphans(NAME, apply=True)
    assert (done.files_removed, done.bytes_saved) == (3, 3 * len(b"left behind"))
    assert objects(platform) == (files - orphans) | {fresh}
    assert all(platform.buckets.own.exists(key) for key in beside)
    assert content(upkeep) == before
    assert upkeep.orphans(NAME, apply=True).files_removed == 0


def test_orphans_are_removed_on_s3_too(s3_platform: Platform) -> None:
    with upkeep_of(s3_platform) as (lake, upkeep):
        fill_days(lake, 2)
        before, files = content(upkeep), objects(s3_platform)
        s3_platform.buckets.own.put(f"lake/des/{NAME}/data/a%20b/killed.parquet", b"left behind")
        assert upkeep.orphans(NAME, apply=True).files_removed == 0
        assert upkeep.orphans(NAME, apply=True, older_than=timedelta(seconds=-60)).files_removed == 1
        assert objects(s3_platform) == files
        assert content(upkeep) == before


@pytest.mark.parametrize("ending", [".avro", ".parquet"])
def test_a_table_whose_metadata_names_what_is_not_there_loses_nothing_more(
    platform: Platform, kept: tuple[Lake, Upkeep], ending: str
) -> None:
    lake, upkeep = kept
    fill_days(lake, 2)
    platform.buckets.own.delete(min(objects(platform, ending)))
    orphan = f"lake/des/{NAME}/data/killed.parquet"
    platform.buckets.own.put(orphan, b"left behind")
    age(platform, 10)

    with pytest.raises(UpkeepRefused, match=r"table 'ticks': .*restore the file, or roll the table back"):
        upkeep.orphans(NAME, apply=True)

    assert platform.buckets.own.exists(orphan)


def test_a_folder_that_two_tables_share_is_left_alone(platform: Platform, kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    fill_days(lake, 1)
    table = upkeep.table(NAME)
    lake.ensure_table("other", {"a": "long"})
    other = upkeep.table("other")
    other.transaction().set_properties({"write.data.path": f"{table.location()}/data/other"}).commit_transaction()
    platform.buckets.own.put(f"lake/des/{NAME}/data/other/a.parquet", b"of the other")
    age(platform, 10)

    for job in (upkeep.orphans, upkeep.expire):
        with pytest.raises(UpkeepRefused, match=r"table 'des.other' has .*/ticks/data/other"):
            job(NAME, apply=True)

    assert platform.buckets.own.exists(f"lake/des/{NAME}/data/other/a.parquet")


def test_no_table_loses_a_file_while_another_cannot_be_read(platform: Platform, kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    lake.ensure_table("broken", {"a": "long"})
    for info in list(platform.buckets.own.list("lake/des/broken/metadata/")):
        platform.buckets.own.delete(info.key)
    with pytest.raises(UpkeepRefused, match="table 'des.broken': it cannot be read"):
        upkeep.orphans(NAME, apply=True)


def test_manifests_become_one_and_the_rows_stay(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    fill_days(lake, 10)
    before = content(upkeep)

    planned = upkeep.manifests(NAME, apply=False)
    assert (planned.files_before, planned.files_after) == (10, 1)
    done = upkeep.manifests(NAME, apply=True, properties={"dagster-run-id": "r1"})
    assert (done.files_before, done.files_after) == (10, 1)

    assert content(upkeep) == before
    newest = upkeep.table(NAME).current_snapshot()
    assert newest is not None
    assert newest.summary is not None
    assert newest.summary.operation.value == "replace"
    assert newest.summary["total-records"] == "100"
    assert newest.summary["dagster-run-id"] == "r1"
    assert upkeep.manifests(NAME, apply=True).files_removed == 0
    for day in days(10):
        lake.replace_day(NAME, day, [], properties={})
    assert content(upkeep) == []


def test_a_table_that_is_not_there_is_named(kept: tuple[Lake, Upkeep]) -> None:
    with pytest.raises(LookupError, match="the lake has no table 'nothing'; `des table ls`"):
        kept[1].expire("nothing", apply=True)


def test_every_table_is_known_whoever_made_it(kept: tuple[Lake, Upkeep]) -> None:
    kept[0].ensure_table("another", {"a": "long"})
    assert kept[1].names() == ["another", NAME]


@pytest.mark.parametrize("location", ["/a/b%20c", "file:/a/b%20c", "file:///a/b%20c", "file:////a/b%20c"])
def test_one_place_has_one_spelling(location: str) -> None:
    assert normalised(location) == "file:///a/b%20c"
    assert normalised("s3a://bucket/a//b") == normalised("s3n://bucket/a//b") == "s3://bucket/a//b"
