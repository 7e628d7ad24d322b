"""The table stage: the rows of one day's files, read as they stream in, replace that day of the dataset's table.

Every record of every file ends in one of two tables: `<dataset>`, or `<dataset>_rejected` with its text, the reason,
its file and its line. Both days are replaced, never appended to, so a load may run any number of times. A file that
cannot be found or has no tabular format is one rejected row, and its neighbours go on; damaged bytes stop the load
before anything is replaced, since rows of a file that is not what was catalogued are worse than yesterday's rows.

Memory holds a few record batches; rejected rows wait in a scratch file.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from des_platform.catalog import files, partitions
from des_platform.catalog.partitions import TableLoad
from des_platform.lake.types import FILE, LINE
from des_platform.objectstore import ObjectNotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from io import IOBase
    from pathlib import Path

    import pyarrow as pa

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.files.reader import FileReader
    from des_platform.lake.tables import Lake
    from des_platform.lake.types import Replaced
    from des_platform.parquet import ColumnType, FileFormat, RejectedRow

FORMATS: dict[str, FileFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_REJECTED_COLUMNS = {"text": "string", "reason": "string"}


@dataclass(slots=True)
class LoadReport:
    """One day's load: files and bytes, records read, rows kept and rejected, columns that nobody declared."""

    files: int = 0
    bytes_read: int = 0
    records: int = 0
    rows: int = 0
    rejected: int = 0
    extra_columns: set[str] = field(default_factory=set)
    reasons: dict[str, int] = field(default_factory=dict)
    replaced: Replaced | None = None


def rejected_table(dataset: str) -> str:
    """Name of the table that keeps a dataset's rejected rows."""
    return f"{dataset}_rejected"


def load_day(
    catalog: Catalog,
    reader: FileReader,
    lake: Lake,
    dataset: Dataset,
    day: date,
    *,
    scratch: Path,
    properties: Mapping[str, str],
) -> LoadReport:
    """Replace one day of a dataset's table by the rows of its files.

    Args:
        catalog: names the files, keeps the counts.
        reader: gives their bytes.
        lake: holds the tables.
        dataset: one with a table.
        day: the day (UTC).
        scratch: folder for the rejected rows on their way.
        properties: written into the tables' snapshots, such as the run.

    Raises:
        SchemaConflict: the table has a declared column with another type.
        IntegrityError: a file's bytes are not those that were catalogued; nothing was replaced.
    """
    from des_platform.parquet import ColumnType

    declared = dataset.table.columns if dataset.table else {}
    columns = {name: ColumnType(kind) for name, kind in declared.items()}
    rejected = rejected_table(dataset.name)
    lake.ensure_table(dataset.name, columns)
    lake.ensure_table(rejected, _REJECTED_COLUMNS)
    report = LoadReport()
    with tempfile.TemporaryFile(dir=scratch) as spool:
        sink = _RejectedSink(spool, report)
        report.replaced = lake.replace_day(
            dataset.name, day, _rows(catalog, reader, dataset, day, columns, sink), properties=properties
        )
        lake.replace_day(rejected, day, sink.batches(), properties=properties)
    with catalog.begin() as connection:
        partitions.replace_load(
            connection,
            TableLoad(
                dataset.name,
                day,
                report.files,
                report.records,
                report.rows,
                report.rejected,
                report.replaced.snapshot_id,
            ),
        )
    return report


def _rows(
    catalog: Catalog,
    reader: FileReader,
    dataset: Dataset,
    day: date,
    columns: Mapping[str, ColumnType],
    sink: _RejectedSink,
) -> Iterator[pa.RecordBatch]:
    with catalog.begin() as connection:
        for batch in files.of_day(connection, dataset.name, day):
            for file in batch:
                sink.report.files += 1
                sink.report.bytes_read += file.size
                yield from _rows_of(reader, file, columns, sink)


def _rows_of(
    reader: FileReader, file: FileRow, columns: Mapping[str, ColumnType], sink: _RejectedSink
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    from des_platform.parquet import RejectedRow, read_rows

    suffix = PurePosixPath(file.key).suffix.lower()
    if suffix not in FORMATS:
        reason = f"{file.key} has no tabular format: the name ends in none of {', '.join(FORMATS)}"
        sink.add(file, [RejectedRow(1, "", reason)])
        return
    try:
        for found in read_rows(reader.stream(file), FORMATS[suffix], columns):
            sink.add(file, found.rejected)
            sink.report.extra_columns |= found.extra_columns
            sink.report.records += found.rows.num_rows
            sink.report.rows += found.rows.num_rows
            if found.rows.num_rows:
                named = found.rows.append_column(FILE, pa.repeat(file.name, found.rows.num_rows))
                yield named.append_column(LINE, found.lines)
    except (ObjectNotFound, PreconditionFailed) as error:
        sink.add(file, [RejectedRow(1, "", f"the file cannot be read: {error}")])


class _RejectedSink:
    """Rejected rows on their way from the parser to their table: an Arrow stream in a scratch file."""

    def __init__(self, spool: IOBase, report: LoadReport) -> None:
        import pyarrow as pa

        self.report = report
        self._spool = spool
        text: list[pa.Field[Any]] = [pa.field(name, pa.string()) for name in (*_REJECTED_COLUMNS, FILE)]
        self._schema = pa.schema([*text, pa.field(LINE, pa.int64())])
        self._writer = pa.ipc.new_stream(spool, self._schema)

    def add(self, file: FileRow, rows: list[RejectedRow]) -> None:
        """Keep rejected rows of one file, and count them."""
        import pyarrow as pa

        if not rows:
            return
        self.report.records += len(rows)
        self.report.rejected += len(rows)
        for row in rows:
            kind = row.reason.split(":", 1)[0][:80]
            self.report.reasons[kind] = self.report.reasons.get(kind, 0) + 1
        columns = {
            "text": [row.text for row in rows],
            "reason": [row.reason for row in rows],
            FILE: [file.name] * len(rows),
            LINE: [row.line for row in rows],
        }
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What was kept; ends the writing."""
        import pyarrow as pa

        self._writer.close()
        self._spool.seek(0)
        yield from pa.ipc.open_stream(self._spool)
