from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from des_platform.catalog import data_sources, ingestion_attempts, ingestion_batches, ingestion_jobs, lake_tables
from des_platform.catalog.data_sources import SourceDefinition, SourceNameTaken
from des_platform.catalog.ingestion_attempts import Attempt
from des_platform.catalog.ingestion_jobs import Job, JobDefinition, JobRefused, MissingTarget, next_time
from des_platform.catalog.tables import ingestion_jobs as table
from des_platform_tests.catalog.support import at_once
from des_platform_tests.platform import DATASET

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.catalog.database import Catalog

SOURCE = {"name": "orders", "source_type": "s3", "connection_config": {"bucket": "landing", "prefix": "orders/"}}


def source_of(**changes: Any) -> SourceDefinition:
    return SourceDefinition.model_validate(SOURCE | changes)


@pytest.fixture
def targets(catalog: Catalog) -> dict[str, int]:
    """A data source and a table."""
    with catalog.begin() as connection:
        source = data_sources.create(connection, source_of(), created_by="me")
        made = lake_tables.create(connection, "orders")
        assert made is not None
        return {"data_source_id": source.source_id, "table_id": made.table_id}


@pytest.fixture
def make(catalog: Catalog, targets: dict[str, int]) -> Callable[..., Job]:
    def made(**definition: Any) -> Job:
        with catalog.begin() as connection:
            values = {"job_name": "load", **targets, **definition}
            return ingestion_jobs.create(connection, JobDefinition.model_validate(values))

    return made


def started(catalog: Catalog, job: Job) -> Job:
    with catalog.begin() as connection:
        found = ingestion_jobs.start(connection, job.job_id)
        assert found is not None
        return found


def claimed(catalog: Catalog, most: int = 10) -> list[Job]:
    with catalog.begin() as connection:
        return ingestion_attempts.claim(connection, most)


def claimed_one(catalog: Catalog) -> Attempt:
    (job,) = claimed(catalog)
    return Attempt.of(job)


def begun(catalog: Catalog, job: Job) -> Attempt:
    """Start a job, claim and begin it."""
    started(catalog, job)
    attempt = claimed_one(catalog)
    assert begin(catalog, attempt)
    return attempt


def begin(catalog: Catalog, attempt: Attempt, run_id: str = "run") -> Job | None:
    with catalog.begin() as connection:
        return ingestion_attempts.begin(connection, attempt, run_id)


def ended(catalog: Catalog, attempt: Attempt, error: str | None = None, *, retry: bool = True) -> Job | None:
    with catalog.begin() as connection:
        return ingestion_attempts.end(connection, attempt, error, retry=retry)


def cancelled(catalog: Catalog, job_id: int) -> Job | None:
    with catalog.begin() as connection:
        return ingestion_jobs.cancel(connection, job_id)


def state(catalog: Catalog, job_id: int) -> Job:
    with catalog.begin() as connection:
        found = ingestion_jobs.get(connection, job_id)
        assert found is not None
        return found


def let_pass(catalog: Catalog, column: str) -> None:
    """Let the time come that stands in a column of every job."""
    with catalog.begin() as connection:
        connection.execute(table.update().values({column: sa.func.now() - timedelta(seconds=1)}))


def test_a_started_job_is_claimed_begun_and_completed_once(catalog: Catalog, make: Callable[..., Job]) -> None:
    job = make()
    assert (job.status, job.requested_at, claimed(catalog)) == ("pending", None, [])

    started(catalog, job)
    attempt = claimed_one(catalog)

    assert claimed(catalog) == []
    assert begin(catalog, attempt, "run-1")
    assert begin(catalog, attempt, "run-2") is None
    assert state(catalog, job.job_id).run_id == "run-1"
    done = ended(catalog, attempt)
    assert done is not None
    assert (done.status, done.error_message) == ("completed", None)
    assert ended(catalog, attempt, "too late") is None


def test_two_sensors_never_claim_the_same_job(catalog: Catalog, make: Callable[..., Job]) -> None:
    jobs = [started(catalog, make()).job_id for _ in range(20)]

    shares = at_once([partial(claimed, catalog) for _ in range(4)])

    together = [job.job_id for share in shares for job in share]
    rest = [job.job_id for job in claimed(catalog, 100)]
    assert sorted(together + rest) == jobs


def test_of_two_runs_of_one_try_one_begins(catalog: Catalog, make: Callable[..., Job]) -> None:
    started(catalog, make())
    attempt = claimed_one(catalog)

    begun = at_once([partial(begin, catalog, attempt, f"run-{number}") for number in range(4)])

    assert sum(job is not None for job in begun) == 1


def test_the_more_important_job_goes_first_and_then_the_one_that_waits_longer(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    jobs = {name: started(catalog, make(priority=priority)) for name, priority in [("a", 5), ("b", 9), ("c", 5)]}

    order = [job.job_id for _ in jobs for job in claimed(catalog, 1)]

    assert order == [jobs[name].job_id for name in "bac"]


def test_a_job_is_started_once_and_only_while_it_is_pending(catalog: Catalog, make: Callable[..., Job]) -> None:
    job = make()
    started(catalog, job)
    with pytest.raises(JobRefused, match="requested already"):
        started(catalog, job)
    attempt = claimed_one(catalog)
    begin(catalog, attempt)
    with pytest.raises(JobRefused, match="is running"):
        started(catalog, job)
    ended(catalog, attempt)
    with pytest.raises(JobRefused, match="is completed"):
        started(catalog, job)


def test_a_pending_job_is_cancelled_at_once_and_its_claim_begins_nothing(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    job = started(catalog, make())
    attempt = claimed_one(catalog)

    now = cancelled(catalog, job.job_id)

    assert now is not None
    assert now.status == "cancelled"
    assert begin(catalog, attempt) is None
    with pytest.raises(JobRefused, match="cancelled already"):
        cancelled(catalog, job.job_id)


@pytest.mark.parametrize("error", [None, "it failed"])
def test_a_running_job_that_was_cancelled_never_becomes_anything_else(
    catalog: Catalog, make: Callable[..., Job], error: str | None
) -> None:
    job = make()
    attempt = begun(catalog, job)
    with catalog.begin() as connection:
        assert ingestion_attempts.may_go_on(connection, attempt)

    asked = cancelled(catalog, job.job_id)

    assert asked is not None
    assert (asked.status, asked.cancel_requested) == ("running", True)
    with catalog.begin() as connection:
        assert not ingestion_attempts.may_go_on(connection, attempt)
    done = ended(catalog, attempt, error)
    assert done is not None
    assert done.status == "cancelled"


def test_a_failed_try_is_repeated_after_rests_that_double_until_there_were_enough(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    job = make(max_retries=2, retry_delay_seconds=60)
    attempt = begun(catalog, job)
    rests = []
    for _ in range(2):
        failed = ended(catalog, attempt, "the store is away")
        assert failed is not None
        assert (failed.status, failed.error_message) == ("pending", "the store is away")
        assert failed.not_before is not None
        rests.append((failed.not_before - failed.updated_at).total_seconds())
        assert claimed(catalog) == []
        let_pass(catalog, "not_before")
        attempt = claimed_one(catalog)
        begin(catalog, attempt)
    last = ended(catalog, attempt, "the store is away")

    assert rests == [60, 120]
    assert last is not None
    assert last.status == "failed"
    assert claimed(catalog) == []


def test_what_cannot_get_better_is_not_repeated(catalog: Catalog, make: Callable[..., Job]) -> None:
    failed = ended(catalog, begun(catalog, make()), "no such table", retry=False)

    assert failed is not None
    assert failed.status == "failed"


def test_a_failed_or_cancelled_job_can_be_retried_with_all_its_tries(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    job = make(max_retries=0)
    first = begun(catalog, job)
    ended(catalog, first, "no luck")

    with catalog.begin() as connection:
        again = ingestion_jobs.retry(connection, job.job_id)

    assert again is not None
    assert (again.status, again.attempt) == ("pending", 0)
    second = claimed_one(catalog)
    assert str(second) != str(first)
    assert begin(catalog, first) is None
    assert begin(catalog, second)
    with pytest.raises(JobRefused, match="running"), catalog.begin() as connection:
        ingestion_jobs.retry(connection, job.job_id)


def test_a_try_that_was_replaced_changes_nothing_when_it_comes_back(catalog: Catalog, make: Callable[..., Job]) -> None:
    job = make(retry_delay_seconds=0)
    lost = begun(catalog, job)
    ended(catalog, lost, "its run died")
    newer = claimed_one(catalog)
    begin(catalog, newer, "run-2")

    with catalog.begin() as connection:
        assert not ingestion_attempts.may_go_on(connection, lost)
    assert ended(catalog, lost) is None
    assert state(catalog, job.job_id).status == "running"


def test_a_claim_that_no_run_took_up_is_free_again_but_not_for_ever(catalog: Catalog, make: Callable[..., Job]) -> None:
    job = started(catalog, make(max_retries=1))
    lost = claimed_one(catalog)
    let_pass(catalog, "not_before")
    second = claimed_one(catalog)

    assert second.number == lost.number + 1
    assert begin(catalog, lost) is None
    let_pass(catalog, "not_before")
    assert claimed(catalog) == []
    given_up = state(catalog, job.job_id)
    assert given_up.status == "failed"
    assert "none began" in (given_up.error_message or "")


def test_a_job_whose_run_still_waits_in_the_queue_is_not_claimed_again(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    job = started(catalog, make())
    claimed_one(catalog)
    let_pass(catalog, "not_before")

    with catalog.begin() as connection:
        assert ingestion_attempts.claim(connection, 10, busy=[job.job_id]) == []


def test_a_scheduled_job_is_requested_once_for_all_times_that_passed(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    job = make(schedule_cron="*/5 * * * *")
    assert job.next_run_at is not None
    with catalog.begin() as connection:
        assert ingestion_attempts.request_due(connection) == []
        long_ago = sa.func.now() - timedelta(days=3)
        connection.execute(table.update().values(next_run_at=long_ago))

    def due() -> list[int]:
        with catalog.begin() as connection:
            return [found.job_id for found in ingestion_attempts.request_due(connection)]

    requested = at_once([due for _ in range(4)])

    assert sorted(requested) == [[], [], [], [job.job_id]]
    assert len(claimed(catalog)) == 1
    upcoming = state(catalog, job.job_id).next_run_at
    assert upcoming is not None
    assert upcoming > datetime.now(UTC)


def test_a_scheduled_job_whose_time_comes_while_it_runs_is_requested_when_it_has_ended(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    job = make(schedule_cron="* * * * *")
    attempt = begun(catalog, job)
    let_pass(catalog, "next_run_at")
    with catalog.begin() as connection:
        assert ingestion_attempts.request_due(connection) == []
    ended(catalog, attempt)

    with catalog.begin() as connection:
        assert [found.job_id for found in ingestion_attempts.request_due(connection)] == [job.job_id]


def test_a_cancelled_scheduled_job_rests_until_it_is_retried(catalog: Catalog, make: Callable[..., Job]) -> None:
    job = make(schedule_cron="* * * * *")
    cancelled(catalog, job.job_id)
    let_pass(catalog, "next_run_at")
    with catalog.begin() as connection:
        assert ingestion_attempts.request_due(connection) == []
        again = ingestion_jobs.retry(connection, job.job_id)

    assert again is not None
    assert again.next_run_at is not None
    assert again.next_run_at > datetime.now(UTC)


@pytest.mark.parametrize(
    "cron", ["", "soon", "* * * *", "* * * * * *", "@daily", "61 * * * *", "0 0 31 2 *", "R * * * *", "* * * * *\n"]
)
def test_what_is_no_schedule_is_refused(cron: str) -> None:
    with pytest.raises(ValidationError, match="schedule"):
        JobDefinition.model_validate({"job_name": "load", "data_source_id": 1, "table_id": 1, "schedule_cron": cron})


def test_a_schedule_is_utc() -> None:
    noon_in_tokyo = datetime.fromisoformat("2026-03-01T12:00:00+09:00")
    assert next_time("30 4 * * *", noon_in_tokyo) == datetime(2026, 3, 1, 4, 30, tzinfo=UTC)


def test_a_job_needs_an_active_source_that_jobs_read_and_an_active_table_of_its_own(
    catalog: Catalog, make: Callable[..., Job], targets: dict[str, int]
) -> None:
    with catalog.begin() as connection:
        queue = data_sources.create(connection, source_of(name="q", source_type="kafka"), created_by="me")
        rejects = lake_tables.create(connection, "orders_rejected")
        daily = lake_tables.register(connection, DATASET.name, dataset=DATASET.name)
    for missing in ({"data_source_id": 77}, {"table_id": 77}):
        with pytest.raises(MissingTarget, match="77"):
            make(**missing)
    with pytest.raises(JobRefused, match="DES_SOURCES"):
        make(data_source_id=queue.source_id)
    assert rejects is not None
    with pytest.raises(JobRefused, match="rejected"):
        make(table_id=rejects.table_id)
    with pytest.raises(JobRefused, match=f"dataset {DATASET.name}"):
        make(table_id=daily.table_id)
    job = make()
    with catalog.begin() as connection:
        data_sources.change(connection, targets["data_source_id"], {"is_active": False})
    with pytest.raises(MissingTarget):
        started(catalog, job)
    with pytest.raises(MissingTarget):
        make()


def test_a_job_counts_what_its_tries_brought_and_what_the_last_one_did_not(
    catalog: Catalog, make: Callable[..., Job]
) -> None:
    def batch(attempt: Attempt, status: Any, processed: int, failed: int) -> None:
        with catalog.begin() as connection:
            opened = ingestion_batches.open_batch(connection, attempt.job_id, attempt.number)
            found = {"records_processed": processed, "records_failed": failed}
            ingestion_batches.close_batch(connection, opened.batch_id, status, **found)

    job = make(retry_delay_seconds=0)
    first = begun(catalog, job)
    batch(first, "completed", 90, 10)
    batch(first, "failed", 0, 50)
    failed = ended(catalog, first, "one batch failed")
    second = claimed_one(catalog)
    begin(catalog, second)
    batch(second, "completed", 49, 1)
    done = ended(catalog, second)

    assert failed is not None
    assert (failed.records_processed, failed.records_failed) == (90, 60)
    assert done is not None
    assert (done.records_processed, done.records_failed) == (139, 11)
    with catalog.begin() as connection:
        found, total = ingestion_batches.page(connection, job.job_id, limit=2, offset=1)
    assert ([batch.batch_number for batch in found], total) == ([2, 3], 3)


def test_a_batch_that_a_dead_run_left_open_is_ended_by_the_next_try(catalog: Catalog, make: Callable[..., Job]) -> None:
    job = make(retry_delay_seconds=0)
    dead = begun(catalog, job)
    with catalog.begin() as connection:
        ingestion_batches.open_batch(connection, job.job_id, dead.number)

    ended(catalog, dead, "its run died")

    with catalog.begin() as connection:
        ((batch,), _) = ingestion_batches.page(connection, job.job_id, limit=9, offset=0)
    assert batch.status == "failed"
    assert "read again" in (batch.error_message or "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"connection_config": {"bucket": "landing", "prefix": "/etc"}}, "prefix"),
        ({"connection_config": {"bucket": "landing", "prefix": "a/../b"}}, "prefix"),
        ({"connection_config": {"bucket": "../secrets"}}, "bucket"),
        ({"connection_config": {"path": "/etc/passwd"}}, "a bucket and a prefix"),
        ({"connection_config": {"bucket": "landing", "endpoint": "http://elsewhere"}}, "endpoint"),
        ({"source_type": "file", "connection_config": {}}, "bucket"),
        ({"source_type": "database", "connection_config": {"url": "postgres://me:hunter2@db/x"}}, "credential"),
        ({"source_type": "database", "connection_config": {"password": "hunter2"}}, "credential"),
        ({"auth_config": {"token": "hunter2"}}, "no reference"),
        ({"auth_config": {"token": ["hunter2"]}}, "no reference"),
        ({"name": "a/b"}, "name"),
        ({"schema_definition": {"a": "varchar"}}, "schema_definition"),
    ],
)
def test_a_data_source_is_an_address_in_the_platforms_store_and_holds_no_secret(
    wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        source_of(**wrong)
    assert all("hunter2" not in str(found["msg"]) for found in refused.value.errors())


def test_a_data_source_is_changed_only_into_one_that_is_right(catalog: Catalog, targets: dict[str, int]) -> None:
    source_id = targets["data_source_id"]

    def change(**changes: Any) -> data_sources.DataSource | None:
        with catalog.begin() as connection:
            return data_sources.change(connection, source_id, changes)

    with catalog.begin() as connection:
        data_sources.create(connection, source_of(name="others"), created_by="me")
    changed = change(data_format="csv", auth_config={"token": "env:ORDERS_TOKEN"})
    assert changed is not None
    assert (changed.data_format, changed.location.prefix) == ("csv", "orders/")
    with pytest.raises(ValidationError):
        change(connection_config={"bucket": "x"})
    with pytest.raises(SourceNameTaken):
        change(name="others")
    with pytest.raises(SourceNameTaken), catalog.begin() as connection:
        data_sources.create(connection, source_of(), created_by="me")
