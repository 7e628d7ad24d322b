"""A dataset's four assets, from files in a bucket to what their materializations show."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest

from des_platform.catalog import containers
from des_platform.catalog.dataset import TableSpec
from des_platform.defs.resources import PlatformResource
from des_platform.lake.tables import Lake
from des_platform_tests.damage import flip, path_of
from des_platform_tests.defs.daemon import COMPRESSED, RAW, SHARDS, TABLE, TABLED, Daemon, Shown, metadata, verdicts
from des_platform_tests.defs.test_reporting import cells
from des_platform_tests.platform import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform

NUMBERS = {"files", "bytes_in", "bytes_out", "compression_ratio", "duration_s", "throughput_mb_s"}
# What a repetition may change: how long it took, what was new to it, and the snapshot that it commits.
OF_THE_RUN = {
    "duration_s",
    "throughput_mb_s",
    "new_files",
    "new_dead_letters",
    "new_objects",
    "new_small_files",
    "newly_packed",
    "snapshot_id",
}
SHARD_KEYS = {f"{DAY}|{shard}" for shard in range(TABLED.shards)}
SMALL = b"id,name\n1,one\n2,two\n"
LARGE = b"id,name\n" + b"7,seven\n" * 500


@pytest.fixture(params=["platform", "s3_platform"])
def any_platform(request: pytest.FixtureRequest) -> Platform:
    made: Platform = request.getfixturevalue(request.param)
    made.dataset = TABLED
    return made


@pytest.fixture
def any_daemon(any_platform: Platform) -> Iterator[Daemon]:
    with closing(Daemon(TABLED)) as made:
        yield made


def archives(platform: Platform) -> dict[str, str]:
    """Key and etag of every archive and compressed object."""
    return {info.key: info.etag for info in platform.buckets.own.list("archives/")}


def test_files_become_four_materialized_assets(any_platform: Platform, any_daemon: Daemon) -> None:
    any_platform.put("small.csv", SMALL)
    any_platform.put("large.csv", LARGE)

    ingested, packed = any_daemon.work_off(TABLED)

    shown = metadata(ingested) | metadata(packed)
    assert set(shown) == {(stage, str(DAY)) for stage in ("raw_files", "compressed_objects", "table")} | {
        ("des_shards", key) for key in SHARD_KEYS
    }
    for facts in shown.values():
        assert facts.keys() >= NUMBERS
        assert all(isinstance(facts[name], int | float) for name in NUMBERS)
    assert verdicts(ingested) == {
        "every_file_accounted_for": True,
        "no_dead_letters": True,
        "every_object_decompresses": True,
        "every_record_accounted_for": True,
        "no_rejected_rows": True,
        "columns_as_declared": True,
    }
    assert verdicts(packed) == {"every_member_readable_and_equal": True}
    by_store(any_platform, shown)


def by_store(platform: Platform, shown: Shown) -> None:
    """What is shown is what the store holds."""
    own = platform.buckets.own
    size = len(SMALL) + len(LARGE)
    raw, compressed, table = (shown[stage, str(DAY)] for stage in ("raw_files", "compressed_objects", "table"))
    assert (raw["files"], raw["bytes_in"], raw["dagster/row_count"], raw["new_files"]) == (2, size, 2, 2)
    (manifest,) = own.list("manifests/")
    assert raw["dagster/uri"] == own.uri(manifest.key)
    assert cells(raw["files_by_kind"])[1][:2] == [".csv", "2"]

    (big,) = own.list(f"archives/things/{DAY}/_bigFiles/")
    assert (compressed["files"], compressed["bytes_in"], compressed["bytes_out"]) == (1, len(LARGE), big.size)
    assert compressed["compression_ratio"] == pytest.approx(len(LARGE) / big.size, abs=0.001)
    assert (compressed["left_to_shards"], compressed["kept_as_they_are"], compressed["failed"]) == (1, 0, 0)
    assert big.key.startswith(compressed["dagster/uri"].removeprefix(own.url + "/"))
    assert cells(compressed["codecs"])[1][0].startswith("zstd-")

    assert (table["files"], table["bytes_in"], table["rejected_rows"]) == (2, size, 0)
    assert table["dagster/row_count"] == table["dagster/partition_row_count"] == 502
    assert table["dagster/uri"] == own.uri("lake/des/things")
    columns = {column.name: column.type for column in table["dagster/column_schema"].columns}
    assert columns == {"_day": "date", "id": "long", "name": "string", "_file": "string", "_line": "long"}
    assert cells(table["first_rows"])[0] == ["id", "name"]
    assert len(cells(table["first_rows"])) == 6

    shards = [facts for (stage, _), facts in shown.items() if stage == "des_shards"]
    assert sum(facts["files"] for facts in shards) == sum(facts["newly_packed"] for facts in shards) == 2
    assert sum(facts.get("external_files", 0) for facts in shards) == 1
    assert sum(facts["bytes_in"] + facts.get("external_bytes", 0) for facts in shards) == size
    published = {own.uri(info.key): info.size for info in own.list("archives/") if info.key.endswith(".des")}
    assert {facts["dagster/uri"]: facts["bytes_out"] for facts in shards if facts["files"]} == published


def test_materializing_again_changes_nothing_but_the_time(any_platform: Platform, any_daemon: Daemon) -> None:
    any_platform.put("small.csv", SMALL)
    any_platform.put("large.csv", LARGE)
    before: Shown = {}
    for result in any_daemon.work_off(TABLED):
        before |= metadata(result)
    objects, rows = archives(any_platform), table_rows(any_platform)

    again = metadata(any_daemon.materialize(RAW, COMPRESSED, TABLE, first=str(DAY)))
    again |= metadata(any_daemon.materialize(SHARDS, first=f"{DAY}|0", last=f"{DAY}|3"))

    assert {key: lasting(facts) for key, facts in again.items()} == {
        key: lasting(facts) for key, facts in before.items()
    }
    assert archives(any_platform) == objects
    assert table_rows(any_platform) == rows
    assert any_daemon.requests("things_catalog_sensor") == []


def lasting(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in OF_THE_RUN}


def table_rows(platform: Platform) -> list[tuple[Any, ...]]:
    with closing(Lake(platform.settings)) as lake:
        frame = pl.from_arrow(lake.scan_day("things", DAY, 1_000_000))
        assert isinstance(frame, pl.DataFrame)
        return sorted(frame.rows())


def test_late_file_is_added_to_what_is_there(platform: Platform, daemon: Daemon) -> None:
    platform.put("small.csv", SMALL)
    daemon.work_off(TABLED)
    platform.put("late.csv", b"id,name\n3,three\n")

    ingested, packed = daemon.work_off(TABLED)

    shown = metadata(ingested)
    assert (shown["raw_files", str(DAY)]["files"], shown["raw_files", str(DAY)]["new_files"]) == (2, 1)
    assert shown["table", str(DAY)]["dagster/row_count"] == 3
    assert sum(facts["files"] for facts in metadata(packed).values()) == 2
    assert sum(facts["newly_packed"] for facts in metadata(packed).values()) == 1


def test_days_of_a_range_are_materialized_by_one_run_each_with_its_own_metadata(
    platform: Platform, daemon: Daemon
) -> None:
    days = [DAY + timedelta(days=number) for number in range(-2, 1)]
    for number, day in enumerate(days, start=1):
        for file in range(number):
            platform.put(f"{file}.csv", SMALL, day)
        platform.put("large.csv", LARGE, day)
    daemon.said("listing_sensor")

    shown: Shown = {}
    for asset, suffixes in ((RAW, ("", "")), (COMPRESSED, ("", "")), (TABLE, ("", "")), (SHARDS, ("|0", "|3"))):
        result = daemon.materialize(asset, first=f"{days[0]}{suffixes[0]}", last=f"{days[-1]}{suffixes[1]}")
        assert result.success
        shown |= metadata(result)
        assert {check.partition: check.passed for check in result.get_asset_check_evaluations() if check.partition} == {
            partition: True for stage, partition in shown if stage == asset.path[-1]
        }

    assert len(daemon.instance.get_runs()) == 4
    for number, day in enumerate(days, start=1):
        assert shown["raw_files", str(day)]["files"] == number + 1
        assert shown["compressed_objects", str(day)]["left_to_shards"] == number
        assert shown["table", str(day)]["dagster/partition_row_count"] == 500 + 2 * number
        assert sum(shown["des_shards", f"{day}|{shard}"]["files"] for shard in range(4)) == number + 1
    assert len(shown) == 3 * 3 + 3 * 4


def test_a_day_with_damaged_bytes_does_not_keep_the_others_of_its_range_from_the_table(
    platform: Platform, daemon: Daemon
) -> None:
    days = [DAY + timedelta(days=number) for number in range(-2, 1)]
    for day in days:
        platform.put("large.csv", LARGE, day)
    daemon.said("listing_sensor")
    everything = {"first": str(days[0]), "last": str(days[-1])}
    daemon.materialize(RAW, **everything)
    daemon.materialize(COMPRESSED, **everything)
    (big,) = platform.buckets.own.list(f"archives/things/{days[1]}/_bigFiles/")
    flip(path_of(platform.buckets.own, big.key), big.size // 2)

    result = daemon.materialize(TABLE, **everything)

    assert not result.success
    assert daemon.instance.get_materialized_partitions(TABLE) == {str(days[0]), str(days[2])}
    with closing(Lake(platform.settings)) as lake:
        assert [lake.day_rows("things", day) for day in days] == [500, 0, 500]
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert f"all others are loaded: {days[1]}: " in str(failure.event_specific_data)


def test_columns_that_nobody_declared_warn_and_rounded_ones_are_told(platform: Platform) -> None:
    columns = {"id": "long", "price": "double"}
    rounding = TABLED.model_copy(update={"table": TableSpec(columns=columns, tolerance={"price": 1e-6})})
    platform.put("a.csv", b"id,price,colour\n1,0.1,red\n")
    with closing(Daemon(rounding)) as daemon:
        daemon.said("listing_sensor")
        result = daemon.materialize(RAW, COMPRESSED, TABLE, first=str(DAY))

    assert result.success
    shown = metadata(result)["table", str(DAY)]
    assert shown["columns_not_declared"] == "colour"
    assert shown["rounded_columns"] == "price (by up to 1e-06 of itself)"
    assert verdicts(result)["columns_as_declared"] is False
    lineage = shown["dagster/column_lineage"].deps_by_column
    assert [dep.asset_key.path[-1] for dep in lineage["price"]] == ["compressed_objects"]


def test_hostile_file_names_are_shown_as_text(platform: Platform, daemon: Daemon) -> None:
    gone = "**[gone](http:evil)** <img src=x> | `x`"
    platform.put("x.<script>|[k](u)", b"?")
    platform.put(gone, b"?")
    platform.find()
    platform.buckets.bucket("landing").delete(f"things/{DAY}/{gone}")

    shown = metadata(daemon.materialize(RAW, first=str(DAY)))["raw_files", str(DAY)]

    assert cells(shown["files_by_kind"])[1][:2] == [".<script>|[k](u)", "1"]
    assert gone in cells(shown["newest_dead_letters"])[1][0]


def test_first_rows_are_shown_as_the_files_have_them(platform: Platform, daemon: Daemon) -> None:
    platform.put("a.csv", b'id,name\n2013,"<b>|\n# x"\n7,\n')
    daemon.said("listing_sensor")

    shown = metadata(daemon.materialize(RAW, COMPRESSED, TABLE, first=str(DAY)))

    assert cells(shown["table", str(DAY)]["first_rows"]) == [["id", "name"], ["2013", "<b>| # x"], ["7", ""]]


def test_empty_partition_is_materialized_with_zeros(platform: Platform, daemon: Daemon) -> None:
    days = daemon.materialize(RAW, COMPRESSED, TABLE, first=str(DAY))
    shards = daemon.materialize(SHARDS, first=f"{DAY}|0", last=f"{DAY}|3")

    assert all({**verdicts(days), **verdicts(shards)}.values())
    assert {facts["files"] for facts in (metadata(days) | metadata(shards)).values()} == {0}


def test_archive_of_a_shard_is_the_one_that_readers_use(platform: Platform, daemon: Daemon) -> None:
    platform.put("small.csv", SMALL)

    *_, packed = daemon.work_off(TABLED)

    (partition,) = (partition for (_, partition), facts in metadata(packed).items() if facts["files"])
    with platform.catalog.begin() as connection:
        found = containers.published(connection, "things", DAY, int(partition[-1]))
    assert found is not None
    facts = metadata(packed)["des_shards", partition]
    assert (facts["sha256"], facts["generation"], facts["archive_version"]) == (found.sha256, 1, 2)
    assert (facts["bytes_in"], facts["external_bytes"]) == (len(SMALL), 0)
    assert facts["compression_ratio"] == round(len(SMALL) / found.size, 3)


def test_unreachable_catalogue_fails_the_run_with_what_to_check(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_PG_PORT", "1")

    result = daemon.materialize(RAW, first=str(DAY))

    assert not result.success
    errors = [str(event.event_specific_data) for event in result.all_events if event.is_failure]
    assert any("Check DES_PG_HOST" in error for error in errors)


def test_resource_is_usable_without_an_asset(platform: Platform) -> None:
    with dg.build_resources({"platform": PlatformResource()}) as resources:
        assert resources.platform.settings == platform.settings
        assert resources.platform.buckets.own.bucket == platform.settings.bucket
