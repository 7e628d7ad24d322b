"""The catalogue sensor: which runs it requests, which not yet, and which never again."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import date, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from des_platform.catalog import files, inbox, partitions
from des_platform.catalog.tables import files as files_table
from des_platform.defs import attempts
from des_platform.defs.attempts import MAX_ATTEMPTS
from des_platform.defs.sources import catalog_sensor
from des_platform.defs.sources.catalog_sensor import PACK_AT_LATEST_SECONDS
from des_platform_tests.defs.daemon import RANGE_END, RANGE_START, TABLED, Daemon
from des_platform_tests.platform import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform_tests.platform import Platform

SENSOR = "things_catalog_sensor"
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@pytest.fixture
def plain(platform: Platform) -> Iterator[Daemon]:
    """A code location whose dataset has no table."""
    with closing(Daemon(platform.dataset)) as made:
        yield made


class Clock:
    """The sensor's clock, some seconds ahead of the real one by which runs end."""

    ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(attempts, "time", made)
    return made


def keys(requests: Sequence[dg.RunRequest]) -> list[str]:
    return [request.run_key or "" for request in requests]


def launch(
    daemon: Daemon, request: dg.RunRequest, *, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
) -> dg.DagsterRun:
    """A run as Dagster's daemon creates it from a request."""
    job = daemon.repository.get_job(request.job_name or "")
    location = RegisteredCodeLocationOrigin("des_platform")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name)
    return daemon.instance.create_run_for_job(job, tags=dict(request.tags), status=status, remote_job_origin=origin)


def fail(daemon: Daemon, request: dg.RunRequest) -> None:
    daemon.instance.report_run_failed(launch(daemon, request))


def succeed(daemon: Daemon, run: dg.DagsterRun) -> None:
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name)
    daemon.instance.report_dagster_event(event, run_id=run.run_id)


def newest_seq(platform: Platform, day: date = DAY) -> int:
    with platform.catalog.begin() as connection:
        (found,) = (backlog for backlog in inbox.backlog(connection, "things", 100) if backlog.day == day)
    return found.newest_seq


def make_ready(platform: Platform, day: date = DAY) -> None:
    """Bring what was put to where it waits for its shards."""
    platform.find()
    platform.take_in(day)
    platform.compress(day)


def newest_ready(platform: Platform) -> int:
    with platform.catalog.begin() as connection:
        (found,) = files.waiting_days(connection, "things", "ready", 100)
    return found.newest_file_id


def age(platform: Platform, seconds: float) -> None:
    """Let the catalogue believe that its files have waited for a time."""
    with platform.catalog.begin() as connection:
        past = sa.func.now() - timedelta(seconds=seconds)
        connection.execute(sa.update(files_table).values(updated_at=past))


def test_nothing_waits_and_nothing_is_requested(daemon: Daemon) -> None:
    assert daemon.said(SENSOR) == "0 partitions have files waiting, 0 runs are in flight."


def test_what_comes_while_a_tick_waits_is_requested_by_it(
    platform: Platform, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_seconds: float) -> None:
        platform.put("late.csv", b"id,name\n")
        platform.find()

    monkeypatch.setenv("DES_CATALOG_WAIT_SECONDS", "1")
    monkeypatch.setattr(catalog_sensor, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=sleep))

    (request,) = daemon.requests(SENSOR)

    assert request.partition_key == str(DAY)


def test_a_tick_waits_no_longer_than_set(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=2)  # seconds between two looks at it
    slept: list[float] = []
    monkeypatch.setenv("DES_CATALOG_WAIT_SECONDS", "5")
    monkeypatch.setattr(catalog_sensor, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=slept.append))

    assert daemon.requests(SENSOR) == []

    assert len(slept) == 2


def test_all_files_of_a_day_are_one_request(platform: Platform, daemon: Daemon) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        platform.put(name, b"id,name\n")
    platform.find()

    (request,) = daemon.requests(SENSOR)

    assert request.run_key == f"things:ingest:{DAY}:s{newest_seq(platform)}:0"
    assert (request.job_name, request.partition_key) == ("things_ingest", str(DAY))
    assert request.tags["des/dataset"] == "things"
    assert request.tags["dagster/partition"] == str(DAY)


def test_repeated_tick_asks_under_the_same_key_which_dagster_runs_once(platform: Platform, daemon: Daemon) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()

    assert keys(daemon.requests(SENSOR)) == keys(daemon.requests(SENSOR)) != []


def test_file_whose_row_commits_late_is_not_missed(platform: Platform, daemon: Daemon) -> None:
    platform.find()
    yesterday = DAY - timedelta(days=1)
    with platform.catalog.begin() as late:
        inbox.record(late, [inbox.InboxEntry("things", yesterday, "landing", "things/late", "e", None, "s3")])
        with platform.catalog.begin() as early:
            inbox.record(early, [inbox.InboxEntry("things", DAY, "landing", "things/early", "e", None, "s3")])
        (first,) = daemon.requests(SENSOR)
        launch(daemon, first)

    assert [request.partition_key for request in daemon.requests(SENSOR)] == [str(yesterday)]


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_partition_with_a_run_in_flight_is_left_alone(
    platform: Platform, daemon: Daemon, status: dg.DagsterRunStatus
) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()
    (request,) = daemon.requests(SENSOR)
    launch(daemon, request, status=status)
    platform.put("b.csv", b"id,name\n")
    platform.put("c.csv", b"id,name\n", DAY + timedelta(days=1))
    platform.find()

    (other,) = daemon.requests(SENSOR)

    assert other.partition_key == str(DAY + timedelta(days=1))


def test_only_the_partition_in_flight_waits_says_the_tick(platform: Platform, daemon: Daemon) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()
    launch(daemon, *daemon.requests(SENSOR))

    assert daemon.said(SENSOR) == "1 partitions have files waiting, 1 runs are in flight."


def test_files_that_arrived_during_a_run_are_requested_after_it(platform: Platform, daemon: Daemon) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()
    run = launch(daemon, *daemon.requests(SENSOR))
    platform.put("b.csv", b"id,name\n")
    platform.find()
    assert daemon.requests(SENSOR) == []

    succeed(daemon, run)

    assert keys(daemon.requests(SENSOR)) == [f"things:ingest:{DAY}:s{newest_seq(platform)}:0"]


def test_runs_of_another_dataset_hold_nobody_up(platform: Platform) -> None:
    other = TABLED.model_copy(update={"name": "others", "prefix": "others/"})
    with closing(Daemon(TABLED, other)) as daemon:
        platform.put("a.csv", b"id,name\n")
        platform.buckets.bucket("landing").put(f"others/{DAY}/a.csv", b"id,name\n")
        daemon.said("listing_sensor")
        launch(daemon, *daemon.requests("others_catalog_sensor"))

        assert len(daemon.requests(SENSOR)) == 1


def test_no_more_runs_than_the_limit_are_in_flight_the_longest_wait_first(
    platform: Platform, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_RUNS_PER_TICK", "2")
    days = [DAY + timedelta(days=number) for number in (0, -3, 2, -1)]
    for day in days:
        platform.put("a.csv", b"id,name\n", day)
        platform.find()

    first = daemon.requests(SENSOR)
    for request in first:
        launch(daemon, request)
    while_they_run = daemon.requests(SENSOR)
    monkeypatch.setenv("DES_RUNS_PER_TICK", "4")
    second = daemon.requests(SENSOR)

    assert [request.partition_key for request in (*first, *second)] == [str(day) for day in days]
    assert (len(first), while_they_run) == (2, [])


def test_pack_is_requested_as_one_range_over_all_shards(platform: Platform, plain: Daemon) -> None:
    platform.put("a.csv", b"id,name\n")
    make_ready(platform)

    (request,) = plain.requests(SENSOR)

    assert request.run_key == f"things:pack:{DAY}:r{newest_ready(platform)}:0"
    assert (request.job_name, request.partition_key) == ("things_pack", None)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (f"{DAY}|0", f"{DAY}|3")


def test_pack_of_one_shard_is_a_range_of_one(platform: Platform) -> None:
    platform.dataset = TABLED.model_copy(update={"shard_bits": 0})
    with closing(Daemon(platform.dataset)) as daemon:
        platform.put("a.csv", b"id,name\n1,one\n")
        _, packed = daemon.work_off(platform.dataset)

    assert len(packed.get_asset_materialization_events()) == 1


def test_pack_waits_for_an_ingest_of_its_day_alone(platform: Platform, plain: Daemon) -> None:
    yesterday = DAY - timedelta(days=1)
    for day in (yesterday, DAY):
        platform.put("a.csv", b"id,name\n", day)
        make_ready(platform, day)
    platform.put("b.csv", b"id,name\n")
    platform.find()

    requests = plain.requests(SENSOR)

    assert {request.tags["des/partition"] for request in requests} == {f"ingest:{DAY}", f"pack:{yesterday}"}
    for request in requests:
        launch(plain, request)
    assert plain.requests(SENSOR) == []


def test_pack_that_waited_long_does_not_wait_for_an_ingest(platform: Platform, plain: Daemon) -> None:
    platform.put("a.csv", b"id,name\n")
    make_ready(platform)
    platform.put("b.csv", b"id,name\n")
    platform.find()
    age(platform, PACK_AT_LATEST_SECONDS + 1)

    assert [request.job_name for request in plain.requests(SENSOR)] == ["things_ingest", "things_pack"]


def test_pack_waits_until_no_file_has_come_for_some_seconds(
    platform: Platform, plain: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_sensor, "PACK_QUIET_SECONDS", 300)
    platform.put("a.csv", b"id,name\n")
    make_ready(platform)
    assert plain.requests(SENSOR) == []

    age(platform, 301)

    assert len(plain.requests(SENSOR)) == 1


def test_files_that_a_dead_run_left_catalogued_are_requested_again(platform: Platform, plain: Daemon) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()
    platform.take_in()

    (request,) = plain.requests(SENSOR)

    assert (request.run_key or "").startswith(f"things:ingest:{DAY}:c")
    assert request.partition_key == str(DAY)


def test_failed_run_is_requested_again_after_a_pause_with_the_next_attempt_in_its_key(
    platform: Platform, daemon: Daemon, clock: Clock
) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()
    (request,) = daemon.requests(SENSOR)
    fail(daemon, request)

    assert daemon.requests(SENSOR) == []
    clock.ahead += 3600

    (again,) = daemon.requests(SENSOR)
    assert again.run_key == f"{(request.run_key or '').removesuffix(':0')}:1"


def test_pauses_between_attempts_grow(platform: Platform, daemon: Daemon, clock: Clock) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()
    pauses = []
    for _ in range(MAX_ATTEMPTS - 1):
        fail(daemon, *daemon.requests(SENSOR))
        clock.ahead = 0
        while not daemon.requests(SENSOR):
            clock.ahead += 10
        pauses.append(clock.ahead)

    assert pauses[0] > 0
    assert pauses == sorted(set(pauses))


def test_partition_is_given_up_after_the_last_attempt_until_something_new_arrives(
    platform: Platform, daemon: Daemon, clock: Clock
) -> None:
    platform.put("a.csv", b"id,name\n")
    platform.find()
    for attempt in range(MAX_ATTEMPTS):
        (request,) = daemon.requests(SENSOR)
        assert (request.run_key or "").endswith(f":{attempt}")
        fail(daemon, request)
        clock.ahead += 3600

    assert daemon.requests(SENSOR) == []
    platform.put("b.csv", b"id,name\n")
    platform.find()
    assert keys(daemon.requests(SENSOR)) == [f"things:ingest:{DAY}:s{newest_seq(platform)}:0"]


def test_partitions_that_were_given_up_do_not_hide_the_others(
    platform: Platform,
    daemon: Daemon,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DES_RUNS_PER_TICK", "1")
    platform.put("a.csv", b"id,name\n")
    platform.find()
    for _ in range(MAX_ATTEMPTS):
        fail(daemon, *daemon.requests(SENSOR))
        clock.ahead += 3600
    platform.put("b.csv", b"id,name\n", DAY + timedelta(days=1))
    platform.find()

    assert [request.partition_key for request in daemon.requests(SENSOR)] == [str(DAY + timedelta(days=1))]


def test_partitions_in_flight_do_not_hide_the_others(
    platform: Platform, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_RUNS_PER_TICK", "1")
    for day in (DAY, DAY + timedelta(days=1)):
        platform.put("a.csv", b"id,name\n", day)
        platform.find()
    launch(daemon, *daemon.requests(SENSOR))
    monkeypatch.setenv("DES_RUNS_PER_TICK", "2")

    assert [request.partition_key for request in daemon.requests(SENSOR)] == [str(DAY + timedelta(days=1))]


def test_day_whose_table_load_failed_is_requested_again(
    platform: Platform, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.put("a.csv", b"id,name\n1,one\n")
    platform.find()
    with monkeypatch.context() as broken:
        broken.setattr("des_platform.defs.lake.assets.load_days", _lake_is_down)
        assert not daemon.execute(*daemon.requests(SENSOR)).success

    _, packed = daemon.work_off(TABLED)

    assert packed.success
    with platform.catalog.begin() as connection:
        assert partitions.table_rows(connection, "things") == (1, 0)


def test_dataset_without_a_table_waits_for_none(platform: Platform, plain: Daemon) -> None:
    platform.put("a.csv", b"id,name\n1,one\n")

    assert len(plain.work_off(platform.dataset)) == 2


def _lake_is_down(*_: object, **__: object) -> None:
    raise dg.Failure("the lake is down", allow_retries=False)
