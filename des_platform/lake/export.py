"""A table, or some of its days, as plain Parquet files below `k=v` folders, for readers that know no Iceberg.

    OUT/_day=2024-01-01/symbol=AAA/part-00000.parquet

Files hold every column of the table as it is now, those in the path too, so each stands by itself and nothing depends
on what a reader makes of a path. Names and values are percent-encoded; a folder that would be too long is cut, and
made unique again by a digest. Memory is bounded; a failure removes what was written; nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import logging
from itertools import groupby
from typing import TYPE_CHECKING, Final, cast

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan

from des_platform.lake.buffers import Buffer
from des_platform.lake.conforming import arrow_schema
from des_platform.lake.partitioning import human_values, partition_path
from des_platform.lake.plans import PROPERTY, Plans
from des_platform.lake.staging import any_of
from des_platform.lake.types import DAY, Exported
from des_platform.parquet.writing import open_writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from pyiceberg.table import FileScanTask, Table

_LOG = logging.getLogger(__name__)
_ROW_GROUP_ROWS: Final = 128 * 1024
_ROW_GROUP_BYTES: Final = 64 << 20
_FILE_BYTES: Final = 256 << 20
_LONGEST_FOLDER: Final = 200


def export(table: Table, out: str, days: Sequence[date] | None = None) -> Iterator[Exported]:
    """Write a table's rows, partition by partition; consume it all, since the last file is finished last.

    Args:
        table: freshly loaded; one state of it is written, whoever writes to it meanwhile.
        out: URL of a folder (`file:///...`, `s3://bucket/prefix`) that the table's own storage can write to.
        days: only these; None: all.

    Yields:
        Each file when it is finished.

    Raises:
        FileExistsError: a file is there already; what this export has written is removed.
    """
    found = table.scan(row_filter=AlwaysTrue() if days is None else any_of(DAY, days)).plan_files()
    placed = [(_folder(table, task), task) for task in found]
    placed.sort(key=lambda pair: (pair[0], pair[1].file.file_path))
    written: list[str] = []
    try:
        for folder, tasks in groupby(placed, key=lambda pair: pair[0]):
            base = f"{out.rstrip('/')}/{folder}"
            yield from _partition(table, [task for _, task in tasks], base, written)
    except BaseException:
        for path in written:
            try:
                table.io.delete(path)
            except Exception:  # noqa: BLE001 - the first error is the one to report
                _LOG.warning("table %r: %s stays behind", table.name()[-1], path, exc_info=True)
        raise


def _partition(table: Table, tasks: Iterable[FileScanTask], base: str, written: list[str]) -> Iterator[Exported]:
    schema = arrow_schema(table.schema())
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    groups = _row_groups(scan.to_record_batches(tasks), schema)
    plans = Plans(table.name()[-1], table.properties.get(PROPERTY))
    rows = next(groups, None)
    number = 0
    while rows is not None:
        path = f"{base}/part-{number:05}.parquet"
        stream = cast("pa.NativeFile", table.io.new_output(path).create())
        written.append(path)
        count = 0
        with stream, open_writer(stream, schema, plans.for_rows(rows)) as writer:
            while rows is not None and stream.tell() < _FILE_BYTES:
                writer.write_table(rows, row_group_size=_ROW_GROUP_ROWS)
                count += rows.num_rows
                rows = next(groups, None)
            writer.close()
            size = stream.tell()
        yield Exported(path, count, size)
        number += 1


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    buffer = Buffer()
    for batch in batches:
        if buffer.rows and buffer.rows + batch.num_rows > _ROW_GROUP_ROWS:
            yield buffer.take(schema)
        buffer.extend(pa.Table.from_batches([batch]).cast(schema))
        if buffer.bytes >= _ROW_GROUP_BYTES:
            yield buffer.take(schema)
    if buffer.rows:
        yield buffer.take(schema)


def _folder(table: Table, task: FileScanTask) -> str:
    values = human_values(table.specs()[task.file.spec_id], task.file.partition, table.schema())
    return "/".join(_shortened(segment) for segment in partition_path(values).split("/"))


def _shortened(segment: str) -> str:
    if len(segment) <= _LONGEST_FOLDER:
        return segment
    digest = hashlib.sha256(segment.encode()).hexdigest()[:32]
    return f"{segment.partition('=')[0][: _LONGEST_FOLDER // 2]}=~{digest}"
