r"""JSON values to typed columns. A value must have the JSON type that its column asks for; nothing is guessed.

* string: a string of valid Unicode (a lone `\ud800` is none);
* int, long: a number without a fraction, within 32 or 64 bits; written with a point or an exponent, it must be below
  2**53, from where a float no longer tells neighbours apart;
* float, double: a number that does not round to infinity;
* decimal: a number that needs no rounding, by the digits that stand in the file;
* boolean: `true` or `false`;
* date, time, timestamp, timestamp_ntz, binary: a string, as `text_values` takes it;
* json: any value.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from des_platform.parquet.columns import arrow_type, decimal_digits
from des_platform.parquet.json_text import JsonNumber, json_text
from des_platform.parquet.text_values import from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INEXACT_FLOAT = 2**53
_LONGS = range(-(2**63), 2**63)
_INTS = range(-(2**31), 2**31)
_PLAIN: dict[str, type] = {"string": str, "int": int, "long": int, "double": float, "boolean": bool}
_MAX_POWER_DIGITS, _MAX_MANTISSA_DIGITS = 3, 1000  # of a number with an exponent that may be a decimal
_TEXTS = frozenset({"date", "time", "timestamp", "timestamp_ntz", "binary"})


def is_exact(kind: str) -> bool:
    """Whether a column takes numbers by their digits, so that the decoder has to keep them."""
    return kind == "json" or decimal_digits(kind) is not None


def from_json(values: Sequence[object], kind: str) -> tuple[pa.Array[Any], list[int]]:
    """Convert decoded JSON values to a column.

    Args:
        values: one per row; None is null.
        kind: the type of the column.

    Returns:
        An array of `arrow_type(kind)`, and the rows whose value does not fit, which are null there.
    """
    if kind in _TEXTS:
        array = from_text([value if isinstance(value, str) else None for value in values], kind)
    elif decimal_digits(kind):
        array = from_text([_digits(value) for value in values], kind)
    else:
        plain = _plain_array(values, kind)
        if plain is not None:
            return plain, []
        convert = _CONVERSIONS[kind]
        array = pa.array([convert(value) for value in values], arrow_type(kind))
    valid = array.is_valid().to_pylist()
    return array, [i for i, (value, ok) in enumerate(zip(values, valid, strict=True)) if not ok and value is not None]


def _plain_array(values: Sequence[object], kind: str) -> pa.Array[Any] | None:
    """The array in one step, or None where a value is not of the one Python type that fits, or takes a closer look."""
    if not set(map(type, values)) <= {_PLAIN.get(kind, type(None)), type(None)}:
        return None
    try:
        array = pa.array(values, arrow_type(kind))
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return None
    if kind == "double" and pc.all(pc.is_finite(array)).as_py() is False:
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


def _int(value: object) -> int | None:
    number = _long(value)
    return number if number in _INTS else None


def _float(value: object) -> float | None:
    number = _double(value)
    try:
        struct.pack("<f", number or 0.0)
    except OverflowError:
        return None
    return number


def _json(value: object) -> str | None:
    return None if value is None else json_text(value)


def _digits(value: object) -> str | None:
    """A number in digits, without an exponent where that takes no more of them than any column holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    text = value.text if isinstance(value, JsonNumber) else str(value)
    mantissa, exponent, power = text.lower().partition("e")
    if not exponent:
        return text
    if len(power) > _MAX_POWER_DIGITS or len(mantissa) > _MAX_MANTISSA_DIGITS:
        return None
    return f"{Decimal(text):f}"


_CONVERSIONS: dict[str, Callable[[object], object]] = {
    "string": _string,
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _double,
    "boolean": _boolean,
    "json": _json,
}
