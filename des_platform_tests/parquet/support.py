"""What the tests of this room share."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from des_platform.parquet import RejectedRow, RowBatch, arrow_schema, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from des_platform.parquet import FileFormat, Misfits


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def collect(
    chunks: Iterable[bytes] | bytes,
    file_format: FileFormat,
    columns: Mapping[str, str],
    max_line_bytes: int = 1 << 24,
    misfits: Misfits = "reject",
) -> tuple[list[dict[str, Any]], list[RejectedRow], set[str]]:
    """All rows, all rejected rows, all extra columns."""
    rows: list[dict[str, Any]] = []
    rejected: list[RejectedRow] = []
    extra: set[str] = set()
    source: Any = [chunks] if isinstance(chunks, bytes) else chunks
    if file_format in ("parquet", "arrow", "avro", "dbn"):
        source = io.BytesIO(b"".join(source))
    for batch in read_rows(source, file_format, columns, misfits=misfits, max_line_bytes=max_line_bytes):
        check_batch(batch, columns, misfits)
        rows += batch.rows.to_pylist()
        rejected += batch.rejected
        extra |= batch.extra_columns
    assert [row.line for row in rejected] == sorted(row.line for row in rejected)
    return rows, rejected, extra


def check_batch(batch: RowBatch, columns: Mapping[str, str], misfits: Misfits = "reject") -> None:
    assert batch.rows.schema.equals(arrow_schema(columns, rescue=misfits == "rescue"))
    batch.rows.validate(full=True)
    assert len(batch.lines) == batch.rows.num_rows
    assert batch.rows.num_rows + len(batch.rejected) <= 16_384


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def arrow_bytes(table: pa.Table, *, as_file: bool = True, compression: Any = None, rows: int | None = None) -> bytes:
    sink = io.BytesIO()
    new = pa.ipc.new_file if as_file else pa.ipc.new_stream
    with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, rows)
    return sink.getvalue()
