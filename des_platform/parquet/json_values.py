r"""JSON values to typed columns. A value must have the JSON type that its column asks for; nothing is guessed.

* string: a string of valid Unicode (a lone `\ud800` is none);
* long: a number without a fraction, within 64 bits; written with a point or an exponent, it must be below 2**53, from
  where a float no longer tells neighbours apart;
* double: a number that does not round to infinity;
* boolean: `true` or `false`;
* date, timestamp: a string, as `text_values` takes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from des_platform.parquet.columns import ColumnType, arrow_type
from des_platform.parquet.text_values import from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INEXACT_FLOAT = 2**53
_LONGS = range(-(2**63), 2**63)
_PLAIN: dict[ColumnType, type] = {
    ColumnType.STRING: str,
    ColumnType.LONG: int,
    ColumnType.DOUBLE: float,
    ColumnType.BOOLEAN: bool,
}


def from_json(values: Sequence[object], column_type: ColumnType) -> tuple[pa.Array[Any], list[int]]:
    """Convert decoded JSON values to a column.

    Args:
        values: one per row; None is null.
        column_type: the type of the column.

    Returns:
        An array of `arrow_type(column_type)`, and the rows whose value does not fit, which are null there.
    """
    if column_type in (ColumnType.DATE, ColumnType.TIMESTAMP):
        array = from_text([value if isinstance(value, str) else None for value in values], column_type)
    else:
        plain = _plain_array(values, column_type)
        if plain is not None:
            return plain, []
        convert = _CONVERSIONS[column_type]
        array = pa.array([convert(value) for value in values], arrow_type(column_type))
    valid = array.is_valid().to_pylist()
    return array, [i for i, (value, ok) in enumerate(zip(values, valid, strict=True)) if not ok and value is not None]


def _plain_array(values: Sequence[object], column_type: ColumnType) -> pa.Array[Any] | None:
    """The array in one step, or None where a value is not of the one Python type that fits, or takes a closer look."""
    if not set(map(type, values)) <= {_PLAIN[column_type], type(None)}:
        return None
    try:
        array = pa.array(values, arrow_type(column_type))
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return None
    if column_type is ColumnType.DOUBLE and pc.all(pc.is_finite(array)).as_py() is False:
        return None
    return array


def _string(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return value


def _long(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer() and abs(value) < _INEXACT_FLOAT:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _LONGS else None


def _double(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_CONVERSIONS: dict[ColumnType, Callable[[object], object]] = {
    ColumnType.STRING: _string,
    ColumnType.LONG: _long,
    ColumnType.DOUBLE: _double,
    ColumnType.BOOLEAN: _boolean,
}
