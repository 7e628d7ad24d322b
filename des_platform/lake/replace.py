"""Days replaced, and rows appended: new files registered and old ones dropped in one commit of the catalogue.

Atomic: the transaction stages a delete of the old files and an append of the new ones, and the catalogue's row moves
from the old metadata file to the new one in one compare-and-swap. A reader of the table sees the old days or the new
ones. The table's history keeps the step between the two as a snapshot of its own (pyiceberg has one snapshot per
operation; its single-snapshot overwrite never lets go of the manifests of dropped files, so metadata would grow with
every replacement): time travel to exactly that snapshot shows the days empty.

Idempotent: the same batches give the same rows, however often. Concurrent: writers of other days are retried inside
pyiceberg; of two writers of one day the second finds its plan outdated, and its commit, not its writing, is planned
again on fresh metadata, so the last one wins whole. Old data files stay in the bucket; forgotten snapshots leave the
metadata only.

Why files are written here and then registered: pyiceberg 0.12 refuses to stream batches into a partitioned table.
"""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from des_platform.lake.commit import commit
from des_platform.lake.files import PartitionFiles
from des_platform.lake.removing import KeptRows
from des_platform.lake.staging import stage_drop_of_days, stage_files
from des_platform.lake.types import EPOCH, Replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction

DAYS_PROPERTY: Final = "des.days"
"""Property of a snapshot that names the days it is about, such as `2024-01-01..2024-01-30,2024-03-01`."""


def replace_days(
    table: Table,
    days: Iterable[tuple[date, Iterable[pa.RecordBatch]]],
    *,
    properties: Mapping[str, str],
    tolerance: Mapping[str, float] | None = None,
) -> dict[date, Replaced]:
    """Make the batches the rows of their days, all or none of them.

    Args:
        table: a table of the lake, freshly loaded.
        days: each day with its rows: declared and lineage columns; consumed once, also when there are rivals.
        properties: written into the snapshot's summary and every file.
        tolerance: column of doubles to the largest relative error that its values may take.

    Raises:
        SchemaConflict: a batch does not fit the table.
        ValueError: a day comes twice.
        TableChanged: it was given another partitioning meanwhile, or columns that do not suit the files.
        CommitUnknown, pyiceberg.exceptions.CommitFailedException, ValidationException: see `commit`.
    """
    started = time.monotonic()
    files = PartitionFiles(table, properties=properties, tolerance=tolerance)
    written: list[date] = []
    try:
        for day, batches in days:
            if day in written:
                message = f"table {table.name()[-1]!r}: day {day} comes twice; give all its rows at once"
                raise ValueError(message)  # noqa: TRY301 - as any error on the way
            files.write(batches, day)
            written.append(day)
    except BaseException:
        files.discard()
        raise
    told = {**properties, DAYS_PROPERTY: day_ranges(written)}

    def stage(transaction: Transaction) -> None:
        stage_drop_of_days(transaction, written, told)
        stage_files(transaction, [files], told)

    committed = commit(table, stage, undo=files.discard)
    return {day: _result(files.of_day(day), committed, started) for day in written}


def append(
    table: Table,
    batches: Iterable[pa.RecordBatch],
    *,
    replacing_files: Sequence[str],
    properties: Mapping[str, str],
    tolerance: Mapping[str, float] | None = None,
) -> Replaced:
    """Add rows to whatever days they are of, in place of all rows that came from the same files before.

    Args:
        table: a table of the lake, freshly loaded.
        batches: rows with `_day` and, for a later replacement, `_file`.
        replacing_files: values of `_file` whose rows are dropped; looking for them takes a look at every manifest.
        properties: written into the snapshot's summary and every file.
        tolerance: column of doubles to the largest relative error that its values may take.

    Raises:
        SchemaConflict: a batch does not fit the table, or has rows without a day.
        TableChanged: it was given another partitioning meanwhile, or columns that do not suit the files.
        CommitUnknown, pyiceberg.exceptions.CommitFailedException, ValidationException: see `commit`.
    """
    started = time.monotonic()
    files = PartitionFiles(table, properties=properties, tolerance=tolerance)
    kept = KeptRows(replacing_files)

    def undo() -> None:
        files.discard()
        kept.discard()

    files.write(batches)
    told = {**properties, DAYS_PROPERTY: day_ranges(EPOCH + timedelta(days=file.partition[0]) for file in files.files)}

    def stage(transaction: Transaction) -> None:
        rest = kept.stage_drop(transaction, told) if replacing_files else []
        stage_files(transaction, [files, *rest], told)

    return _result(files.files, commit(table, stage, undo=undo), started)


def day_ranges(days: Iterable[date]) -> str:
    """Write days in order, runs of them as `FIRST..LAST`."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = found[-1][0], day
        else:
            found.append((day, day))
    return ",".join(f"{first}" if first == last else f"{first}..{last}" for first, last in found)


def _result(files: Sequence[DataFile], committed: Table, started: float) -> Replaced:
    snapshot = committed.current_snapshot()
    return Replaced(
        rows=sum(file.record_count for file in files),
        files=len(files),
        bytes=sum(file.file_size_in_bytes for file in files),
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        seconds=time.monotonic() - started,
    )
