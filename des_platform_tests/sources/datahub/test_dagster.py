"""A DataHub of the sources file in Dagster: what its sensor requests, and what its asset does and shows."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from des_platform.defs import attempts
from des_platform_tests.defs.daemon import Daemon, metadata
from des_platform_tests.sources.datahub.support import NOON, SIZE, DataHub, write_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SENSOR = "hub_datahub_sensor"
ASSET = dg.AssetKey(["hub", "datahub_files"])


@pytest.fixture
def daemon(hub: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    write_sources(hub, tmp_path, monkeypatch)
    with closing(Daemon(hub.platform.dataset)) as made:
        yield made


def execute(daemon: Daemon, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """Run what the sensor asked for: its own job, which has no name in the request."""
    return daemon.execute(request.with_replaced_attrs(job_name=daemon.repository.get_sensor_def(SENSOR).job_name))


def test_months_with_candidates_are_requested_and_taken(hub: DataHub, daemon: Daemon) -> None:
    for number in range(3):
        hub.add(f"f{number}")
    hub.add("gone", uploaded_at=NOON - timedelta(days=31))
    del hub.server.files["gone"]

    january, march = daemon.requests(SENSOR)
    assert (january.partition_key, march.partition_key) == ("2026-01-01", "2026-03-01")
    shown = metadata(execute(daemon, march)) | metadata(execute(daemon, january))

    facts = shown["datahub_files", "2026-03-01"]
    assert (facts["files"], facts["bytes_in"], facts["new_files"], facts["candidates"]) == (3, 3 * SIZE, 3, 3)
    assert facts["average_s_per_file"] > 0
    assert facts["dagster/uri"] == f"{hub.store.url}/things/hub/"
    failed = shown["datahub_files", "2026-01-01"]
    assert (failed["files"], failed["new_dead_letters"]) == (0, 1)
    assert "HTTP 404" in failed["newest_dead_letters"]
    assert daemon.said(SENSOR) == "0 months with 0 candidates wait, 0 runs are in flight."
    assert hub.platform.take_in().files == 3


def test_repeated_tick_asks_under_the_same_key_until_the_month_changes(hub: DataHub, daemon: Daemon) -> None:
    hub.add("a")
    (first,) = daemon.requests(SENSOR)
    (again,) = daemon.requests(SENSOR)
    assert first.run_key == again.run_key

    hub.add("b")
    (changed,) = daemon.requests(SENSOR)
    assert changed.run_key != first.run_key


def test_month_in_flight_is_left_alone_and_only_a_few_are_at_once(hub: DataHub, daemon: Daemon) -> None:
    for month in range(1, 7):
        hub.add(f"f{month}", uploaded_at=NOON.replace(month=month))

    requests = daemon.requests(SENSOR)
    assert [request.partition_key for request in requests] == [f"2026-0{month}-01" for month in (1, 2, 3)]
    for request in requests[:2]:
        job = daemon.repository.get_job(request.job_name or daemon.repository.get_sensor_def(SENSOR).job_name)
        daemon.instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)

    assert [request.partition_key for request in daemon.requests(SENSOR)] == ["2026-03-01"]


def test_run_that_failed_is_requested_again_after_a_pause(
    hub: DataHub, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("a")
    hub.server.key = "another"
    (request,) = daemon.requests(SENSOR)
    assert not execute(daemon, request).success
    assert hub.letters() == []

    assert daemon.said(SENSOR) == "1 months with 1 candidates wait, 0 runs are in flight."
    real = attempts.time.time
    monkeypatch.setattr(attempts.time, "time", lambda: real() + 10_000)
    (again,) = daemon.requests(SENSOR)
    assert (again.run_key or "").endswith(":1")


def test_range_of_months_is_taken_in_one_run(hub: DataHub, daemon: Daemon) -> None:
    hub.add("a")
    hub.add("b", uploaded_at=NOON.replace(month=2))
    assert len(daemon.requests(SENSOR)) == 2

    shown = metadata(daemon.materialize(ASSET, first="2026-01-01", last="2026-03-01"))

    assert {key: facts["files"] for (_, key), facts in shown.items()} == {
        "2026-01-01": 0,
        "2026-02-01": 1,
        "2026-03-01": 1,
    }


def test_refused_key_fails_the_run_at_once(hub: DataHub, daemon: Daemon) -> None:
    hub.add("a")
    hub.server.key = "another"
    daemon.requests(SENSOR)

    result = daemon.materialize(ASSET, first="2026-03-01")

    assert not result.success
    assert hub.server.asked_for("a") == 1
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
