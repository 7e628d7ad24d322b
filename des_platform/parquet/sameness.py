"""Whether two streams of rows hold the same values bit for bit.

NaN payloads and the sign of zero count; what lies under a null does not, nor how rows are cut into batches, nor the
order of a dictionary. How it fails: types whose bits cannot be looked at count as different.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_UNSIGNED: dict[pa.DataType, pa.DataType] = {
    pa.float16(): pa.uint16(),
    pa.float32(): pa.uint32(),
    pa.float64(): pa.uint64(),
}


def same_values(one: pa.Array[Any], other: pa.Array[Any]) -> bool:
    """Compare two arrays of the same type; nested ones and dictionaries by their values."""
    if isinstance(one, pa.DictionaryArray) and isinstance(other, pa.DictionaryArray):
        return same_values(one.dictionary_decode(), other.dictionary_decode())
    if isinstance(one, pa.ExtensionArray) and isinstance(other, pa.ExtensionArray):
        return same_values(one.storage, other.storage)
    bits = _bits(one.type)
    return bool(one.view(bits).equals(other.view(bits)))


def side_by_side(
    some: Iterable[pa.RecordBatch], others: Iterable[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield the same rows of two streams, however each is cut into batches.

    Raises:
        ValueError: one of them has more rows.
    """
    streams = (filter(len, some), filter(len, others))
    one, other = (next(stream, None) for stream in streams)
    while one is not None and other is not None:
        rows = min(one.num_rows, other.num_rows)
        yield one.slice(0, rows), other.slice(0, rows)
        one = one.slice(rows) if one.num_rows > rows else next(streams[0], None)
        other = other.slice(rows) if other.num_rows > rows else next(streams[1], None)
    if one is not None or other is not None:
        raise ValueError("one of the files has more rows than the other")


def _bits(kind: pa.DataType) -> pa.DataType:
    """The type with whole numbers in place of floating-point ones, whose equality is that of their bits."""
    found: pa.DataType
    match kind:
        case pa.StructType():
            found = pa.struct([child.with_type(_bits(child.type)) for child in kind])
        case pa.MapType():
            found = pa.map_(_bits(kind.key_type), _bits(kind.item_type), kind.keys_sorted)
        case pa.FixedSizeListType():
            found = pa.list_(kind.value_field.with_type(_bits(kind.value_type)), kind.list_size)
        case pa.LargeListType():
            found = pa.large_list(kind.value_field.with_type(_bits(kind.value_type)))
        case pa.ListType():
            found = pa.list_(kind.value_field.with_type(_bits(kind.value_type)))
        case _:
            found = _UNSIGNED.get(kind, kind)
    return found
