"""One try of an ingestion job: begin it, bring batch after batch, end it.

A batch that fails keeps nobody waiting: the others go on, and the job fails at the end, with true counts. So does a job
that left files out. It stops between batches when somebody cancels it. Whatever ends this process, the batches that
landed stay landed, and the next try reads what is left.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

from des_platform.catalog import data_sources, ingestion_attempts, ingestion_batches, ingestion_jobs, lake_tables
from des_platform.catalog.ingestion_jobs import JobRefused, MissingTarget
from des_platform.lake.ingestion.batches import ReadBatch
from des_platform.lake.ingestion.landing import BATCH_PROPERTY, Landed, Target, common_path, land, told
from des_platform.lake.ingestion.pinning import ensure_table
from des_platform.lake.ingestion.sources import check_location, new_files
from des_platform.lake.registry import sync_partitions
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.data_sources import DataSource
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.ingestion_attempts import Attempt
    from des_platform.catalog.ingestion_batches import Batch
    from des_platform.catalog.ingestion_jobs import Job
    from des_platform.lake.ingestion.sources import SourceFile
    from des_platform.lake.tables import Lake
    from des_platform.objectstore import Buckets
    from des_platform.settings import Settings

_LOG = logging.getLogger(__name__)
_MOST_FAILURES: Final = 3  # in a row: what is wrong is not the batch
_PROBLEMS_TOLD: Final = 20


@dataclass(slots=True)
class IngestionReport:
    """What a try did.

    Attributes:
        table: the table.
        status: of the job after it.
        error: why it failed.
        batches: batches that landed.
        files: files that came new.
        bytes_in: size of the files that were read.
        bytes_out: size of the Parquet files that were written.
        rows: rows that came new.
        rejected: records that did not become rows.
        undeclared: columns of the files that the table has not.
    """

    table: str
    status: Literal["pending", "running", "completed", "failed", "cancelled"] = "running"
    error: str | None = None
    batches: int = 0
    files: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    rows: int = 0
    rejected: int = 0
    undeclared: set[str] = field(default_factory=set)

    def add(self, landed: Landed, read: ReadBatch) -> None:
        """Count a batch that landed."""
        self.batches += 1
        self.files += landed.files
        self.bytes_in += read.bytes
        self.bytes_out += landed.bytes
        self.rows += landed.rows
        self.rejected += landed.rejected
        self.undeclared |= read.undeclared


def run_attempt(
    catalog: Catalog, buckets: Buckets, lake: Lake, settings: Settings, attempt: Attempt, *, run_id: str
) -> IngestionReport | None:
    """Do one try of a job.

    Args:
        catalog: the catalogue.
        buckets: where the source's files are.
        lake: the tables.
        settings: scratch folder and bucket.
        attempt: the try, claimed.
        run_id: the run that does it.

    Returns:
        What was done; None if the try is not to be done: cancelled, begun by another run, or replaced.

    Raises:
        Exception: what nobody expected; the try has failed then, and the job says so.
    """
    with catalog.begin() as connection:
        job = ingestion_attempts.begin(connection, attempt, run_id)
    if job is None:
        return None
    report = IngestionReport(table="")
    try:
        _Run(catalog, buckets, lake, settings, job, attempt, report).work()
    except (JobRefused, MissingTarget, ConfigurationError) as error:
        _end(catalog, job, attempt, report, str(error), retry=False)
    except Exception as error:
        _end(catalog, job, attempt, report, f"{type(error).__name__}: {error}")
        raise
    else:
        _end(catalog, job, attempt, report, report.error)
    return report


def _end(
    catalog: Catalog, job: Job, attempt: Attempt, report: IngestionReport, error: str | None, *, retry: bool = True
) -> None:
    report.error = error
    with catalog.begin() as connection:
        ended = ingestion_attempts.end(connection, attempt, error, retry=retry)
        data_sources.record_access(connection, job.data_source_id, error)
    report.status = "cancelled" if ended is None else ended.status


@dataclass(slots=True)
class _Run:
    catalog: Catalog
    buckets: Buckets
    lake: Lake
    settings: Settings
    job: Job
    attempt: Attempt
    report: IngestionReport

    def work(self) -> None:
        """Bring what the source has new; what went wrong is in the report's `error`."""
        source, table = self._targets()
        self.report.table = table.name
        check_location(source.location, self.settings)
        store = self.buckets.bucket(source.location.bucket)
        files = new_files(self.catalog, store, source, table.table_id)
        first = next(files, None)
        if first is None:
            if self.lake.exists(table.name):
                self._sync(table.name)  # a try before this one may have died between its commit and this
            return
        columns, files = ensure_table(
            self.catalog, self.lake, store, source, table, chain([first], files), scratch=self.settings.scratch
        )
        problems: list[str] = []
        failures = 0
        target = Target(table.table_id, table.name)
        while failures < _MOST_FAILURES and (first := next(files, None)) is not None:
            with self.catalog.begin() as connection:
                if not ingestion_attempts.may_go_on(connection, self.attempt):
                    return
                batch = ingestion_batches.open_batch(connection, self.job.job_id, self.attempt.number)
            landed_before = self.report.batches
            with ReadBatch(store, columns, source.data_format, self.settings.scratch) as read:
                problem = self._bring(target, batch, read, chain([first], files))
            failures = 0 if self.report.batches > landed_before else failures + 1
            if problem:
                problems.append(problem)
            if read.away:
                break
        if problems:
            self.report.error = "; ".join(problems[:_PROBLEMS_TOLD])

    def _targets(self) -> tuple[DataSource, lake_tables.LakeTable]:
        with self.catalog.begin() as connection:
            ingestion_jobs.check_target(connection, self.job.data_source_id, self.job.table_id)
            source = data_sources.get(connection, self.job.data_source_id)
            table = lake_tables.get(connection, self.job.table_id)
        if source is None or table is None:
            raise MissingTarget(f"the source or the table of job {self.job.job_id} is gone")
        return source, table

    def _bring(self, target: Target, batch: Batch, read: ReadBatch, files: Iterator[SourceFile]) -> str | None:
        """Read and land one batch; returns what went wrong."""
        properties = {
            "dagster-run-id": self.job.run_id or "",
            "des.job": str(self.attempt),
            BATCH_PROPERTY: str(batch.batch_id),
        }
        try:
            read.fill(files, self.job.batch_size)
            landed = land(self.catalog, self.lake, target, self.attempt, batch, read, properties=properties)
        except Exception as error:  # noqa: BLE001 - whatever it was, the other batches go on
            _LOG.exception("job %s: batch %s failed", self.job.job_id, batch.batch_number)
            reason = f"{type(error).__name__}: {error}"
            with self.catalog.begin() as connection:
                ingestion_batches.close_batch(
                    connection,
                    batch.batch_id,
                    "failed",
                    record_count=read.records,
                    size_bytes=read.bytes,
                    records_failed=read.records,
                    source_file_path=common_path(read.files),
                    error_message=reason,
                )
            return f"batch {batch.batch_number} failed: {reason}"
        if landed is None:
            with self.catalog.begin() as connection:
                ingestion_batches.close_batch(connection, batch.batch_id, "cancelled")
            return None
        self.report.add(landed, read)
        with self.catalog.begin() as connection:
            ingestion_attempts.record_counts(connection, self.attempt)
        self._sync(target.name)
        return told(read.left_out)

    def _sync(self, table: str) -> None:
        """Let the API know the new rows; whoever writes to the table next does it where this fails."""
        try:
            sync_partitions(self.catalog, self.lake, table)
        except Exception:  # noqa: BLE001 - the rows have landed
            _LOG.exception("table %s: the statistics of its partitions are out of date until its next change", table)
