"""The batches of ingestion jobs, and which version of which file each table has.

A file is `writing` from before the commit that brings its rows until after it, then `done`. One that is still
`writing` when somebody else comes upon it is in doubt: its rows may be in the table or not, and whoever reads it again
replaces them. Batches are numbered through all tries of a job.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import ingested_files, ingestion_batches
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_GIVEN_UP = "its run ended before it was known whether its rows are in the table; its files are read again"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as kept.

    Attributes:
        attempt: number of the try that it belongs to.
        source_file_path: URL of its file; of several the part that all URLs begin with.
        record_count: records in its files.
        size_bytes: size of its files.
        records_processed: rows that are in the table because of it.
        records_failed: records that are not.
        output_partition_path: folder of the table that its rows went to; several with a comma between them.
        output_files: Parquet files that hold its rows.
    """

    batch_id: int
    job_id: int
    batch_number: int
    attempt: int
    status: Literal["pending", "running", "completed", "failed", "cancelled"]
    source_file_path: str | None
    source_offset: int | None
    record_count: int
    size_bytes: int
    records_processed: int
    records_failed: int
    processing_time_seconds: float | None
    error_message: str | None
    output_partition_path: str | None
    output_files: list[str]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What a table has of a file: the version, and whether that is certain."""

    etag: str
    done: bool


_COLUMNS = [ingestion_batches.c[field.name] for field in fields(Batch)]


def open_batch(connection: sa.Connection, job_id: int, attempt: int) -> Batch:
    """Begin the job's next batch."""
    newest = sa.select(sa.func.coalesce(sa.func.max(ingestion_batches.c.batch_number), 0) + 1)
    statement = ingestion_batches.insert().values(
        job_id=job_id,
        attempt=attempt,
        batch_number=newest.where(ingestion_batches.c.job_id == job_id).scalar_subquery(),
        status="running",
        started_at=sa.func.now(),
    )
    return Batch(**connection.execute(statement.returning(*_COLUMNS)).mappings().one())


def describe(connection: sa.Connection, batch_id: int, **found: Any) -> None:  # noqa: ANN401 - values of columns
    """Set columns of a batch."""
    for name in ("error_message", "source_file_path", "output_partition_path"):
        if found.get(name) is not None:
            found[name] = storable(found[name][:4000])
    statement = ingestion_batches.update().where(ingestion_batches.c.batch_id == batch_id)
    connection.execute(statement.values(**found))


def close_batch(
    connection: sa.Connection, batch_id: int, status: Literal["completed", "failed", "cancelled"], **found: object
) -> None:
    """End a batch."""
    ended = sa.func.clock_timestamp()
    seconds = sa.cast(sa.extract("epoch", ended - ingestion_batches.c.started_at), sa.Double)
    describe(connection, batch_id, status=status, completed_at=ended, processing_time_seconds=seconds, **found)


def give_up(connection: sa.Connection, job_id: int) -> None:
    """End the batches that a dead run left open."""
    left = sa.select(ingestion_batches.c.batch_id).where(
        ingestion_batches.c.job_id == job_id, ingestion_batches.c.status == "running"
    )
    for batch_id in connection.scalars(left).all():
        close_batch(connection, batch_id, "failed", error_message=_GIVEN_UP)


def page(connection: sa.Connection, job_id: int, *, limit: int, offset: int) -> tuple[Sequence[Batch], int]:
    """Some batches of a job in the order of their numbers, and how many there are in all."""
    wanted = ingestion_batches.c.job_id == job_id
    total = connection.scalar(sa.select(sa.func.count()).select_from(ingestion_batches).where(wanted)) or 0
    statement = sa.select(*_COLUMNS).where(wanted).order_by(ingestion_batches.c.batch_number)
    return [Batch(**row) for row in connection.execute(statement.limit(limit).offset(offset)).mappings()], total


def counts(connection: sa.Connection, job_id: int, since: datetime, attempt: int) -> tuple[int, int]:
    """Records processed and failed by a request's tries.

    What a batch of an earlier try failed to bring, a later try has read again, so it counts in that one alone.
    """
    columns = ingestion_batches.c
    counted = sa.or_(columns.status == "completed", columns.attempt == attempt)
    statement = sa.select(
        sa.cast(sa.func.coalesce(sa.func.sum(columns.records_processed), 0), sa.BigInteger),
        sa.cast(sa.func.coalesce(sa.func.sum(columns.records_failed), 0), sa.BigInteger),
    ).where(columns.job_id == job_id, columns.created_at >= since, counted)
    processed, failed = connection.execute(statement).one()
    return processed, failed


def lock_table(connection: sa.Connection, table_id: int) -> None:
    """Let one transaction at a time bring rows into a table; whoever comes next sees what this one commits."""
    lock = sa.func.hashtextextended(f"ingestion:{table_id}", 0)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def known_files(connection: sa.Connection, table_id: int, urls: Iterable[str]) -> dict[str, KnownFile]:
    """What a table has of some files; those that it has nothing of are left out."""
    columns = ingested_files.c
    statement = sa.select(columns.url, columns.etag, columns.state).where(
        columns.table_id == table_id, columns.url.in_(list(urls))
    )
    return {row.url: KnownFile(row.etag, row.state == "done") for row in connection.execute(statement)}


def mark_writing(connection: sa.Connection, table_id: int, batch_id: int, etags: Mapping[str, str]) -> None:
    """Mark files, URL to etag, before the commit that brings their rows; the caller holds the table's lock."""
    statement = insert(ingested_files)
    statement = statement.on_conflict_do_update(
        index_elements=["table_id", "url"],
        set_={name: statement.excluded[name] for name in ("etag", "state", "batch_id", "rows")}
        | {"updated_at": sa.func.now()},
    )
    kept = {"table_id": table_id, "batch_id": batch_id, "state": "writing", "rows": None}
    connection.execute(statement, [kept | {"url": url, "etag": etags[url]} for url in sorted(etags)])


def mark_done(connection: sa.Connection, table_id: int, batch_id: int, rows: Mapping[str, int]) -> None:
    """Mark files, URL to number of rows, after the commit that brought their rows."""
    columns = ingested_files.c
    statement = (
        ingested_files.update()
        .where(columns.table_id == table_id, columns.url == sa.bindparam("of_url"), columns.batch_id == batch_id)
        .values(state="done", rows=sa.bindparam("of_rows"), updated_at=sa.func.now())
    )
    connection.execute(statement, [{"of_url": url, "of_rows": rows[url]} for url in sorted(rows)])
