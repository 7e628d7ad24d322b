"""Ingestion jobs: asked for here, run by Dagster.

No request runs anything: it changes the job's state, and the platform's sensor turns what was asked for into runs. So a
restart of this server stops no job, and two servers start none twice.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it at run time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from des_platform.catalog import ingestion_batches, ingestion_jobs
from des_platform.catalog.ingestion_jobs import JobDefinition, JobRefused, JobStatus, MissingTarget
from des_platform.services.lake_api.context import ContextOf  # noqa: TC001 - FastAPI reads it at run time
from des_platform.services.lake_api.keys import READ, WRITE, needs
from des_platform.services.lake_api.models import Answer, Body, Id, PathId
from des_platform.services.lake_api.pages import PAGED, PageOf
from des_platform.services.lake_api.problems import ALWAYS, Problem, documented

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from des_platform.catalog.ingestion_jobs import Job
    from des_platform.services.lake_api.context import Context

router = APIRouter(prefix="/api/v1/ingestion/jobs", tags=["jobs"], dependencies=[needs(READ)], responses=ALWAYS)


class JobCreate(Body, JobDefinition):
    """A job to be recorded."""


class JobResponse(Answer):
    """A job."""

    id: Annotated[Id, Field(validation_alias="job_id")]
    job_name: str
    data_source_id: int
    table_id: int
    status: JobStatus
    priority: int
    batch_size: int
    is_scheduled: bool
    schedule_cron: str | None
    records_processed: int
    records_failed: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    next_run_at: Annotated[datetime | None, Field(description="When its schedule comes true next.")]
    cancel_requested: Annotated[bool, Field(description="It stops behind the batch that it is at.")]
    attempt: Annotated[int, Field(description="Number of the try that is, or was, the last one.")]
    run_id: Annotated[str | None, Field(description="The Dagster run of that try.")]


class BatchResponse(Answer):
    """A batch of a job."""

    id: Annotated[Id, Field(validation_alias="batch_id")]
    job_id: int
    batch_number: int
    status: JobStatus
    record_count: int
    records_processed: int
    records_failed: int
    processing_time_seconds: float | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    source_file_path: Annotated[str | None, Field(description="Its file; of several what their URLs begin with.")]
    size_bytes: Annotated[int, Field(description="Size of its files.")]
    output_partition_path: Annotated[str | None, Field(description="The partitions that its rows went to.")]
    output_files: Annotated[list[str], Field(description="The Parquet files that hold its rows.")]


@router.post("", responses=documented(400, 404), dependencies=[needs(WRITE)])
def create_job(context: ContextOf, body: JobCreate) -> JobResponse:
    """Record a job; 404 if its source or table does not exist, 400 if no job can do it."""
    with context.catalog.begin() as connection:
        try:
            made = ingestion_jobs.create(connection, JobDefinition.model_validate(body.model_dump()))
        except MissingTarget as error:
            raise Problem(404, str(error)) from None
        except JobRefused as error:
            raise Problem(400, str(error)) from None
    return JobResponse.of(made)


@router.get("", responses=PAGED)
def list_jobs(
    context: ContextOf,
    page: PageOf,
    status: Annotated[JobStatus | None, Query()] = None,
    table_id: Annotated[Id | None, Query()] = None,
) -> list[JobResponse]:
    """List the jobs, the newest first."""
    with context.catalog.begin() as connection:
        found, total = ingestion_jobs.page(
            connection, status=status, table_id=table_id, limit=page.limit, offset=page.offset
        )
    return page.of([JobResponse.of(job) for job in found], total)


@router.get("/{job_id}", responses=documented(404))
def get_job(context: ContextOf, job_id: PathId) -> JobResponse:
    """Return a job."""
    with context.catalog.begin() as connection:
        return JobResponse.of(_existing(job_id, ingestion_jobs.get(connection, job_id)))


@router.get("/{job_id}/batches", responses=PAGED | documented(404))
def list_batches(context: ContextOf, job_id: PathId, page: PageOf) -> list[BatchResponse]:
    """List the batches of a job in their order, through all of its tries."""
    with context.catalog.begin() as connection:
        _existing(job_id, ingestion_jobs.get(connection, job_id))
        found, total = ingestion_batches.page(connection, job_id, limit=page.limit, offset=page.offset)
    return page.of([BatchResponse.of(batch) for batch in found], total)


@router.post("/{job_id}/start", responses=documented(400, 404), dependencies=[needs(WRITE)])
def start_job(context: ContextOf, job_id: PathId) -> JobResponse:
    """Ask for a pending job; 400 if it is not pending, or was asked for already."""
    return _changed(context, job_id, ingestion_jobs.start)


@router.post("/{job_id}/cancel", responses=documented(400, 404), dependencies=[needs(WRITE)])
def cancel_job(context: ContextOf, job_id: PathId) -> JobResponse:
    """Cancel a pending job at once, and let a running one stop behind its batch; 400 if it is over."""
    return _changed(context, job_id, ingestion_jobs.cancel)


@router.post("/{job_id}/retry", responses=documented(400, 404), dependencies=[needs(WRITE)])
def retry_job(context: ContextOf, job_id: PathId) -> JobResponse:
    """Ask again for a job that failed or was cancelled; what it brought before is not brought twice."""
    return _changed(context, job_id, ingestion_jobs.retry)


def _changed(context: Context, job_id: int, change: Callable[[sa.Connection, int], Job | None]) -> JobResponse:
    with context.catalog.begin() as connection:
        try:
            return JobResponse.of(_existing(job_id, change(connection, job_id)))
        except (JobRefused, MissingTarget) as error:
            raise Problem(400, str(error)) from None


def _existing(job_id: int, job: Job | None) -> Job:
    if job is None:
        raise Problem(404, f"there is no ingestion job {job_id}; GET /api/v1/ingestion/jobs lists them")
    return job
