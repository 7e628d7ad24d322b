"""The ways in which a leaf column can be written: Parquet's encodings by physical type, and codecs.

Every engine that reads Parquet 2 reads these; BYTE_STREAM_SPLIT of integers needs a reader of 2024 or younger (format
2.11). pyarrow's own option `read_dictionary` takes no text that is DELTA_LENGTH_BYTE_ARRAY or DELTA_BYTE_ARRAY.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LEVEL = 22


class Encoding(StrEnum):
    """How values become bytes; `DICTIONARY` is Parquet's RLE_DICTIONARY with a dictionary page."""

    PLAIN = "PLAIN"
    DICTIONARY = "DICTIONARY"
    DELTA_BINARY_PACKED = "DELTA_BINARY_PACKED"
    BYTE_STREAM_SPLIT = "BYTE_STREAM_SPLIT"
    DELTA_LENGTH_BYTE_ARRAY = "DELTA_LENGTH_BYTE_ARRAY"
    DELTA_BYTE_ARRAY = "DELTA_BYTE_ARRAY"


class Codec(StrEnum):
    """What pages go through."""

    NONE = "none"
    ZSTD = "zstd"


_INTEGERS = (Encoding.PLAIN, Encoding.DICTIONARY, Encoding.DELTA_BINARY_PACKED, Encoding.BYTE_STREAM_SPLIT)
_FLOATS = (Encoding.PLAIN, Encoding.DICTIONARY, Encoding.BYTE_STREAM_SPLIT)
_TEXTS = (Encoding.PLAIN, Encoding.DICTIONARY, Encoding.DELTA_LENGTH_BYTE_ARRAY, Encoding.DELTA_BYTE_ARRAY)

_ENCODINGS: dict[str, tuple[Encoding, ...]] = {
    "BOOLEAN": (Encoding.PLAIN,),
    "INT32": _INTEGERS,
    "INT64": _INTEGERS,
    "FLOAT": _FLOATS,
    "DOUBLE": _FLOATS,
    "BYTE_ARRAY": _TEXTS,
    "FIXED_LEN_BYTE_ARRAY": (Encoding.PLAIN, Encoding.DICTIONARY),  # DuckDB 2.0 reads no BYTE_STREAM_SPLIT of these
}
"""By Parquet's physical type; a type that is not here is written PLAIN."""


class Leaf(NamedTuple):
    """A leaf column.

    Attributes:
        path: as Parquet writes it: `name`, or `name.list.element`.
        physical: Parquet's type.
        indexed: whether Arrow has it as a dictionary, which pyarrow reads out of two encodings alone.
    """

    path: str
    physical: str
    indexed: bool = False

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """The encodings that suit it."""
        known = _ENCODINGS.get(self.physical, (Encoding.PLAIN,))
        return tuple(name for name in known if not self.indexed or name in {Encoding.PLAIN, Encoding.DICTIONARY})


@lru_cache(maxsize=64)  # half a millisecond, as much as writing a small file
def leaves_of(schema: pa.Schema, *, keep_names: bool = False) -> tuple[Leaf, ...]:
    """The leaf columns of a schema as Parquet itself has them, in its order.

    Args:
        schema: of the table.
        keep_names: as for `open_writer`.

    Raises:
        pyarrow.ArrowNotImplementedError: Parquet has no such type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    compliant = not keep_names
    pq.ParquetWriter(sink, schema, store_decimal_as_integer=True, use_compliant_nested_type=compliant).close()
    columns = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    found = map(columns.column, range(len(columns)))
    indexed = [item.name for item in schema if _has_dictionary(item.type)]
    return tuple(
        Leaf(column.path, column.physical_type, any(f"{column.path}.".startswith(f"{name}.") for name in indexed))
        for column in found
    )


def _has_dictionary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(number).type) for number in range(kind.num_fields))
