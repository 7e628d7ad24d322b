"""JSON lines, CSV and logs as one Parquet file with typed columns, from which the original comes back byte for byte.

The container, version 1. A file is a Parquet file that any reader opens; beside the columns of the data it has

* `des:template` (INT32): number of the line's template, from 1; 0 for a line that fits none.
* `des:line` (BYTE_ARRAY): such a line as it stands, its line feed included; the other columns are null in its row.
* `des:rest:NAME` (INT64), instead of column NAME: what is left of it where it follows from others. A column that
  follows wholly is not there at all. See `des_platform.codecs.records.dense` for how it is undone.
* `des:block` (INT32), where such columns go on from row to row: the number of the row group, within which they do.

Each row is a line, in order. A line of template t is its constants with the values of its columns between them, and a
line feed; how a value is written is told by the column's kind, see `des_platform.codecs.records.values`. The file's
key-value metadata have

* `des:records`: a JSON object. `version` is 1; `format` is `json`, `csv` or `log`; `size` and `xxh3_128` (hexadecimal)
  are the original's; `head` is the original's first bytes that are no row (the header of CSV); `columns` has each
  column's `name`, `kind` and what differs from the defaults; `dense` has the columns that follow from others, in the
  order in which they are undone; `templates` has each one's `columns` and `constants`, one more than columns. In
  `head` and `constants` a character stands for a byte.
* `des:sql`: the query (DuckDB) that gives all columns, with their names and types; `{file}` stands for the file.

Between the columns and Parquet's footer is a seal, see `des_platform.codecs.records.container`.

This module needs no more than the standard library until one of its functions is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.codecs.records.errors import NotRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["NotRecords", "compress_records", "decode_records", "looks_like_records", "table_query"]


def compress_records(chunks: Iterable[bytes], *, threads: int = 1) -> Iterator[bytes]:
    """Turn a file of records into a Parquet file.

    Args:
        chunks: the file, cut anywhere; where does not change the output.
        threads: blocks that are worked on side by side; their number does not change the output.

    Yields:
        The Parquet file.

    Raises:
        NotRecords: before the first piece: the file has no records that are alike, or columns do not make it smaller.
    """
    from des_platform.codecs.records import encoding

    return encoding.compress_records(chunks, threads=threads)


def decode_records(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the original file back.

    Args:
        chunks: the Parquet file, cut anywhere. It is kept in a temporary file, as its footer is its end.

    Yields:
        Pieces of at most 1 MiB.

    Raises:
        CorruptStream: the file is damaged, cut short, or none that `compress_records` wrote.
    """
    from des_platform.codecs.records import decoding

    return decoding.decode_records(chunks)


def looks_like_records(start: bytes) -> bool:
    """Whether a file may be one of records.

    Args:
        start: its first bytes, 64 KiB or all of them.
    """
    from des_platform.codecs.records import looking

    return looking.looks_like_records(start)


def table_query(metadata: Mapping[bytes, bytes], file: str) -> str:
    """The SQL, in DuckDB's dialect, that gives the whole table of a file, columns that follow from others among them.

    Args:
        metadata: the Parquet file's key-value metadata.
        file: its path, or whatever `read_parquet` reads.

    Raises:
        KeyError: the file is none of records.
    """
    from des_platform.codecs.records import sql

    return sql.table_query(metadata, file)
