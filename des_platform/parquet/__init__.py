"""Tabular files: reading and checking rows, typed columns.

`rows.read_rows` turns one file into typed record batches and rejected rows. Below it is a module for each format:
`csv_rows` (with `csv_records`), `jsonl_rows`, `json_rows` (both with `json_objects`), `parquet_rows`, `arrow_rows`,
`avro_rows`, `dbn_rows` (all four with `typed_rows`); `text_values`, `json_values` and `arrow_values` say what a value
of each type looks like, `columns` the types, `names` which column a file's name stands for, `batches` what comes out.
`inference` finds the columns of a file. Nothing here does input or output.
"""

from __future__ import annotations

from des_platform.parquet.batches import Misfits, RejectedRow, RowBatch, rejected_file
from des_platform.parquet.columns import RESCUED, arrow_schema, arrow_type, type_of
from des_platform.parquet.inference import NoColumns, infer_columns, merge_columns
from des_platform.parquet.lines import BrokenStream
from des_platform.parquet.rows import FileFormat, read_rows

__all__ = [
    "RESCUED",
    "BrokenStream",
    "FileFormat",
    "Misfits",
    "NoColumns",
    "RejectedRow",
    "RowBatch",
    "arrow_schema",
    "arrow_type",
    "infer_columns",
    "merge_columns",
    "read_rows",
    "rejected_file",
    "type_of",
]
