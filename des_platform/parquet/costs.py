"""What writing and reading cost: nanoseconds by encoding and type, and for each byte that zstd is given.

Measured once (one core of 2026, pyarrow 26, statistics included) on prices, counts, names and full-mantissa floats.
Only their proportions matter, and a clock is never asked, so that the same rows are always written in the same way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from des_platform.parquet.encodings import Codec, Encoding

if TYPE_CHECKING:
    from des_platform.parquet.plan import ColumnPlan

_READS = 1.5
"""How often what is written once is read, at least; more would buy little time for many bytes."""

# Nanoseconds a value: to write, to read.
_NUMBER = {
    Encoding.PLAIN: (4.0, 2.2),
    Encoding.BYTE_STREAM_SPLIT: (5.0, 2.5),
    Encoding.DELTA_BINARY_PACKED: (8.0, 3.0),
    Encoding.DICTIONARY: (13.0, 3.2),
}
_TEXT = {
    Encoding.PLAIN: (17.0, 14.0),
    Encoding.DICTIONARY: (24.0, 18.0),
    Encoding.DELTA_LENGTH_BYTE_ARRAY: (23.0, 18.0),
    Encoding.DELTA_BYTE_ARRAY: (38.0, 30.0),
}
_TEXTS = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")

# A dictionary that outgrows the processor's cache is slow to look things up in: nanoseconds a value for each doubling.
_CACHED = 1 << 20
_MISS = 20.0

# Nanoseconds a byte that goes in, or comes out. The planes of BYTE_STREAM_SPLIT are either noise or nothing: both are
# quick.
_PACKING = {1: 1.4, 3: 2.8, 9: 14.0, 15: 80.0}
_UNPACKING = 1.0
_PLANES = 0.5


def seconds(physical: str, way: ColumnPlan, values: int, encoded: int, dictionary: float) -> float:
    """Estimate the CPU seconds that writing and reading take.

    Args:
        physical: Parquet's type.
        way: how; with zstd at one of the levels that are known here.
        values: how many there are.
        encoded: their bytes before the codec.
        dictionary: bytes of the dictionary in a row group; 0 without.
    """
    write, read = (_TEXT if physical in _TEXTS else _NUMBER).get(way.encoding, _TEXT[Encoding.PLAIN])
    if way.encoding is Encoding.DICTIONARY and dictionary > _CACHED:
        write += _MISS * math.log2(dictionary / _CACHED)
    value = write + _READS * read
    byte = 0.0 if way.codec is Codec.NONE else _PACKING[way.level] + _READS * _UNPACKING
    if way.encoding is Encoding.BYTE_STREAM_SPLIT:
        byte *= _PLANES
    return (value * values + byte * encoded) * 1e-9
