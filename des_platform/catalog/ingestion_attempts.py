"""The tries of ingestion jobs: claimed by a sensor, begun by a run, ended once.

A claim adds one to the job's `attempt` and is good for a while. A run begins its try only if that is still the newest
one of the newest request, and ends it only if nobody else did. So neither two sensors nor two workers run one try, a
cancelled job never turns completed, and a run that everybody took for dead changes nothing any more when it comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from des_platform.catalog import ingestion_batches, ingestion_jobs
from des_platform.catalog.ingestion_jobs import COLUMNS, Job
from des_platform.catalog.tables import ingestion_jobs as jobs
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Collection

# A tick asks Dagster for its runs when it ends; a claim that no run is queued for by then is free again.
_CLAIM: Final = timedelta(seconds=90)
_LONGEST_REST: Final = timedelta(days=1)
_DUE_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one request of a job."""

    job_id: int
    requested_at: datetime
    number: int

    @classmethod
    def of(cls, job: Job) -> Attempt:
        """The newest try of a job that was requested."""
        if job.requested_at is None:
            raise ValueError(f"job {job.job_id} was never requested")
        return cls(job.job_id, job.requested_at, job.attempt)

    def __str__(self) -> str:
        """Unique among all tries of all jobs."""
        return f"{self.job_id}:{self.requested_at:%Y%m%dT%H%M%S.%f}:{self.number}"


def request_due(connection: sa.Connection) -> list[Job]:
    """Request the scheduled jobs whose time has come, each once however often its time came meanwhile.

    One that is running is requested when it ends; one that waits already is not requested again; a cancelled one rests
    until it is retried.
    """
    due = sa.and_(jobs.c.next_run_at <= sa.func.now(), jobs.c.status.in_(["completed", "failed", "pending"]))
    statement = sa.select(*COLUMNS).where(due).order_by(jobs.c.next_run_at).limit(_DUE_AT_ONCE)
    rows = connection.execute(statement.with_for_update(skip_locked=True)).mappings().all()
    requested = []
    for job in (Job(**row) for row in rows):
        if job.status == "pending" and job.requested_at is not None:
            upcoming = ingestion_jobs.next_time(job.schedule_cron or "", ingestion_jobs.now(connection))
            ingestion_jobs.update(connection, job.job_id, next_run_at=upcoming)
        else:
            requested.append(ingestion_jobs.request(connection, job))
    return requested


def claim(connection: sa.Connection, most: int, *, busy: Collection[int] = ()) -> list[Job]:
    """Claim requested jobs, the most important first, then those that wait longest.

    Args:
        connection: inside a transaction.
        most: how many.
        busy: jobs that have a run under way.
    """
    waiting = sa.and_(
        jobs.c.status == "pending",
        jobs.c.requested_at.is_not(None),
        # Not `now()`, the transaction's beginning: a job may have been requested since, in this very transaction.
        sa.func.coalesce(jobs.c.not_before, jobs.c.requested_at) <= sa.func.clock_timestamp(),
        jobs.c.job_id.not_in(list(busy)),
    )
    statement = sa.select(*COLUMNS).where(waiting).order_by(jobs.c.priority.desc(), jobs.c.requested_at, jobs.c.job_id)
    rows = connection.execute(statement.limit(max(most, 0)).with_for_update(skip_locked=True)).mappings().all()
    claimed = []
    for job in (Job(**row) for row in rows):
        if job.attempt > job.max_retries:
            reason = f"{job.attempt} runs were asked for and none began: look at Dagster's runs and its daemon"
            ingestion_jobs.update(
                connection, job.job_id, status="failed", error_message=reason, completed_at=sa.func.now()
            )
        else:
            until = sa.func.now() + _CLAIM
            claimed.append(ingestion_jobs.update(connection, job.job_id, attempt=job.attempt + 1, not_before=until))
    return claimed


def begin(connection: sa.Connection, attempt: Attempt, run_id: str) -> Job | None:
    """Begin a try; None if it is not to be begun: cancelled, begun already, or replaced by another."""
    statement = jobs.update().where(_of(attempt), jobs.c.status == "pending")
    statement = statement.values(
        status="running",
        run_id=run_id,
        started_at=sa.func.now(),
        last_run_at=sa.func.now(),
        completed_at=None,
        not_before=None,
        error_message=None,
        updated_at=sa.func.now(),
    )
    row = connection.execute(statement.returning(*COLUMNS)).mappings().one_or_none()
    if row is None:
        return None
    ingestion_batches.give_up(connection, attempt.job_id)
    record_counts(connection, attempt)
    return Job(**row)


def may_go_on(connection: sa.Connection, attempt: Attempt) -> bool:
    """Whether a try that began is still the one, and nobody wants it to stop."""
    statement = sa.select(jobs.c.job_id).where(_of(attempt), jobs.c.status == "running", ~jobs.c.cancel_requested)
    return connection.scalar(statement) is not None


def record_counts(connection: sa.Connection, attempt: Attempt) -> None:
    """Let a job that runs tell what its batches brought so far."""
    processed, failed = ingestion_batches.counts(connection, attempt.job_id, attempt.requested_at, attempt.number)
    statement = jobs.update().where(_of(attempt), jobs.c.status == "running")
    connection.execute(statement.values(records_processed=processed, records_failed=failed))


def end(
    connection: sa.Connection, attempt: Attempt, error: str | None, *, retry: bool = True, cancelled: bool = False
) -> Job | None:
    """End a try that began; None if somebody else did, or it was replaced.

    A job that somebody wants to stop is cancelled, however its try ended. A failed try leaves the job pending, to be
    tried again after a rest, until `max_retries` of them failed.

    Args:
        connection: inside a transaction.
        attempt: the try.
        error: why it failed; None if it did not.
        retry: whether trying again may help.
        cancelled: somebody ended the run and wants no other one.
    """
    statement = sa.select(*COLUMNS).where(_of(attempt), jobs.c.status == "running").with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return None
    job = Job(**row)
    ingestion_batches.give_up(connection, job.job_id)
    record_counts(connection, attempt)
    changes: dict[str, object] = {
        "error_message": None if error is None else storable(error[:4000]),
        "completed_at": sa.func.now(),
    }
    if job.cancel_requested or cancelled:
        changes["status"] = "cancelled"
    elif error is None:
        changes["status"] = "completed"
    elif retry and attempt.number <= job.max_retries:
        rest = min(timedelta(seconds=job.retry_delay_seconds) * 2 ** (attempt.number - 1), _LONGEST_REST)
        changes |= {"status": "pending", "not_before": sa.func.now() + rest, "completed_at": None}
    else:
        changes["status"] = "failed"
    return ingestion_jobs.update(connection, job.job_id, **changes)


def running(connection: sa.Connection) -> list[Job]:
    """Every job that a run has begun and not ended."""
    statement = sa.select(*COLUMNS).where(jobs.c.status == "running").order_by(jobs.c.job_id)
    return [Job(**row) for row in connection.execute(statement).mappings()]


def _of(attempt: Attempt) -> sa.ColumnElement[bool]:
    return sa.and_(
        jobs.c.job_id == attempt.job_id,
        jobs.c.requested_at == attempt.requested_at,
        jobs.c.attempt == attempt.number,
    )
