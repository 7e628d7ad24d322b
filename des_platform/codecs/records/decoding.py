"""Columns to lines: a Parquet file in, the original file out, row group by row group."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

import xxhash

from des_platform.codecs.decoders import PIECE_BYTES, slices
from des_platform.codecs.errors import CorruptStream
from des_platform.codecs.records.arrow import bytes_of, constant, join, numbers_of, numbers_to_arrow, valid_of
from des_platform.codecs.records.container import spool
from des_platform.codecs.records.dense import PREFIX, Dense, Numbers, look_up, undo
from des_platform.codecs.records.encoding import LINE, METADATA_KEY, VERSION
from des_platform.codecs.records.lines import BLOCK_BYTES, MAX_GROUP_BYTES
from des_platform.codecs.records.numbers import MAX_DIGITS
from des_platform.codecs.records.sql import TEMPLATE
from des_platform.codecs.records.times import LAYOUTS
from des_platform.codecs.records.values import Column, arrow_type, write_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    import pyarrow.parquet as pq

_MAX_NULL_CHARS: Final = 8
_MESSAGE_CHARS: Final = 300


def decode_records(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the original file back.

    Args:
        chunks: the Parquet file, cut anywhere. It is kept in a temporary file, as its footer is its end.

    Yields:
        Pieces of at most 1 MiB.

    Raises:
        CorruptStream: the file is damaged, cut short, or none that `compress_records` wrote.
    """
    import pyarrow as pa

    with spool(chunks) as file:
        try:
            yield from _checked(*_open(file))
        except CorruptStream:
            raise
        except (
            pa.ArrowException,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not the file's
            # What the file says stands in some of these texts.
            reason = ascii(str(error))[:_MESSAGE_CHARS]
            raise CorruptStream(f"records: the file contradicts itself: {reason}") from error


def _open(file: IO[bytes]) -> tuple[pq.ParquetFile, dict[str, Any]]:
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file, pre_buffer=False)
    metadata = json.loads((parquet.metadata.metadata or {})[METADATA_KEY])
    if metadata["version"] != VERSION:
        shown = ascii(metadata["version"])[:_MESSAGE_CHARS]
        raise CorruptStream(f"records: version {shown}, and this reads {VERSION}: update the platform")
    if not isinstance(metadata["size"], int):
        raise TypeError("the size of the original is no number")
    for number in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(number)
        if group.num_rows > BLOCK_BYTES or group.total_byte_size > MAX_GROUP_BYTES:
            raise CorruptStream(f"records: {group.num_rows} rows of {group.total_byte_size} bytes are no block")
    return parquet, metadata


def _checked(parquet: pq.ParquetFile, metadata: dict[str, Any]) -> Iterator[bytes]:
    """The original, its size and checksum compared with what the metadata say when it ends."""
    digest, size = xxhash.xxh3_128(), 0
    for piece in slices(_pieces(parquet, metadata), PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
        if size > metadata["size"]:
            break
        yield bytes(piece)
    if (size, digest.hexdigest()) != (metadata["size"], metadata["xxh3_128"]):
        raise CorruptStream(
            f"records: {size} bytes came out, {metadata['size']} or others went in; fetch the object again"
        )


def _pieces(parquet: pq.ParquetFile, metadata: dict[str, Any]) -> Iterator[Any]:
    lines = _Lines(metadata)
    yield metadata["head"].encode("latin-1")
    for group in range(parquet.metadata.num_row_groups):
        yield lines.of(parquet.read_row_group(group, use_threads=False))


class _Lines:
    """Writes the lines of tables, as the file's metadata say."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.columns = {item["name"]: _column(item) for item in metadata["columns"]}
        self.templates = [
            ([text.encode("latin-1") for text in item["constants"]], list(item["columns"]))
            for item in metadata["templates"]
        ]
        self.relations = [Dense(**item) for item in metadata["dense"]]
        for constants, names in self.templates:
            if len(constants) != len(names) + 1 or not names:
                raise ValueError(f"a template of {len(names)} fields has {len(constants)} constants")
            _check_distinct(names)
        _check_distinct([dense.column for dense in self.relations])

    def of(self, table: pa.Table) -> memoryview:
        """The lines of a table, one behind the other."""
        import numpy as np
        import pyarrow as pa

        if not table.num_rows:
            return memoryview(b"")
        numbers = numbers_of(table[TEMPLATE].combine_chunks())
        arrays = self._arrays(table)
        if numbers.min() < 0 or numbers.max() > len(self.templates):
            raise ValueError("a line has a template that is not there")
        found: list[pa.Array[Any]] = []
        rows_of: list[Any] = []
        for number in range(len(self.templates) + 1):
            rows = np.flatnonzero(numbers == number)
            if not len(rows):
                continue
            whole = len(rows) == len(numbers)
            if number == 0:
                texts = table[LINE].combine_chunks()
                found.append(texts if whole else texts.take(numbers_to_arrow(rows, pa.int64())))
            else:
                found.append(self._join(number - 1, arrays, None if whole else numbers_to_arrow(rows, pa.int64())))
            rows_of.append(rows)
        rows = np.concatenate([*rows_of, np.empty(0, np.int64)])
        if len(found) == 1:
            return bytes_of(found[0])
        order = np.empty(len(rows), np.int64)
        order[rows] = np.arange(len(rows))
        return bytes_of(pa.concat_arrays(found).take(numbers_to_arrow(order, pa.int64())))

    def _arrays(self, table: pa.Table) -> dict[str, pa.Array[Any]]:
        """The values of all columns, those that follow from others among them."""
        arrays = {name: table[name].combine_chunks() for name in table.column_names if name in self.columns}
        for dense in self.relations:
            kind = arrow_type(self.columns[dense.column])
            if dense.how == "lookup":
                arrays[dense.column] = look_up(dense, arrays[dense.of], kind)[0]
                continue
            rest = _numbers(table[PREFIX + dense.column].combine_chunks())
            known = {dense.of: _numbers(arrays[dense.of])} if dense.of else {}
            found = undo(dense, rest, known, arrays)
            arrays[dense.column] = numbers_to_arrow(found.values, kind, found.valid)
        return arrays

    def _join(self, number: int, arrays: dict[str, pa.Array[Any]], rows: pa.Array[Any] | None) -> pa.Array[Any]:
        constants, names = self.templates[number]
        size = len(rows if rows is not None else arrays[names[0]]) * sum(map(len, constants))
        fields: list[pa.Array[Any]] = []
        for name in names:
            if size > MAX_GROUP_BYTES:
                raise ValueError("the lines of a template are longer than a block")
            fields.append(write_values(self.columns[name], arrays[name] if rows is None else arrays[name].take(rows)))
            size += len(bytes_of(fields[-1]))
        first, *between, last = constants
        fields[-1] = join([fields[-1], constant(last + b"\n")])
        if len(set(between)) <= 1:  # the separators of CSV: half as much to join
            fields[0] = join([constant(first), fields[0]]) if first else fields[0]
            return join(fields, between[0] if between else b"")
        parts = [
            part for before, field in zip([first, *between], fields, strict=True) for part in (constant(before), field)
        ]
        return join(parts)


def _column(item: dict[str, Any]) -> Column:
    """A column as the metadata have it, within what this codec writes: its fields are made as wide as it says."""
    column = Column(**item)
    digits = (column.scale, column.least, column.width)
    if (
        not all(type(number) is int and 0 <= number <= MAX_DIGITS for number in digits)
        or (column.kind == "time" and column.layout not in LAYOUTS)
        or len(column.null or "") > _MAX_NULL_CHARS
    ):
        raise ValueError(f"no column is written like {item}")
    return column


def _check_distinct(names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError("a column is there twice")


def _numbers(array: pa.Array[Any]) -> Numbers:
    return Numbers(numbers_of(array), valid_of(array))
