"""The upkeep of tables in Dagster: which runs its schedules request, and what the assets do and show."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from des_platform.defs.resources import PlatformResource
from des_platform.defs.upkeep import lake as lake_upkeep
from des_platform.lake.tables import Lake
from des_platform.lake.upkeep.upkeep import Upkeep
from des_platform_tests.defs.daemon import RANGE_END, RANGE_START, TABLED, Daemon, metadata
from des_platform_tests.lake.upkeep_tables import age, append_small, content, live, objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform

UPKEEP = dg.AssetKey([TABLED.name, "table_upkeep"])
COLUMNS = {"id": "long", "price": "double", "symbol": "string"}


@pytest.fixture
def lake(platform: Platform) -> Iterator[Lake]:
    with closing(Lake(platform.settings)) as opened:
        yield opened


@pytest.fixture
def upkeep(platform: Platform) -> Iterator[Upkeep]:
    with closing(Upkeep(platform.settings, platform.catalog, platform.buckets)) as opened:
        yield opened


def requested(daemon: Daemon) -> Any:
    schedule = daemon.repository.get_schedule_def(f"{TABLED.name}_upkeep_schedule")
    with dg.build_schedule_context(
        instance=daemon.instance, resources={"platform": PlatformResource()}, repository_def=daemon.repository
    ) as context:
        return schedule.evaluate_tick(context)


def test_days_with_many_small_files_are_requested_in_one_run_and_compacted(
    daemon: Daemon, lake: Lake, upkeep: Upkeep
) -> None:
    assert requested(daemon).skip_message == "No day has files that should become fewer."
    lake.ensure_table(TABLED.name, COLUMNS)
    append_small(lake, files=6, days=3, name=TABLED.name)
    before = content(upkeep, TABLED.name)

    (request,) = requested(daemon).run_requests
    assert request.tags[RANGE_START] == "2026-03-01"
    assert request.tags[RANGE_END] == "2026-03-03"
    result = daemon.materialize(UPKEEP, first="2026-03-01", last="2026-03-03")

    assert result.success
    shown = metadata(result)["table_upkeep", "2026-03-02"]
    assert (shown["files_before"], shown["files_after"], shown["rows"]) == (6, 1, 60)
    assert shown["bytes_saved"] == shown["bytes_before"] - shown["bytes_after"] > 0
    assert len(live(upkeep, TABLED.name)) == 3
    assert content(upkeep, TABLED.name) == before
    assert requested(daemon).skip_message


def test_a_day_without_a_table_or_with_nothing_to_do_is_no_failure(daemon: Daemon) -> None:
    result = daemon.materialize(UPKEEP, first="2026-03-01")
    assert result.success
    assert metadata(result)["table_upkeep", "2026-03-01"]["files_before"] == 0


def keep_up() -> dg.ExecuteInProcessResult:
    return dg.materialize([lake_upkeep.lake_upkeep], resources={"platform": PlatformResource()}, raise_on_error=False)


def test_every_table_is_kept_up_and_those_that_no_dataset_fills_are_compacted(
    platform: Platform, lake: Lake, upkeep: Upkeep
) -> None:
    platform.find()  # registers the dataset
    for name in (platform.dataset.name, "ticks"):
        lake.ensure_table(name, COLUMNS)
        append_small(lake, files=8, name=name)
    before = content(upkeep)
    orphan = "lake/des/ticks/data/killed.parquet"
    platform.buckets.own.put(orphan, b"left behind")
    age(platform, 4)

    result = keep_up()

    assert result.success
    shown = metadata(result)["upkeep", ""]
    assert (shown["tables"], shown["files_removed"], shown["bytes_saved"], shown["refused"]) == (2, 1, 11, 0)
    assert (shown["files_compacted"], shown["manifests_merged"]) == (8, 7)
    assert orphan not in objects(platform)
    assert (len(live(upkeep)), len(live(upkeep, platform.dataset.name))) == (1, 8)
    assert content(upkeep) == before


def test_a_table_in_doubt_fails_the_run_and_the_others_are_kept_up_all_the_same(
    platform: Platform, lake: Lake, upkeep: Upkeep
) -> None:
    for name in ("damaged", "ticks"):
        lake.ensure_table(name, COLUMNS)
        append_small(lake, files=5, name=name)
    newest = upkeep.table("damaged").current_snapshot()
    assert newest is not None
    platform.buckets.own.delete(newest.manifest_list.split("/store/des/", 1)[1])

    result = keep_up()

    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert "table 'damaged': its metadata" in str(failure.step_failure_data.user_failure_data.description)
    assert len(live(upkeep)) == 1
