"""Every check fails when it should, and a failed blocking one stops what would build on its asset."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as sa

from des_platform.catalog import partitions
from des_platform.catalog.tables import files
from des_platform.lake.tables import Lake
from des_platform_tests.damage import flip, overwrite, path_of
from des_platform_tests.defs.daemon import COMPRESSED, RAW, SHARDS, TABLE, TABLED, Daemon, metadata, verdicts
from des_platform_tests.platform import DAY, LANDING

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform

ACCOUNTED = (RAW, "every_file_accounted_for")
DECOMPRESSES = (COMPRESSED, "every_object_decompresses")
RECORDS = (TABLE, "every_record_accounted_for")
EQUAL = (SHARDS, "every_member_readable_and_equal")


@pytest.fixture
def filled(platform: Platform, daemon: Daemon) -> Daemon:
    """A day with a small and a large file, through all four assets."""
    platform.put("small.csv", b"id,name\n1,one\n2,two\n")
    platform.put("large.csv", b"id,name\n" + b"7,seven\n" * 500)
    daemon.work_off(TABLED)
    return daemon


def problems(daemon: Daemon, check: tuple[dg.AssetKey, str], partition: str = str(DAY)) -> str:
    """What a blocking check finds wrong; nothing where it passes."""
    found = daemon.check(*check, partition)
    assert found.blocking
    assert found.severity == dg.AssetCheckSeverity.ERROR
    listed = str(found.metadata["problems"].value) if "problems" in found.metadata else str(found.metadata)
    return "" if found.passed else listed


def manifest(platform: Platform) -> partitions.Manifest:
    with platform.catalog.begin() as connection:
        found = partitions.manifest_of(connection, "things", DAY)
    assert found is not None
    return found


def shard_holding(platform: Platform, file: str) -> str:
    return f"{DAY}|{platform.rows()[file].shard}"


def archive_of(platform: Platform, partition: str) -> str:
    (found,) = platform.buckets.own.list(f"archives/things/{DAY}/{partition[-1]}.")
    return found.key


def test_sound_day_passes_every_check_by_itself(filled: Daemon) -> None:
    for check in (ACCOUNTED, DECOMPRESSES, RECORDS):
        assert problems(filled, check) == ""
    for shard in range(TABLED.shards):
        assert problems(filled, EQUAL, f"{DAY}|{shard}") == ""


def test_lost_manifest_is_noticed_and_written_anew(platform: Platform, filled: Daemon) -> None:
    platform.buckets.own.delete(manifest(platform).key)

    assert "manifests/things" in problems(filled, ACCOUNTED)
    assert verdicts(filled.materialize(RAW, first=str(DAY)))["every_file_accounted_for"]


def test_damaged_manifest_is_noticed_and_written_anew(platform: Platform, filled: Daemon) -> None:
    flip(path_of(platform.buckets.own, manifest(platform).key), 40)

    assert "is damaged" in problems(filled, ACCOUNTED)
    assert verdicts(filled.materialize(RAW, first=str(DAY)))["every_file_accounted_for"]


def test_file_that_the_manifest_lacks_is_named(platform: Platform, filled: Daemon) -> None:
    before = manifest(platform)
    platform.put("late.csv", b"id,name\n3,three\n")
    platform.find()
    platform.take_in()
    with platform.catalog.begin() as connection:
        partitions.replace_manifest(connection, before)

    assert problems(filled, ACCOUNTED) == f"['{DAY}: the manifest lacks {platform.rows()['late.csv'].name}']"


def test_file_that_the_catalogue_lost_is_named(platform: Platform, filled: Daemon) -> None:
    lost = platform.rows()["small.csv"]
    forget(platform, lost.name)

    found = problems(filled, ACCOUNTED)

    assert "2 files were taken from the inbox, 1 are catalogued" in found
    assert f"the manifest lists {lost.name}, which is not catalogued" in found


def forget(platform: Platform, name: str) -> None:
    with platform.catalog.begin() as connection:
        connection.execute(sa.delete(files).where(files.c.name == name))


def test_flipped_bit_of_a_compressed_object_is_noticed(platform: Platform, filled: Daemon) -> None:
    large = platform.rows()["large.csv"]
    path = path_of(platform.buckets.own, large.object_key or "")
    for position in (0, 20, -1):
        flip(path, position)
        assert f"{large.key} ({large.name})" in problems(filled, DECOMPRESSES)
        assert large.name in problems(filled, EQUAL, shard_holding(platform, "large.csv"))
        flip(path, position)
    assert problems(filled, DECOMPRESSES) == ""


def test_lost_compressed_object_is_noticed(platform: Platform, filled: Daemon) -> None:
    large = platform.rows()["large.csv"]
    platform.buckets.own.delete(large.object_key or "")

    assert large.name in problems(filled, DECOMPRESSES)


def test_lost_rows_of_a_table_are_noticed(platform: Platform, filled: Daemon) -> None:
    with closing(Lake(platform.settings)) as lake:
        rows = lake.scan_day("things", DAY, 1_000_000).drop_columns(["_day"])
        lake.replace_day("things", DAY, rows.slice(1).combine_chunks().to_batches(), properties={})

    assert "501" in problems(filled, RECORDS)
    assert verdicts(filled.materialize(TABLE, first=str(DAY)))["every_record_accounted_for"]


def test_doubled_rows_of_a_table_are_noticed(platform: Platform, filled: Daemon) -> None:
    with closing(Lake(platform.settings)) as lake:
        batches = lake.scan_day("things", DAY, 1_000_000).drop_columns(["_day"]).to_batches()
        lake.replace_day("things", DAY, [*batches, *batches], properties={})

    assert "1004" in problems(filled, RECORDS)


def test_day_that_was_never_loaded_is_noticed(daemon: Daemon) -> None:
    assert "never loaded" in problems(daemon, RECORDS)


def test_flipped_bit_of_an_archive_is_noticed(platform: Platform, filled: Daemon) -> None:
    partition = shard_holding(platform, "small.csv")
    path = path_of(platform.buckets.own, archive_of(platform, partition))
    for position in (0, path.stat().st_size // 2, -1):
        flip(path, position)
        assert problems(filled, EQUAL, partition) != ""
        flip(path, position)
    assert problems(filled, EQUAL, partition) == ""


def test_lost_archive_is_noticed_and_built_again(platform: Platform, filled: Daemon) -> None:
    partition = shard_holding(platform, "small.csv")
    key = archive_of(platform, partition)
    platform.buckets.own.delete(key)

    assert key in problems(filled, EQUAL, partition)
    assert verdicts(filled.materialize(SHARDS, first=partition))["every_member_readable_and_equal"]


def test_file_that_its_archive_lacks_is_named(platform: Platform, filled: Daemon) -> None:
    row = platform.rows()["small.csv"]
    other = replace(row, shard=(row.shard + 1) % TABLED.shards)
    with platform.catalog.begin() as connection:
        connection.execute(sa.update(files).where(files.c.name == row.name).values(shard=other.shard))

    assert row.name in problems(filled, EQUAL, f"{DAY}|{row.shard}")
    assert row.name in problems(filled, EQUAL, f"{DAY}|{other.shard}")


def test_failed_accounting_stops_the_assets_behind_it(platform: Platform, filled: Daemon) -> None:
    forget(platform, platform.rows()["small.csv"].name)

    result = filled.materialize(RAW, COMPRESSED, TABLE, first=str(DAY))

    assert not result.success
    assert {asset for asset, _ in metadata(result)} == {"raw_files"}


def test_failed_proof_of_compressed_objects_stops_the_table(platform: Platform, filled: Daemon) -> None:
    flip(path_of(platform.buckets.own, platform.rows()["large.csv"].object_key or ""), 20)

    result = filled.materialize(RAW, COMPRESSED, TABLE, first=str(DAY))

    assert not result.success
    assert {asset for asset, _ in metadata(result)} == {"raw_files", "compressed_objects"}
    assert not verdicts(result)["every_object_decompresses"]


def test_one_bad_day_of_a_range_is_told_from_the_good_ones(platform: Platform, filled: Daemon) -> None:
    overwrite(path_of(platform.buckets.own, platform.rows()["large.csv"].object_key or ""), b"garbage")

    result = filled.materialize(COMPRESSED, first="2026-02-27", last="2026-03-02")

    by_day = {check.partition: check.passed for check in result.get_asset_check_evaluations() if check.partition}
    assert by_day == {"2026-02-27": True, "2026-02-28": True, "2026-03-01": False, "2026-03-02": True}
    assert not result.success


def test_dead_letter_is_a_warning_that_stops_nothing(platform: Platform, daemon: Daemon) -> None:
    gone = platform.put("gone.csv", b"id,name\n")
    platform.put("small.csv", b"id,name\n1,one\n")
    daemon.said("listing_sensor")
    platform.buckets.bucket(LANDING).delete(gone)

    result = daemon.materialize(RAW, COMPRESSED, TABLE, first=str(DAY))

    assert result.success
    (warned,) = (check for check in result.get_asset_check_evaluations() if not check.passed)
    assert (warned.check_name, warned.severity) == ("no_dead_letters", dg.AssetCheckSeverity.WARN)
    assert not warned.blocking
    assert warned.metadata["given_up"].value == 1
    assert metadata(result)["table", str(DAY)]["dagster/row_count"] == 1


def test_rejected_rows_are_a_warning_that_stops_nothing(platform: Platform, daemon: Daemon) -> None:
    platform.put("mixed.csv", b"id,name\n1,one\nnone,two\n")

    ingested, packed = daemon.work_off(TABLED)

    (warned,) = (check for check in ingested.get_asset_check_evaluations() if not check.passed)
    assert (warned.check_name, warned.severity) == ("no_rejected_rows", dg.AssetCheckSeverity.WARN)
    assert not warned.blocking
    assert warned.metadata["rejected_rows"].value == 1
    assert warned.metadata["look_at"].value == "des.things_rejected"
    assert packed.success
