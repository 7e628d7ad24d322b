"""The table stage: the rows of some days' files, read as they stream in, replace these days of the dataset's table.

Every record of every file ends in one of two tables: `<dataset>`, or `<dataset>_rejected` with its text, the reason,
its file and its line. Days of both are replaced, never appended to, so a load may run any number of times. A file that
cannot be found or has no tabular format is one rejected row, and its neighbours go on; damaged bytes stop the load
before anything is replaced, since rows of a file that is not what was catalogued are worse than yesterday's rows.

The table follows its definition before anything is written (`declaring`), and all days that are handed over stand in
one commit. Memory holds a few record batches; rejected rows wait in scratch files.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.catalog import files, partitions
from des_platform.catalog.partitions import TableLoad
from des_platform.lake.declaring import ensure_declared
from des_platform.lake.registry import sync_partitions
from des_platform.lake.rejected import RejectedRows, ensure_rejected_table, rejected_table
from des_platform.lake.types import FILE, LINE, RESCUED
from des_platform.objectstore import ObjectNotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    import pyarrow as pa

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.catalog.table_spec import TableSpec
    from des_platform.files.reader import FileReader
    from des_platform.lake.tables import Lake
    from des_platform.lake.types import Replaced
    from des_platform.parquet import RowBatch


@dataclass(slots=True)
class LoadReport:
    """One day's load.

    Attributes:
        files: files of the day.
        bytes_read: bytes of their originals.
        records: records read.
        rows: records that became rows.
        rescued: rows of which a value is kept in `_rescued`.
        rejected: records that became rejected rows.
        extra_columns: columns of the files that the table has not.
        reasons: rejected rows by the kind of their reason.
        replaced: what the commit made of the day; None where the dataset has no table yet.
    """

    files: int = 0
    bytes_read: int = 0
    records: int = 0
    rows: int = 0
    rescued: int = 0
    rejected: int = 0
    extra_columns: set[str] = field(default_factory=set)
    reasons: dict[str, int] = field(default_factory=dict)
    replaced: Replaced | None = None


def load_days(
    catalog: Catalog,
    reader: FileReader,
    lake: Lake,
    dataset: Dataset,
    days: Sequence[date],
    *,
    scratch: Path,
    properties: Mapping[str, str],
) -> dict[date, LoadReport]:
    """Replace some days of a dataset's table by the rows of their files, in one commit.

    Args:
        catalog: names the files, keeps the counts.
        reader: gives their bytes.
        lake: holds the tables.
        dataset: one with a table.
        days: the days (UTC), each once.
        scratch: folder for the rejected rows on their way.
        properties: written into the tables' snapshots and files, such as the run.

    Returns:
        Day to what its load was.

    Raises:
        SchemaConflict: the table cannot become what the definition says; nothing was changed.
        IntegrityError: a file's bytes are not those that were catalogued; nothing was replaced.
    """
    spec = ensure_declared(catalog, reader, lake, dataset, days, scratch=scratch)
    ensure_rejected_table(lake, dataset.name)
    with ExitStack() as open_files:
        loading = [
            _Day(day, RejectedRows(open_files.enter_context(tempfile.TemporaryFile(dir=scratch)))) for day in days
        ]
        replaced: dict[date, Replaced] = {}
        if spec is None:
            for one in loading:
                one.reject_all(catalog, dataset)
        else:
            rows = ((one.day, one.rows(catalog, reader, dataset, spec, scratch)) for one in loading)
            replaced = lake.replace_days(dataset.name, rows, properties=properties, tolerance=spec.tolerance)
        rejected = ((one.day, one.rejected.batches()) for one in loading)
        lake.replace_days(rejected_table(dataset.name), rejected, properties=properties)
    reports = {}
    for one in loading:
        one.report.replaced = replaced.get(one.day)
        one.report.rejected, one.report.reasons = one.rejected.count, one.rejected.reasons
        one.report.records = one.report.rows + one.report.rejected
        reports[one.day] = one.report
    _record(catalog, lake, dataset, spec, reports)
    return reports


def _record(
    catalog: Catalog, lake: Lake, dataset: Dataset, spec: TableSpec | None, reports: Mapping[date, LoadReport]
) -> None:
    with catalog.begin() as connection:
        for day, report in reports.items():
            partitions.replace_load(
                connection,
                TableLoad(
                    dataset.name,
                    day,
                    report.files,
                    report.records,
                    report.rows,
                    report.rejected,
                    report.replaced.snapshot_id if report.replaced else None,
                    sorted(report.extra_columns),
                ),
            )
    if spec is not None:
        sync_partitions(catalog, lake, dataset.name)


class _Day:
    """One day on its way into the table."""

    def __init__(self, day: date, rejected: RejectedRows) -> None:
        self.day = day
        self.rejected = rejected
        self.report = LoadReport()

    def rows(
        self, catalog: Catalog, reader: FileReader, dataset: Dataset, spec: TableSpec, scratch: Path
    ) -> Iterator[pa.RecordBatch]:
        """The rows of the day's files, with their lineage; what is none goes to the rejected ones."""
        for file in self._files(catalog, dataset):
            yield from self._rows_of(reader, file, spec, scratch)

    def reject_all(self, catalog: Catalog, dataset: Dataset) -> None:
        """Reject every file of the day, as there are no columns that it could fill."""
        from des_platform.parquet import RejectedRow

        reason = "the table has no columns yet: none is declared, and no file tells any"
        for file in self._files(catalog, dataset):
            self.rejected.add(file.name, [RejectedRow(1, "", reason)])

    def _files(self, catalog: Catalog, dataset: Dataset) -> Iterator[FileRow]:
        with catalog.begin() as connection:
            for batch in files.of_day(connection, dataset.name, self.day):
                for file in batch:
                    self.report.files += 1
                    self.report.bytes_read += file.size
                    yield file

    def _rows_of(self, reader: FileReader, file: FileRow, spec: TableSpec, scratch: Path) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        from des_platform.lake.reading import read_file
        from des_platform.parquet import RejectedRow

        former = {old: spec.columns[new] for new, old in spec.renames.items()}
        try:
            for found in read_file(
                file.key, reader.stream(file), former | spec.columns, scratch=scratch, misfits=spec.misfits
            ):
                self._count(file, found, spec)
                if found.rows.num_rows:
                    rows = _under_new_names(found.rows, spec)
                    rows = rows.append_column(FILE, pa.repeat(file.name, rows.num_rows))
                    yield rows.append_column(LINE, found.lines)
        except (ObjectNotFound, PreconditionFailed) as error:
            self.rejected.add(file.name, [RejectedRow(1, "", f"the file cannot be read: {error}")])

    def _count(self, file: FileRow, found: RowBatch, spec: TableSpec) -> None:
        self.rejected.add(file.name, found.rejected)
        self.report.extra_columns |= found.extra_columns.difference(spec.drops)
        self.report.rows += found.rows.num_rows
        if spec.misfits == "rescue":
            self.report.rescued += found.rows.num_rows - found.rows.column(RESCUED).null_count


def _under_new_names(rows: pa.RecordBatch, spec: TableSpec) -> pa.RecordBatch:
    """Files from before a renaming bring the column under its former name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {name: rows.column(name) for name in rows.schema.names}
    for new, old in spec.renames.items():
        if old not in spec.columns:
            columns[new] = pc.coalesce(columns[new], columns.pop(old))
    return pa.RecordBatch.from_pydict(columns)
