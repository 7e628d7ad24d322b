"""Which Parquet encoding and zstd level each column gets, tried on a sample of it.

A way of writing costs its bytes, and its time turned into bytes; the time comes from a table, never from a clock, so
the same file is always written in the same way. A dictionary of few entries is filled up with entries that no row uses,
to 9 or to 129, so that an index is half a byte or a byte: zstd sees whole symbols then, and takes 36 names that are not
equally frequent at 5.1 bits instead of 5.6.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from des_platform.codecs.records.arrow import list_to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 16_000
_BYTES_PER_SECOND = 2e6
"""What a second of CPU time is worth: half of what `xz -6` makes of its input in one."""

# Seconds per byte that zstd compresses, by level.
_SECONDS = {3: 1 / 200e6, 9: 1 / 60e6, 15: 1 / 12e6, 19: 1 / 3e6}
_LEVELS = (3, 9, 15, 19)
_ALIGNED = ((4, 8, 9), (16, 128, 129))  # more than, at most, and what to fill up to
_DICTIONARY = "DICTIONARY"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a column is written.

    Attributes:
        name: Parquet's name of the encoding.
        level: of zstd.
    """

    name: str
    level: int


def sample_of(array: pa.Array[Any]) -> pa.Array[Any]:
    """The rows of a column by which it is judged."""
    rows = len(array)
    return array.slice((rows - SAMPLE_ROWS) // 2, SAMPLE_ROWS) if rows > SAMPLE_ROWS else array


def choose_encoding(array: pa.Array[Any]) -> tuple[Encoding, int]:
    """Choose how to write a column.

    Args:
        array: its values in the first block.

    Returns:
        The encoding with a low level, and what it makes of the sample in bytes.
    """
    import pyarrow as pa

    sample = sample_of(array)
    if sample.null_count == len(sample) or pa.types.is_boolean(array.type):
        return Encoding("PLAIN", _LEVELS[0]), 0
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        names = [_DICTIONARY, "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    else:
        names = [_DICTIONARY, "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "PLAIN"]
    sizes = {name: _size(sample, Encoding(name, _LEVELS[0])) for name in names}
    best = min(names, key=sizes.__getitem__)
    return Encoding(best, _LEVELS[0]), sizes[best]


def choose_level(array: pa.Array[Any], encoding: Encoding, size: int) -> Encoding:
    """Choose how hard zstd is to try; it tries harder as long as that pays.

    Args:
        array: the column's values in the first block.
        encoding: how they are written.
        size: what it makes of the sample in bytes.
    """
    sample = sample_of(array)
    raw = max(sample.nbytes, 1)
    for level in _LEVELS[1:]:
        harder = replace(encoding, level=level)
        smaller = _size(sample, harder)
        if size - smaller < raw * (_SECONDS[level] - _SECONDS[encoding.level]) * _BYTES_PER_SECOND:
            break
        encoding, size = harder, smaller
    return encoding


def _size(array: pa.Array[Any], encoding: Encoding) -> int:
    import pyarrow as pa

    sink = io.BytesIO()
    with open_writer(sink, {"": encoding}, pa.schema([("", array.type)])) as writer:
        writer.write_table(pa.table({"": align(array, encoding)}))
    return sink.tell()


def align(array: pa.Array[Any], encoding: Encoding) -> pa.Array[Any]:
    """Make the dictionary of a text column one whose indices are whole symbols to zstd."""
    import pyarrow as pa

    if not _is_aligned(array.type, encoding):
        return array
    found = array.dictionary_encode()
    for more, most, full in _ALIGNED:
        if more < len(found.dictionary) <= most:
            unused = list_to_arrow([f"\0{number}" for number in range(len(found.dictionary), full)], array.type)
            return pa.DictionaryArray.from_arrays(found.indices, pa.concat_arrays([found.dictionary, unused]))
    return found


def open_writer(sink: Any, encodings: dict[str, Encoding], schema: pa.Schema) -> Any:  # noqa: ANN401 - pyarrow's own
    """A Parquet writer that follows a plan."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: Any = [name for name, encoding in encodings.items() if encoding.name == _DICTIONARY]
    fields = [
        item.with_type(pa.dictionary(pa.int32(), item.type)) if _is_aligned(item.type, encodings[item.name]) else item
        for item in schema
    ]
    return pq.ParquetWriter(
        sink,
        pa.schema(fields),
        compression="zstd",
        compression_level={name: encoding.level for name, encoding in encodings.items()},
        use_dictionary=names,
        column_encoding={name: item.name for name, item in encodings.items() if item.name != _DICTIONARY},
        write_statistics=[item.name for item in schema if not _is_text(item.type)],
        store_schema=False,
        store_decimal_as_integer=True,
        data_page_size=1 << 30,
        dictionary_pagesize_limit=1 << 30,
        max_rows_per_page=1 << 30,
        write_batch_size=1 << 16,
    )


def _is_aligned(kind: pa.DataType, encoding: Encoding) -> bool:
    import pyarrow as pa

    return encoding.name == _DICTIONARY and bool(pa.types.is_string(kind))


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_boolean(kind))
