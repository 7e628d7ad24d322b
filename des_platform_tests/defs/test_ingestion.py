from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import sqlalchemy as sa

from des_platform.catalog import ingestion_jobs
from des_platform.catalog.tables import ingestion_jobs as table
from des_platform.defs.ingestion.job import JOB_TAG, lake_ingestion
from des_platform.defs.ingestion.sensors import lake_ingestion_sensor
from des_platform.defs.resources import PlatformResource
from des_platform.lake.tables import Lake
from des_platform_tests.lake.ingesting import TABLE, Ingesting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dagster._core.definitions.sensor_definition import SensorExecutionData

    from des_platform_tests.platform import Platform

NOT_STARTED = dg.DagsterRunStatus.NOT_STARTED
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Dagster:
    """An instance, a sensor that ticks, and runs in this process."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        definitions = dg.Definitions(
            jobs=[lake_ingestion], sensors=[lake_ingestion_sensor], resources={"platform": PlatformResource()}
        )
        self.repository = definitions.get_repository_def()

    def close(self) -> None:
        self.instance.dispose()

    def tick(self) -> SensorExecutionData:
        context = dg.build_sensor_context(
            instance=self.instance, repository_def=self.repository, resources={"platform": PlatformResource()}
        )
        with context:
            return self.repository.get_sensor_def("lake_ingestion_sensor").evaluate_tick(context)

    def requests(self) -> Sequence[dg.RunRequest]:
        return self.tick().run_requests or []

    def one_request(self) -> dg.RunRequest:
        (request,) = self.requests()
        return request

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        return self.repository.get_job("lake_ingestion").execute_in_process(
            run_config={**request.run_config, **_QUIET},
            instance=self.instance,
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def queue(self, request: dg.RunRequest, status: dg.DagsterRunStatus = NOT_STARTED) -> dg.DagsterRun:
        """A run as the daemon makes it of a request, without executing it."""
        return self.instance.create_run_for_job(
            self.repository.get_job("lake_ingestion"),
            run_config=dict(request.run_config),
            tags=dict(request.tags),
            status=status,
        )


@pytest.fixture
def dagster() -> Iterator[Dagster]:
    with closing(Dagster()) as made:
        yield made


@pytest.fixture
def ingesting(platform: Platform) -> Iterator[Ingesting]:
    with closing(Lake(platform.settings)) as lake:
        yield Ingesting(platform, lake)


def let_pass(ingesting: Ingesting, column: str) -> None:
    """Let the time come that stands in a column of every job."""
    with ingesting.platform.catalog.begin() as connection:
        connection.execute(table.update().values({column: sa.func.now() - timedelta(seconds=1)}))


def run_as(ingesting: Ingesting, job_id: int, run: dg.DagsterRun) -> None:
    """A run begins the job's try, and is never heard of again."""
    with ingesting.platform.catalog.begin() as connection:
        ingestion_jobs.update(connection, job_id, status="running", run_id=run.run_id)


def test_a_started_job_becomes_a_run_that_materializes_its_table(ingesting: Ingesting, dagster: Dagster) -> None:
    ingesting.orders("a.jsonl", 1, 2)
    ingesting.put("b.jsonl", '{"id":"x","item":"y"}\n')
    job_id = ingesting.job(priority=8)

    request = dagster.one_request()
    result = dagster.execute(request)

    assert result.success
    assert (request.tags[JOB_TAG], request.tags["dagster/priority"]) == (str(job_id), "3")
    (shown,) = [event.materialization for event in result.get_asset_materialization_events()]
    facts: dict[str, Any] = {name: value.value for name, value in shown.metadata.items()}
    assert shown.asset_key == dg.AssetKey(["lake", TABLE])
    assert (facts["dagster/row_count"], facts["new_rows"], facts["rejected_rows"], facts["files"]) == (2, 2, 1, 2)
    assert facts["bytes_in"] > 0
    assert facts["bytes_out"] > 0
    job = ingesting.state(job_id)
    assert (job.status, job.run_id, job.records_processed) == ("completed", result.run_id, 2)
    assert dagster.requests() == []


def test_a_request_is_claimed_by_one_tick_and_run_once_however_often_its_run_is_repeated(
    ingesting: Ingesting, dagster: Dagster
) -> None:
    ingesting.orders("a.jsonl", 1)
    ingesting.job()
    request = dagster.one_request()

    assert dagster.requests() == []
    first, second = dagster.execute(request), dagster.execute(request)

    assert first.success
    assert second.success
    assert second.get_asset_materialization_events() == []
    assert ingesting.ids() == [1]


def test_a_job_whose_run_waits_in_dagsters_queue_is_not_asked_for_again(ingesting: Ingesting, dagster: Dagster) -> None:
    ingesting.job()
    dagster.queue(dagster.one_request())
    let_pass(ingesting, "not_before")

    assert dagster.requests() == []


def test_a_claim_of_which_dagster_never_heard_is_asked_for_again(ingesting: Ingesting, dagster: Dagster) -> None:
    ingesting.orders("a.jsonl", 1)
    job_id = ingesting.job(max_retries=1)
    lost = dagster.one_request()
    let_pass(ingesting, "not_before")

    request = dagster.one_request()
    assert request.run_key != lost.run_key
    assert dagster.execute(request).success
    assert dagster.execute(lost).success
    assert (ingesting.state(job_id).status, ingesting.ids()) == ("completed", [1])


@pytest.mark.parametrize("told", [True, False])
def test_a_run_that_died_fails_its_job_which_is_tried_again(ingesting: Ingesting, dagster: Dagster, told: bool) -> None:
    ingesting.orders("a.jsonl", 1)
    job_id = ingesting.job(max_retries=1, retry_delay_seconds=3600)
    request = dagster.one_request()
    run = dagster.queue(request, dg.DagsterRunStatus.STARTED)
    run_as(ingesting, job_id, run)
    assert dagster.requests() == []
    assert ingesting.state(job_id).status == "running"

    if told:
        dagster.instance.report_run_failed(run)
    else:
        dagster.instance.delete_run(run.run_id)
    assert dagster.requests() == []

    job = ingesting.state(job_id)
    assert (job.status, run.run_id in (job.error_message or "")) == ("pending", True)
    let_pass(ingesting, "not_before")
    assert dagster.execute(dagster.one_request()).success
    assert (ingesting.state(job_id).status, ingesting.ids()) == ("completed", [1])


def test_a_run_that_somebody_ended_in_dagster_cancels_its_job(ingesting: Ingesting, dagster: Dagster) -> None:
    job_id = ingesting.job(max_retries=5)
    run = dagster.queue(dagster.one_request(), dg.DagsterRunStatus.STARTED)
    run_as(ingesting, job_id, run)
    dagster.instance.report_run_canceled(run)

    assert dagster.requests() == []
    assert ingesting.state(job_id).status == "cancelled"


def test_a_failed_try_fails_its_run_and_is_repeated_by_the_sensor_alone(
    ingesting: Ingesting, dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the disk is full")

    ingesting.orders("a.jsonl", 1)
    job_id = ingesting.job(max_retries=1, retry_delay_seconds=0)
    request = dagster.one_request()
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "append", fail)
        failed = dagster.execute(request)

    assert not failed.success
    assert request.tags["dagster/max_retries"] == "0"
    assert "the disk is full" in (ingesting.state(job_id).error_message or "")
    assert dagster.execute(dagster.one_request()).success
    assert (ingesting.state(job_id).status, ingesting.ids()) == ("completed", [1])


def test_a_scheduled_job_runs_when_its_time_has_come(ingesting: Ingesting, dagster: Dagster) -> None:
    ingesting.orders("a.jsonl", 1)
    job_id = ingesting.job(schedule_cron="0 0 1 1 *")
    assert dagster.execute(dagster.one_request()).success
    assert dagster.requests() == []
    ingesting.orders("b.jsonl", 2)
    let_pass(ingesting, "next_run_at")

    assert dagster.execute(dagster.one_request()).success

    assert dagster.requests() == []
    assert (ingesting.state(job_id).records_processed, ingesting.ids()) == (1, [1, 2])


def test_a_few_jobs_run_at_once_the_most_important_first(ingesting: Ingesting, dagster: Dagster) -> None:
    jobs = [ingesting.job(priority=1 + number % 10) for number in range(8)]

    requests = dagster.requests()
    for request in requests:
        dagster.queue(request)

    assert [request.tags[JOB_TAG] for request in requests] == [str(job_id) for job_id in jobs[:2:-1]]
    assert dagster.requests() == []
