"""A Parquet file to typed batches, some thousand rows at a time.

What the footer and the pages claim is checked before anything is allocated for it: where column chunks lie, and how
large a page becomes. Text columns whose dictionary could make rows that are much larger than the file come as
dictionaries, which `typed_rows` decodes within bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from des_platform.parquet.batches import MAX_BATCH_ROWS, RowBatch, Target
from des_platform.parquet.pages import claims_of
from des_platform.parquet.typed_rows import MAX_BATCH_BYTES, DamagedFile, content, typed_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

# The stubs of pyarrow's functions know fewer types than the functions.
pc: Any = compute
_LAST_NANOSECOND: Final = 2**63 - 1
_MAX_FOOTER_BYTES: Final = 256 << 20
_BUFFER_BYTES: Final = 1 << 20
_MAX_DICTIONARY_BYTES: Final = MAX_BATCH_BYTES // MAX_BATCH_ROWS
_MIN_BATCH_ROWS: Final = 16
_MAX_VALUES: Final = 1 << 27
"""The most values of a list column in one row group."""


def read_parquet(source: BinaryIO, target: Target) -> Iterator[RowBatch]:
    """Read a Parquet file, as `des_platform.parquet.rows.read_rows` says."""
    return typed_batches(parquet_batches(source), target, "Parquet")


def parquet_batches(source: BinaryIO) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, at least one batch.

    Raises:
        DamagedFile: it is none, or claims what cannot be.
        pyarrow.ArrowException, OSError: its pages cannot be read.
    """
    data = content(source)
    _check_end(data)
    metadata = pq.read_metadata(pa.BufferReader(data))
    dictionaries: set[str] = set()
    for group in range(metadata.num_row_groups):
        dictionaries |= _check_group(metadata, group, data)
    with pq.ParquetFile(
        pa.BufferReader(data),
        metadata=metadata,
        read_dictionary=sorted(dictionaries),
        buffer_size=_BUFFER_BYTES,
        page_checksum_verification=True,
    ) as file:
        schema = file.schema_arrow
        int96 = [leaf.path for leaf in map(file.schema.column, range(len(file.schema))) if _is_int96(leaf)]
        rows = 0
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            values = max((found.column(index).num_values for index in range(found.num_columns)), default=0)
            # What is repeated takes next to no bytes in the file, and 8 or so in a batch.
            expected = max(1, found.total_byte_size, 8 * values) // max(1, found.num_rows)
            size = max(_MIN_BATCH_ROWS, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // max(1, expected)))
            before = rows
            for batch in _batches_of(file, group, size, int96, data):
                rows += batch.num_rows
                yield batch
            if rows - before != found.num_rows:
                raise DamagedFile(f"row group {group} has {rows - before} rows, the footer says {found.num_rows}")
        if not rows:
            yield pa.RecordBatch.from_pylist([], schema)


def _is_int96(leaf: pq.ColumnSchema) -> bool:
    return leaf.physical_type == "INT96" and "." not in leaf.path


def _batches_of(
    file: pq.ParquetFile, group: int, size: int, int96: list[str], data: pa.Buffer
) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(size, row_groups=[group], use_threads=False)
    if not int96:
        yield from batches
        return
    with pq.ParquetFile(
        pa.BufferReader(data), metadata=file.metadata, buffer_size=_BUFFER_BYTES, coerce_int96_timestamp_unit="us"
    ) as coarse:
        others = coarse.iter_batches(size, row_groups=[group], columns=int96, use_threads=False)
        yield from map(_without_overflow, batches, others)


def _without_overflow(batch: pa.RecordBatch, coarse: pa.RecordBatch) -> pa.RecordBatch:
    """Timestamps of 96 bits in microseconds where nanoseconds of 64 bits do not hold them: pyarrow lets those wrap."""
    for name in coarse.schema.names:
        index = batch.schema.get_field_index(name)
        microseconds = coarse.column(name).view(pa.int64())
        within = pc.less_equal(pc.abs(microseconds), pa.scalar(_LAST_NANOSECOND // 1000))
        if pc.all(within).as_py() is False:
            nanoseconds = batch.column(index).view(pa.int64())
            whole = pc.equal(pc.multiply(pc.divide(nanoseconds, 1000), 1000), nanoseconds)
            if pc.any(pc.and_(within, pc.invert(whole))).as_py():
                raise DamagedFile(f"column {name!r} has both nanoseconds and years that have none in 64 bits")
            batch = batch.set_column(index, name, coarse.column(name))
    return batch


def _check_end(data: pa.Buffer) -> None:
    end = bytes(data[-8:]) if data.size >= len(b"PAR1") + 8 else b""
    if end[4:] == b"PARE" or bytes(data[:4]) == b"PARE":
        raise DamagedFile("it is encrypted")
    if end[4:] != b"PAR1" or bytes(data[:4]) != b"PAR1":
        raise DamagedFile("it does not begin and end with PAR1")
    footer = int.from_bytes(end[:4], "little")
    if footer > min(data.size - 12, _MAX_FOOTER_BYTES):
        raise DamagedFile(f"it claims a footer of {footer} bytes, and has {data.size} in all")


def _check_group(metadata: pq.FileMetaData, group: int, data: pa.Buffer) -> set[str]:
    """Check where a row group lies and what its pages claim; return the text columns with a large dictionary."""
    found = metadata.row_group(group)
    dictionaries: set[str] = set()
    for index in range(found.num_columns if found.num_rows else 0):
        column = found.column(index)
        start = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset:
            start = min(start, column.dictionary_page_offset)
        size = column.total_compressed_size
        if start < 4 or size < 0 or start + size > data.size:  # noqa: PLR2004 - the bytes of PAR1
            raise DamagedFile(
                f"row group {group} claims bytes {start} to {start + size} for column {column.path_in_schema!r}, "
                f"and the file has {data.size}"
            )
        try:
            claims = claims_of(memoryview(data).cast("B")[start : start + size])
        except DamagedFile as error:
            raise DamagedFile(f"row group {group}, column {column.path_in_schema!r}: {error}") from None
        is_list = metadata.schema.column(index).max_repetition_level > 0
        if is_list and not column.num_values == claims.values <= _MAX_VALUES:
            raise DamagedFile(
                f"row group {group} claims {column.num_values} values of column {column.path_in_schema!r}, its pages "
                f"{claims.values}, and at most {_MAX_VALUES} are read"
            )
        if claims.dictionary_bytes > _MAX_DICTIONARY_BYTES and column.physical_type == "BYTE_ARRAY":
            dictionaries.add(column.path_in_schema)
    return dictionaries
