"""Tabular files: reading and checking rows, typed columns.

`rows.read_rows` turns one CSV or JSON-lines byte stream into typed record batches and rejected rows. Below it: `lines`
(blocks of lines), `csv_records` and `csv_rows`, `jsonl_rows`, `text_values` and `json_values` (what a value of each
type looks like), `columns` (the types) and `batches` (what comes out). Nothing here does input or output.
"""

from __future__ import annotations

from des_platform.parquet.batches import RejectedRow, RowBatch
from des_platform.parquet.columns import ColumnType, arrow_schema
from des_platform.parquet.rows import FileFormat, read_rows

__all__ = ["ColumnType", "FileFormat", "RejectedRow", "RowBatch", "arrow_schema", "read_rows"]
