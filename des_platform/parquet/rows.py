"""One file to typed record batches.

No bad record stops a good one: what does not become a row becomes a `RejectedRow` with its place, its text and a
reason, so rows and rejected rows together are the records of the file. A file that turns out to be damaged ends with a
rejected row that says at which record; the rows before it stand. Nothing is cast in silence: a value that its column
cannot hold exactly is a misfit, and so is one of another type.

Memory is bounded: by a chunk, the longest line allowed and about a MiB of lines on their way to a batch; of typed
formats by some ten thousand rows, of which sizes that a file claims and does not have are no part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from des_platform.parquet.arrow_rows import read_arrow
from des_platform.parquet.avro_rows import read_avro
from des_platform.parquet.batches import Misfits, Target
from des_platform.parquet.csv_rows import read_csv
from des_platform.parquet.dbn_rows import read_dbn
from des_platform.parquet.json_rows import read_json
from des_platform.parquet.jsonl_rows import read_jsonl
from des_platform.parquet.lines import MIN_LINE_BYTES
from des_platform.parquet.parquet_rows import read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from des_platform.parquet.batches import RowBatch

FileFormat = Literal["csv", "json", "jsonl", "parquet", "arrow", "avro", "dbn"]

TEXT_FORMATS = {"csv": read_csv, "json": read_json, "jsonl": read_jsonl}
"""Read as their bytes come."""

TYPED_FORMATS: dict[str, Callable[[BinaryIO, Target], Iterator[RowBatch]]] = {
    "parquet": read_parquet,
    "arrow": read_arrow,
    "avro": read_avro,
    "dbn": read_dbn,
}
"""Read from a file that is there as a whole."""


def read_rows(
    source: Iterable[bytes] | BinaryIO,
    file_format: FileFormat,
    columns: Mapping[str, str],
    *,
    misfits: Misfits = "reject",
    max_line_bytes: int = 16 * 1024 * 1024,
) -> Iterator[RowBatch]:
    """Read one file of rows.

    The file's names stand in any order; `names` says which column each stands for. A declared column that the file
    lacks is null throughout, an undeclared one is reported as extra.

    Text is UTF-8 with or without a byte order mark, lines end with LF or CRLF.

    CSV is read as `csv_records` says; the first line that is not empty is the header. An empty field is null; in a
    string column a quoted empty field (`""`) is the empty string. Values are read as `text_values` says. A file without
    a usable header is one rejected row, at the header's line.

    JSON lines are read as `jsonl_rows` says, JSON documents as `json_rows`, values as `json_values` says; a missing key
    is null.

    Parquet, Arrow (files, streams, Feather), Avro and DBN are read as `parquet_rows`, `arrow_rows`, `avro_rows` and
    `dbn_rows` say, values as `arrow_values` says.

    Args:
        source: of text the bytes, cut anywhere; whoever hands them over may raise `BrokenStream`. Of the others a file
            at its beginning, that can be sought in.
        file_format: of the file.
        columns: the declared columns, name to type, in the order of the batches.
        misfits: `reject` a record with a value that its column cannot hold, or `rescue` it: it keeps its place with
            null there, and a last column `_rescued` has a JSON object of each such value as it stood, and of the values
            of columns that nobody declared.
        max_line_bytes: a longer line, or a longer element of a JSON document, is rejected without being held.

    Yields:
        Batches in the order of the file, each of at most 16,384 records; of text not much more than 1 MiB of the file,
        unless a single line is longer. A CSV file gives at least one batch.

    Raises:
        ValueError: for a format, a column type or a limit that cannot be.
        ImportError: as it is iterated: for DBN without the package that reads it.
    """
    if file_format not in (*TEXT_FORMATS, *TYPED_FORMATS):
        raise ValueError(
            f"unknown file format {file_format!r}: choose from {', '.join([*TEXT_FORMATS, *TYPED_FORMATS])}"
        )
    if max_line_bytes < MIN_LINE_BYTES:
        raise ValueError(f"max_line_bytes is {max_line_bytes}, it must be {MIN_LINE_BYTES} or more")
    target = Target.of(columns, misfits)
    if file_format in TYPED_FORMATS:
        return TYPED_FORMATS[file_format](cast("BinaryIO", source), target)
    return TEXT_FORMATS[file_format](source, target, max_line_bytes)
