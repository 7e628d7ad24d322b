"""Rounding floating-point columns to the precision that somebody declared to be enough.

A column keeps its type, so readers notice nothing: the mantissa keeps as many bits as the tolerance needs, and the rest
are zeros, which compress away. NaN with its payload, infinities, zeros of either sign and subnormal numbers stay bit
for bit. Invariant: no value moves by more than the tolerance times itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_MANTISSA_BITS = {pa.float32(): 23, pa.float64(): 52}


def round_columns(batch: pa.RecordBatch, tolerance: Mapping[str, float]) -> pa.RecordBatch:
    """Round some columns of a batch.

    Args:
        batch: any.
        tolerance: by column, how far a value may move relative to itself; 1e-5 keeps 16 of the 52 bits.

    Raises:
        ValueError: there is no such column, it has no floating-point numbers, or the tolerance is not between 0 and 1.
    """
    check_tolerance(batch.schema, tolerance)
    for name, allowed in tolerance.items():
        index = batch.schema.get_field_index(name)
        batch = batch.set_column(index, batch.schema.field(index), _rounded(batch.column(index), allowed))
    return batch


def check_tolerance(schema: pa.Schema, tolerance: Mapping[str, float]) -> None:
    """Look whether columns can be rounded as declared.

    Args:
        schema: of the columns.
        tolerance: as for `round_columns`.

    Raises:
        ValueError: as for `round_columns`.
    """
    for name, allowed in tolerance.items():
        if not 0 < allowed < 1:
            raise ValueError(f"column {name!r} cannot have the tolerance {allowed}: expected one between 0 and 1")
        index = schema.get_field_index(name)
        if index < 0:
            raise ValueError(f"a tolerance is declared for {name!r}, and there is no such column, or more than one")
        if schema.field(index).type not in _MANTISSA_BITS:
            found = schema.field(index).type
            raise ValueError(
                f"a tolerance is declared for {name!r}, which is {found}: only float and double are rounded"
            )


def largest_error(before: pa.Array[Any], after: pa.Array[Any]) -> float:
    """How far a value has moved at most, relative to itself.

    Args:
        before: floating-point numbers.
        after: the same, rounded.
    """
    old, new = _values(before.drop_null()), _values(after.drop_null())
    moved = old != new  # NaN differs from itself
    moved &= ~np.isnan(old)
    if not moved.any():
        return 0.0
    return float(np.max(np.abs(1 - new[moved].astype(np.float64) / old[moved].astype(np.float64))))


def _rounded(array: pa.Array[Any], allowed: float) -> pa.Array[Any]:
    mantissa = _MANTISSA_BITS[array.type]
    kept = max(math.ceil(-math.log2(allowed)) - 1, 0)  # to the nearest, so that it moves by half of the last bit
    if kept >= mantissa:
        return array
    values = _values(array)
    unsigned = np.dtype(f"u{values.itemsize}")
    bits = values.view(unsigned)
    dropped = unsigned.type(mantissa - kept)
    one = unsigned.type(1)
    to_even = (bits >> dropped) & one
    rounded = (bits + ((one << (dropped - one)) - one + to_even)) >> dropped << dropped
    result: NDArray[Any] = np.where(
        np.isfinite(values) & (np.abs(values) >= np.finfo(values.dtype).tiny), rounded, bits
    )
    result = result.view(values.dtype)
    result = np.where(np.isinf(result), values, result)  # what would become infinite stays
    finished: pa.Array[Any] = pa.array(result, array.type, mask=np.asarray(array.is_null()))
    return finished


def _values(array: pa.Array[Any]) -> NDArray[Any]:
    """The numbers, bit for bit; anything where the array is null."""
    width = array.type.bit_width // 8
    kind = np.dtype(f"f{width}")
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(len(array), kind)
    return np.frombuffer(memoryview(buffer), kind, len(array), array.offset * width)
