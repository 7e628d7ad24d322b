"""The originals_removed asset: when it runs, what it shows, and that all other assets are as they were after it."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as sa

from des_platform.catalog import cleanups
from des_platform.catalog.tables import cleanups as cleanups_table
from des_platform.catalog.tables import files as files_table
from des_platform.files.reader import FileReader
from des_platform_tests.damage import flip, noise, path_of
from des_platform_tests.defs.daemon import COMPRESSED, RAW, SHARDS, TABLE, TABLED, Daemon, metadata, verdicts
from des_platform_tests.defs.test_assets import table_rows
from des_platform_tests.defs.test_catalog_sensor import fail
from des_platform_tests.defs.test_reporting import cells
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform

REMOVED = dg.AssetKey(["things", "originals_removed"])
SENSOR = "things_cleanup_sensor"
AT_ONCE = TABLED.model_copy(update={"originals": "after-verify"})
LATER = TABLED.model_copy(update={"originals": "after 30 days"})
FILES = {
    "small.csv": b"id,name\n1,one\n2,two\n",
    "large.csv": b"id,name\n" + b"7,seven\n" * 500,
    "kept.bin": noise(3, 3000),
}
CHECKS = {"every_removed_original_has_an_equal_copy", "no_file_without_a_copy", "nothing_due_left_behind"}


@pytest.fixture
def at_once(platform: Platform) -> Iterator[Daemon]:
    yield from packed(platform, AT_ONCE)


@pytest.fixture
def later(platform: Platform) -> Iterator[Daemon]:
    yield from packed(platform, LATER)


def packed(platform: Platform, dataset: object) -> Iterator[Daemon]:
    platform.dataset = dataset  # type: ignore[assignment]
    for name, content in FILES.items():
        platform.put(name, content)
    platform.run_all()
    with closing(Daemon(platform.dataset)) as made:
        yield made


def originals(platform: Platform) -> set[str]:
    return {info.key.rsplit("/", 1)[1] for info in platform.buckets.bucket(LANDING).list()}


def contents_of(platform: Platform) -> dict[str, bytes]:
    reader = FileReader(platform.catalog, platform.buckets)
    return {name: reader.read(row) for name, row in platform.rows().items()}


def set_due(platform: Platform, ago: timedelta) -> None:
    with platform.catalog.begin() as connection:
        connection.execute(sa.update(cleanups_table).values(due_at=sa.func.now() - ago))
        connection.execute(sa.update(files_table).values(updated_at=sa.func.now() - ago - timedelta(days=30)))


def test_what_is_packed_is_removed_by_the_run_that_the_sensor_requests(platform: Platform, at_once: Daemon) -> None:
    (request,) = at_once.requests(SENSOR)
    assert request.partition_key == str(DAY)
    result = at_once.execute(request)

    assert result.success
    assert originals(platform) == {"kept.bin"}
    assert verdicts(result) == dict.fromkeys(CHECKS, True)
    shown = metadata(result)["originals_removed", str(DAY)]
    freed = len(FILES["small.csv"]) + len(FILES["large.csv"])
    assert (shown["removed"], shown["planned"], shown["refused"], shown["withdrawn"]) == (2, 0, 0, 0)
    assert shown["bytes_freed"] == shown["newly_freed_bytes"] == freed
    assert shown["dollars_a_month"] == round(freed / 1e9 * platform.settings.storage_price, 6)
    assert at_once.requests(SENSOR) == []
    assert contents_of(platform) == FILES


def test_every_asset_can_be_materialized_again_after_the_originals_are_gone(
    platform: Platform, at_once: Daemon
) -> None:
    assert at_once.materialize(TABLE, first=str(DAY)).success
    rows = table_rows(platform)
    assert at_once.materialize(REMOVED, first=str(DAY)).success
    platform.put("late.csv", b"id,name\n3,three\n")
    at_once.cursors.clear()
    at_once.said("listing_sensor")

    by_day = at_once.materialize(RAW, COMPRESSED, TABLE, first=str(DAY))
    shards = at_once.materialize(SHARDS, first=f"{DAY}|0", last=f"{DAY}|3")
    removed = at_once.materialize(REMOVED, first=str(DAY))

    for result in (by_day, shards, removed):
        assert result.success
        # kept.bin is no table: its one rejected row is as it was before.
        assert {name for name, passed in verdicts(result).items() if not passed} <= {"no_rejected_rows"}
    assert table_rows(platform) == sorted([*rows, *(row for row in table_rows(platform) if row[1] == 3)])
    assert len(table_rows(platform)) == len(rows) + 1
    assert originals(platform) == {"kept.bin"}
    assert contents_of(platform) == FILES | {"late.csv": b"id,name\n3,three\n"}


def test_an_original_that_is_due_in_thirty_days_is_removed_then_and_not_before(
    platform: Platform, later: Daemon
) -> None:
    assert later.said(SENSOR) == "0 days with 0 due originals, 0 runs are in flight."
    with platform.catalog.begin() as connection:
        (share,) = cleanups.shares(connection, "things")
    assert (share.state, share.files) == ("planned", 2)

    set_due(platform, timedelta(minutes=1))
    (request,) = later.requests(SENSOR)
    assert later.execute(request).success
    assert originals(platform) == {"kept.bin"}


def test_a_materialization_by_hand_removes_nothing_before_its_time(platform: Platform, later: Daemon) -> None:
    result = later.materialize(REMOVED, first=str(DAY))
    assert result.success
    shown = metadata(result)["originals_removed", str(DAY)]
    assert (shown["planned"], shown["removed"]) == (2, 0)
    assert originals(platform) == set(FILES)


def test_a_day_whose_run_failed_is_requested_again_after_a_pause(
    platform: Platform, at_once: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,) = at_once.requests(SENSOR)
    fail(at_once, request)
    assert at_once.requests(SENSOR) == []
    monkeypatch.setattr("des_platform.defs.cleanup.sensors._PAUSE_SECONDS", 0)
    (again,) = at_once.requests(SENSOR)
    assert again.run_key != request.run_key
    assert at_once.execute(again).success
    assert originals(platform) == {"kept.bin"}


def test_days_are_requested_up_to_the_limit_and_none_twice(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.dataset = AT_ONCE
    days = [DAY + timedelta(days=number) for number in range(3)]
    for day in days:
        platform.put("small.csv", FILES["small.csv"], day)
    platform.find()
    for day in days:
        platform.take_in(day)
        platform.compress(day)
        platform.pack(day)
    monkeypatch.setenv("DES_RUNS_PER_TICK", "2")
    with closing(Daemon(AT_ONCE)) as daemon:
        assert [request.partition_key for request in daemon.requests(SENSOR)] == [str(day) for day in days[:2]]


def test_planning_goes_on_where_its_time_ran_out(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.dataset = LATER
    days = [DAY + timedelta(days=number) for number in range(3)]
    for day in days:
        platform.put("small.csv", FILES["small.csv"], day)
    platform.find()
    for day in days:
        platform.take_in(day)
        platform.compress(day)
        platform.pack(day)
    monkeypatch.setenv("DES_DRAIN_SECONDS", "0.000001")

    def planned() -> int:
        with platform.catalog.begin() as connection:
            return len(cleanups.shares(connection, "things"))

    with closing(Daemon(LATER)) as daemon:
        found = []
        for _ in range(4):
            daemon.said(SENSOR)
            found.append(planned())
    assert found[0] == 1
    assert found[-1] == 3


def test_refused_originals_are_shown_with_their_reasons_and_warned_of(platform: Platform, at_once: Daemon) -> None:
    row = platform.rows()["large.csv"]
    path = path_of(platform.buckets.own, row.object_key or "")
    flip(path, path.stat().st_size // 2)
    result = at_once.materialize(REMOVED, first=str(DAY))
    assert result.success
    shown = metadata(result)["originals_removed", str(DAY)]
    assert (shown["removed"], shown["refused"]) == (1, 1)
    header, told = cells(shown["kept_back"])
    assert header == ["original", "state", "because"]
    assert told[0].endswith("large.csv")
    assert told[1] == "refused"
    assert "its copy is not proven" in told[2]
    assert verdicts(result) == dict.fromkeys(CHECKS, True) | {"nothing_due_left_behind": False}
    assert originals(platform) == {"large.csv", "kept.bin"}


def test_a_copy_that_is_damaged_afterwards_fails_the_blocking_checks(platform: Platform, at_once: Daemon) -> None:
    assert at_once.materialize(REMOVED, first=str(DAY)).success
    key = platform.rows()["large.csv"].object_key or ""
    path = path_of(platform.buckets.own, key)
    flip(path, path.stat().st_size // 2)
    found = at_once.check(REMOVED, "every_removed_original_has_an_equal_copy", str(DAY))
    assert (found.passed, found.blocking) == (False, True)
    platform.buckets.own.delete(key)
    found = at_once.check(REMOVED, "no_file_without_a_copy", str(DAY))
    assert (found.passed, found.blocking) == (False, True)
    assert key in str(found.metadata["problems"].value)


def test_what_is_due_and_left_for_more_than_a_day_is_warned_of(platform: Platform, later: Daemon) -> None:
    later.said(SENSOR)
    assert later.check(REMOVED, "nothing_due_left_behind", str(DAY)).passed
    set_due(platform, timedelta(hours=25))
    found = later.check(REMOVED, "nothing_due_left_behind", str(DAY))
    assert (found.passed, found.severity, found.metadata["late"].value) == (False, dg.AssetCheckSeverity.WARN, 2)


def test_a_dataset_that_keeps_its_originals_has_nothing_to_do_with_all_this() -> None:
    with closing(Daemon(DATASET)) as daemon:
        assert REMOVED not in daemon.repository.asset_graph.get_all_asset_keys()
        assert not daemon.repository.has_sensor_def(SENSOR)
        assert not daemon.repository.has_job("things_cleanup")


def test_the_asset_stands_behind_objects_and_shards(at_once: Daemon) -> None:
    node = at_once.repository.asset_graph.get(REMOVED)
    assert node.parent_keys == {COMPRESSED, SHARDS}
    mapping = node.partition_mappings[SHARDS]
    assert isinstance(mapping, dg.MultiToSingleDimensionPartitionMapping)
