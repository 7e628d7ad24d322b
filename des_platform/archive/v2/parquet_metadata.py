"""Parquet's `FileMetaData`, as far as a catalogue needs it: columns, row groups, where their bytes are, smallest names.

pyarrow's own objects for this end the process where metadata contradict themselves (Arrow 26: a C++ exception that
nobody catches), so metadata are checked here before pyarrow sees them. Each row group is checked before the next one is
looked at; whatever is wrong is a `CorruptArchive` that says what.
"""

from __future__ import annotations

from typing import NamedTuple

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.v2.compact_protocol import BINARY, I32, I64, LIST, STRUCT, CompactReader

END_BYTES = 8
"""The length of the metadata, and the magic."""

INT32 = 1
INT64 = 2
BYTE_ARRAY = 6
REQUIRED = 0
OPTIONAL = 1


class Column(NamedTuple):
    """A column of the file.

    Attributes:
        name: its name.
        physical: Parquet's number of its type.
        repetition: whether its values may be missing, or several.
    """

    name: str
    physical: int
    repetition: int


class Chunk(NamedTuple):
    """A column of one row group.

    Attributes:
        start: offset of its first byte.
        end: offset behind its last byte.
        unpacked: how many bytes it says that it has, decompressed.
        least: its smallest value; None if it does not say.
        most: its largest value; None if it does not say.
    """

    start: int
    end: int
    unpacked: int
    least: bytes | None
    most: bytes | None


class RowGroup(NamedTuple):
    """Some rows of the file.

    Attributes:
        rows: how many.
        chunks: in the order of the file's columns.
    """

    rows: int
    chunks: tuple[Chunk, ...]


class ParquetMetadata(NamedTuple):
    """What a Parquet file says of itself.

    Attributes:
        columns: all, none within another.
        rows: how many.
        row_groups: in their order.
    """

    columns: tuple[Column, ...]
    rows: int
    row_groups: tuple[RowGroup, ...]


def parse_parquet_metadata(end: bytes) -> ParquetMetadata:
    """Take the metadata apart.

    Args:
        end: the last bytes of a Parquet file, all of the metadata among them.

    Raises:
        CorruptArchive: they are cut, or contradict themselves.
    """
    length = int.from_bytes(end[-END_BYTES:-4], "little")
    if length + END_BYTES > len(end):
        raise CorruptArchive(f"says that its metadata have {length} bytes, of {len(end) - END_BYTES} that could be")
    reader = CompactReader(end[-END_BYTES - length : -END_BYTES])
    columns: tuple[Column, ...] = ()
    rows = -1
    row_groups: list[RowGroup] = []
    for field, kind in reader.fields():
        if (field, kind) == (2, LIST):
            columns = _columns(reader)
        elif (field, kind) == (3, I64):
            rows = reader.integer()
        elif (field, kind) == (4, LIST):
            row_groups = [_row_group(reader, columns) for _ in reader.items(STRUCT)]
        else:
            reader.skip(kind)
    if rows != sum(row_group.rows for row_group in row_groups):
        raise CorruptArchive(f"says that it has {rows} rows, and its row groups have another number")
    return ParquetMetadata(columns, rows, tuple(row_groups))


def _columns(reader: CompactReader) -> tuple[Column, ...]:
    columns: list[Column] = []
    children = -1
    for number in reader.items(STRUCT):
        name, values = b"", {1: -1, 3: -1, 5: 0}
        for field, kind in reader.fields():
            if (field, kind) in {(1, I32), (3, I32), (5, I32)}:
                values[field] = reader.integer()
            elif (field, kind) == (4, BINARY):
                name = reader.binary()
            else:
                reader.skip(kind)
        if number == 0:
            children = values[5]
        elif values[5]:
            raise CorruptArchive(f"has a column {name!r} with columns within")
        else:
            columns.append(Column(name.decode(), values[1], values[3]))
    if children != len(columns) or len({column.name for column in columns}) < children:
        raise CorruptArchive(f"has {len(columns)} columns and says that it has {children}, or one of them twice")
    return tuple(columns)


def _row_group(reader: CompactReader, columns: tuple[Column, ...]) -> RowGroup:
    chunks: list[Chunk] = []
    counts: list[int] = []
    rows = -1
    for field, kind in reader.fields():
        if (field, kind) == (1, LIST):
            for number in reader.items(STRUCT):
                if number >= len(columns):
                    raise CorruptArchive(f"has a row group with more than {len(columns)} columns")
                chunk, count = _chunk(reader, columns[number])
                chunks.append(chunk)
                counts.append(count)
        elif (field, kind) == (3, I64):
            rows = reader.integer()
        else:
            reader.skip(kind)
    if rows < 0 or len(chunks) != len(columns) or any(count != rows for count in counts):
        raise CorruptArchive(f"has a row group of {rows} rows whose {len(chunks)} columns have {counts} values")
    return RowGroup(rows, tuple(chunks))


def _chunk(reader: CompactReader, column: Column) -> tuple[Chunk, int]:
    found: tuple[Chunk, int] | None = None
    for field, kind in reader.fields():
        if (field, kind) == (3, STRUCT):
            found = _column_metadata(reader, column)
        elif field == 1:
            raise CorruptArchive(f"has a column {column.name!r} that is in another file")
        else:
            reader.skip(kind)
    if found is None:
        raise CorruptArchive(f"has a column {column.name!r} of which nothing is said")
    return found


def _column_metadata(reader: CompactReader, column: Column) -> tuple[Chunk, int]:
    values = {1: -1, 5: -1, 6: -1, 7: -1, 9: -1, 11: 0}
    path: list[bytes] = []
    least = most = None
    for field, kind in reader.fields():
        if field in values and kind == (I32 if field == 1 else I64):
            values[field] = reader.integer()
        elif (field, kind) == (3, LIST):
            path = [reader.binary() for _ in reader.items(BINARY)]
        elif (field, kind) == (12, STRUCT):
            least, most = _statistics(reader)
        else:
            reader.skip(kind)
    if values[1] != column.physical or path != [column.name.encode()]:
        raise CorruptArchive(f"has a column {column.name!r} that is {path} of the type {values[1]} in a row group")
    start = min(values[9], values[11]) if values[11] else values[9]
    return Chunk(start, start + values[7], values[6], least, most), values[5]


def _statistics(reader: CompactReader) -> tuple[bytes | None, bytes | None]:
    found: dict[int, bytes] = {}
    for field, kind in reader.fields():
        if kind == BINARY and field in {5, 6}:
            found[field] = reader.binary()
        else:
            reader.skip(kind)
    return (found[6], found[5]) if len(found) == 2 else (None, None)  # noqa: PLR2004 - both or none
