"""What the tests of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from des_platform.parquet import RejectedRow, RowBatch, arrow_schema, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from des_platform.parquet import ColumnType, FileFormat


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def collect(
    chunks: Iterable[bytes] | bytes,
    file_format: FileFormat,
    columns: Mapping[str, ColumnType],
    max_line_bytes: int = 1 << 24,
) -> tuple[list[dict[str, Any]], list[RejectedRow], set[str]]:
    """All rows, all rejected rows, all extra columns."""
    rows: list[dict[str, Any]] = []
    rejected: list[RejectedRow] = []
    extra: set[str] = set()
    source = [chunks] if isinstance(chunks, bytes) else chunks
    for batch in read_rows(source, file_format, columns, max_line_bytes=max_line_bytes):
        check_batch(batch, columns)
        rows += batch.rows.to_pylist()
        rejected += batch.rejected
        extra |= batch.extra_columns
    assert [row.line for row in rejected] == sorted(row.line for row in rejected)
    return rows, rejected, extra


def check_batch(batch: RowBatch, columns: Mapping[str, ColumnType]) -> None:
    assert batch.rows.schema.equals(arrow_schema(columns))
    batch.rows.validate(full=True)
    assert batch.rows.num_rows + len(batch.rejected) <= 16_384
