"""Ingestion jobs: what somebody wants done, and the states between the wish and its end.

    pending --start--> pending, requested --claim, begin--> running --> completed | failed | cancelled
       ^                                                       |
       +----------------- after a failure, `max_retries` times +

Nobody who asks runs anything: a request sets `requested_at`, and Dagster's sensor claims it. `(requested_at, attempt)`
names one try of one request, so a try that was given up can be told from the one that replaced it
(`ingestion_attempts`). Every change of state is one conditional update: of two that race, one sees what the other did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from des_platform.catalog import data_sources, lake_tables
from des_platform.catalog.data_sources import READ_BY_JOBS
from des_platform.catalog.tables import ingestion_jobs
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Sequence

JobStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
Identifier = Annotated[int, Field(ge=1, le=2**63 - 1)]
_LONGEST_CRON: Final = 100
_CRON: Final = re.compile(r"[0-9A-Za-z*/,#-]+(?: +[0-9A-Za-z*/,#-]+){4}")
_RANDOM: Final = re.compile(r"(?<![A-Z])R(?![A-Z])", re.IGNORECASE)


class JobDefinition(BaseModel):
    """An ingestion job as its owner defines it.

    Attributes:
        job_name: what it is called.
        data_source_id: the source whose files it reads.
        table_id: the table that gets their rows.
        batch_size: records after which a batch is committed; a file is never split, so a batch may hold more.
        priority: 1 to 10; the larger goes first.
        schedule_cron: five fields, in UTC; empty: runs when it is started.
        max_retries: how often a failed try is repeated.
        retry_delay_seconds: rest before the first repetition; doubles with each.
        created_by: who wants it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    data_source_id: Identifier
    table_id: Identifier
    batch_size: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    priority: Annotated[int, Field(ge=1, le=10)] = 5
    schedule_cron: Annotated[str, Field(max_length=_LONGEST_CRON)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=20)] = 3
    retry_delay_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    created_by: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")] = "api"

    @field_validator("schedule_cron")
    @classmethod
    def _occurs(cls, value: str | None) -> str | None:
        if value is not None and next_time(value, datetime.now(UTC)) is None:
            raise ValueError(
                f"{value!r} is no schedule: expected five fields (minute, hour, day, month, weekday) that come true"
                " some day, such as '30 4 * * *'; times are UTC"
            )
        return value


@dataclass(frozen=True, slots=True)
class Job:
    """A job as kept.

    Attributes:
        attempt: number of the last try of the last request, from 1; 0 before the first.
        requested_at: when it was asked for last.
        not_before: a failed try's successor rests until then; a claim that no run took up is free again then.
        cancel_requested: somebody wants the running job to stop.
        run_id: the Dagster run of the last try.
        records_processed: rows that the tries of the last request brought into the table.
        records_failed: records that they could not bring into it.
    """

    job_id: int
    job_name: str
    data_source_id: int
    table_id: int
    status: JobStatus
    priority: int
    batch_size: int
    max_retries: int
    retry_delay_seconds: int
    schedule_cron: str | None
    attempt: int
    requested_at: datetime | None
    not_before: datetime | None
    cancel_requested: bool
    run_id: str | None
    records_processed: int
    records_failed: int
    error_message: str | None
    started_at: datetime | None
    completed_at: datetime | None
    last_run_at: datetime | None
    next_run_at: datetime | None
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def is_scheduled(self) -> bool:
        """Whether it has a schedule."""
        return self.schedule_cron is not None


class MissingTarget(LookupError):
    """A job's data source or table does not exist, or is not active."""


class JobRefused(ValueError):
    """A job cannot do what it is for, or its state does not allow what was asked."""


COLUMNS: Final = [ingestion_jobs.c[field.name] for field in fields(Job)]


def next_time(cron: str, after: datetime) -> datetime | None:
    """The next time of a schedule; None where the text is no schedule, or one that never comes true.

    Args:
        cron: five fields; croniter would also take seconds, names of whole schedules and random times.
        after: aware.
    """
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]

    if not _CRON.fullmatch(cron) or _RANDOM.search(cron):
        return None
    try:
        found: datetime = croniter(cron, after.astimezone(UTC), max_years_between_matches=8).get_next(datetime)
    except (CroniterError, ValueError, TypeError, KeyError, IndexError, OverflowError):
        return None
    return found


def create(connection: sa.Connection, definition: JobDefinition) -> Job:
    """Record a job; it waits until somebody starts it or its first time comes.

    Raises:
        MissingTarget: its source or table does not exist, or is not active.
        JobRefused: no job can read that source, or fill that table.
    """
    check_target(connection, definition.data_source_id, definition.table_id)
    values: dict[str, Any] = definition.model_dump()
    for name in ("job_name", "created_by"):
        values[name] = storable(values[name])
    if definition.schedule_cron is not None:
        values["next_run_at"] = next_time(definition.schedule_cron, now(connection))
    return Job(**connection.execute(ingestion_jobs.insert().values(**values).returning(*COLUMNS)).mappings().one())


def check_target(connection: sa.Connection, source_id: int, table_id: int) -> None:
    """Make sure that a job of this source and table can do something.

    Raises:
        MissingTarget: one of them does not exist, or is not active.
        JobRefused: no job can read that source, or fill that table.
    """
    source = data_sources.get(connection, source_id)
    if source is None or not source.is_active:
        raise MissingTarget(f"there is no active data source {source_id}: GET /api/v1/sources/ lists them")
    table = lake_tables.get(connection, table_id)
    if table is None or not table.is_active:
        raise MissingTarget(f"there is no active table {table_id}: GET /api/v1/tables/ lists them")
    if source.source_type not in READ_BY_JOBS:
        raise JobRefused(
            f"data source {source.name} is of type {source.source_type}, which no job reads: the platform takes queues,"
            " streams, databases and the DataHub in through the sources that DES_SOURCES (sources.yaml) declares"
        )
    if table.name.endswith("_rejected"):
        raise JobRefused(f"table {table.name} keeps the rows that another table rejected, which no job fills")
    if table.dataset is not None:
        # A dataset's day is replaced whole, and the rows of a job would go with it.
        raise JobRefused(
            f"table {table.name} belongs to dataset {table.dataset}, which fills it from its own files: register a"
            " table of its own for this job"
        )


def now(connection: sa.Connection) -> datetime:
    """The database's clock, which is the only one: the moment at which the transaction began."""
    return connection.scalars(sa.select(sa.func.now())).one()


def get(connection: sa.Connection, job_id: int) -> Job | None:
    """A job."""
    row = connection.execute(sa.select(*COLUMNS).where(ingestion_jobs.c.job_id == job_id)).mappings().one_or_none()
    return Job(**row) if row else None


def page(
    connection: sa.Connection, *, status: JobStatus | None, table_id: int | None, limit: int, offset: int
) -> tuple[Sequence[Job], int]:
    """Some jobs, the newest first, and how many there are in all."""
    wanted: sa.ColumnElement[bool] = sa.true()
    if status is not None:
        wanted &= ingestion_jobs.c.status == status
    if table_id is not None:
        wanted &= ingestion_jobs.c.table_id == table_id
    total = connection.scalar(sa.select(sa.func.count()).select_from(ingestion_jobs).where(wanted)) or 0
    statement = sa.select(*COLUMNS).where(wanted).order_by(ingestion_jobs.c.job_id.desc()).limit(limit).offset(offset)
    return [Job(**row) for row in connection.execute(statement).mappings()], total


def start(connection: sa.Connection, job_id: int) -> Job | None:
    """Request a pending job; None if there is no such job.

    Raises:
        JobRefused: it is not pending, or requested already.
        MissingTarget: its source or table is not active any more.
    """
    job = _locked(connection, job_id)
    if job is None:
        return None
    if job.status != "pending" or job.requested_at is not None:
        state = "requested already" if job.status == "pending" else job.status
        raise JobRefused(f"job {job_id} is {state}, and only a pending one can be started{_advice(job.status)}")
    check_target(connection, job.data_source_id, job.table_id)
    return request(connection, job)


def retry(connection: sa.Connection, job_id: int) -> Job | None:
    """Request a failed or cancelled job again; None if there is no such job.

    Raises:
        JobRefused: it neither failed nor was cancelled.
        MissingTarget: its source or table is not active any more.
    """
    job = _locked(connection, job_id)
    if job is None:
        return None
    if job.status not in {"failed", "cancelled"}:
        raise JobRefused(f"job {job_id} is {job.status}: only a failed or cancelled one can be retried")
    check_target(connection, job.data_source_id, job.table_id)
    return request(connection, job)


def cancel(connection: sa.Connection, job_id: int) -> Job | None:
    """Cancel a pending job at once, and let a running one stop behind its batch; None if there is no such job.

    Raises:
        JobRefused: it is over.
    """
    job = _locked(connection, job_id)
    if job is None:
        return None
    if job.status not in {"pending", "running"}:
        raise JobRefused(f"job {job_id} is {job.status} already")
    changes: dict[str, object] = {"cancel_requested": True, "not_before": None}
    if job.status == "pending":
        changes |= {"status": "cancelled", "completed_at": sa.func.now()}
    return update(connection, job_id, **changes)


def request(connection: sa.Connection, job: Job) -> Job:
    """Ask for a job of which the caller holds the row: its tries begin anew, as does its schedule."""
    upcoming = next_time(job.schedule_cron, now(connection)) if job.schedule_cron else None
    return update(
        connection,
        job.job_id,
        status="pending",
        requested_at=sa.func.clock_timestamp(),
        attempt=0,
        not_before=None,
        cancel_requested=False,
        next_run_at=upcoming,
    )


def update(connection: sa.Connection, job_id: int, **changes: object) -> Job:
    """Set columns of a job, whatever its state; the caller holds its row."""
    statement = ingestion_jobs.update().where(ingestion_jobs.c.job_id == job_id)
    statement = statement.values(**changes, updated_at=sa.func.now())
    return Job(**connection.execute(statement.returning(*COLUMNS)).mappings().one())


def _locked(connection: sa.Connection, job_id: int) -> Job | None:
    statement = sa.select(*COLUMNS).where(ingestion_jobs.c.job_id == job_id).with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    return Job(**row) if row else None


def _advice(status: str) -> str:
    return "; POST to its /retry" if status in {"failed", "cancelled"} else ""
