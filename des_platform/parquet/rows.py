"""One file's byte stream to typed record batches.

No bad record stops a good one: what does not become a row becomes a `RejectedRow` with its line, its text and a reason,
so rows and rejected rows together are the records of the file. The stream is never joined: memory is bounded by a
chunk, the longest line allowed and about a MiB of lines on their way to a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from des_platform.parquet.columns import ColumnType, arrow_schema
from des_platform.parquet.csv_rows import read_csv
from des_platform.parquet.jsonl_rows import read_jsonl
from des_platform.parquet.lines import MIN_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from des_platform.parquet.batches import RowBatch

FileFormat = Literal["csv", "jsonl"]

_READERS = {"csv": read_csv, "jsonl": read_jsonl}


def read_rows(
    chunks: Iterable[bytes],
    file_format: FileFormat,
    columns: Mapping[str, ColumnType],
    *,
    max_line_bytes: int = 16 * 1024 * 1024,
) -> Iterator[RowBatch]:
    """Read one file of rows.

    UTF-8 with or without a byte order mark, lines that end with LF or CRLF.

    CSV is read as `csv_records` says; the first line that is not empty is the header. Its names stand in any order,
    and match exactly. A declared column that it lacks is null throughout, an undeclared one is reported as extra. An
    empty field is null; in a string column a quoted empty field (`""`) is the empty string. Values are read as
    `text_values` says. A file without a usable header is one rejected row, at the header's line.

    JSON lines are read as `jsonl_rows` says, values as `json_values` says; a missing key is null.

    Args:
        chunks: the file's bytes, cut anywhere.
        file_format: `csv` or `jsonl`.
        columns: the declared columns, in the order of the batches.
        max_line_bytes: a longer line is rejected without being held.

    Yields:
        Batches in the order of the file, each of at most 16,384 records and not much more than 1 MiB of the file,
        unless a single line is longer. A CSV file gives at least one batch.

    Raises:
        ValueError: for a format, a column type or a limit that cannot be.
    """
    if file_format not in _READERS:
        raise ValueError(f"unknown file format {file_format!r}: choose from {', '.join(_READERS)}")
    if max_line_bytes < MIN_LINE_BYTES:
        raise ValueError(f"max_line_bytes is {max_line_bytes}, it must be {MIN_LINE_BYTES} or more")
    arrow_schema(columns)
    return _READERS[file_format](chunks, columns, max_line_bytes)
