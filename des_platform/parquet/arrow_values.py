"""Typed values (Parquet, Arrow, Avro, DBN) to the declared columns, a column at a time, exactly or not at all.

A value fits where the declared type holds it without a loss; nothing is parsed, rounded or cut:

* int, long: whole numbers in range; floats that are whole and below 2**53, from where they no longer tell neighbours
  apart; decimals that are whole; long also takes durations and nanosecond timestamps, as the number that they are;
* float, double: numbers that they hold exactly; double also decimals of up to 15 digits, which come back the same;
  NaN and the infinities are values of their own here, unlike in text;
* decimal: whole numbers and decimals that need no rounding;
* string: strings, and bytes that are UTF-8; binary: bytes;
* json: what has parts, as JSON text; a string that holds one JSON value; any other value as `json_text` writes it;
* date: dates; timestamp: instants, and dates and wall clocks, which are taken for UTC as in text; timestamp_ntz: wall
  clocks and dates; time: times of day; each without anything below the microsecond, in the years 1 to 9999;
* boolean: booleans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from pyarrow import compute

from des_platform.parquet.columns import DAY_MICROSECONDS, FIRST_DAY, LAST_DAY, arrow_type, decimal_digits
from des_platform.parquet.json_text import json_texts, strict_decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    # Whether each value fits; None where all do.
    Fits = pa.Array[Any] | None
    # The values and whether they fit; None where the types have nothing in common.
    Converted = tuple[pa.Array[Any], Fits] | None

# The stubs of pyarrow's functions know fewer types than the functions.
pc: Any = compute
_EXACT_FLOATS: dict[pa.DataType, int] = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}
_EXACT_DIGITS = 15  # of a decimal that a double gives back
_LONGEST_INTEGER = 20  # digits of 2**64
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_INTEGERS = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}


def from_arrow(values: pa.Array[Any], kind: str) -> tuple[pa.Array[Any], list[int]]:
    """Convert values to a column.

    Args:
        values: as `arrow_plain.plain` returns them.
        kind: the column's type.

    Returns:
        An array of `arrow_type(kind)`, and the positions of the values that do not fit, which are null there.
    """
    target = arrow_type(kind)
    if pa.types.is_null(values.type):
        return _nulls(len(values), target), []
    family = "decimal" if decimal_digits(kind) else kind
    converted = _CONVERSIONS[family](values, target)
    if converted is None:
        return _nulls(len(values), target), _positions(values.is_valid())
    array, fits = converted
    if fits is None or pc.all(fits).as_py() is not False:
        return array, []
    fits = pc.fill_null(fits, False)
    faults = _positions(pc.and_(values.is_valid(), pc.invert(fits)))
    return pc.if_else(fits, array, pa.scalar(None, target)), faults


def _nulls(size: int, kind: Any) -> pa.Array[Any]:  # noqa: ANN401 - the stubs know no nulls of a type in general
    return cast("pa.Array[Any]", pa.nulls(size, kind))


def _positions(mask: pa.Array[Any]) -> list[int]:
    return cast("list[int]", pc.indices_nonzero(mask).to_pylist())


def _integer(values: pa.Array[Any], target: pa.DataType) -> Converted:
    types, kind = pa.types, values.type
    low, high = _INTEGERS["int" if target == pa.int32() else "long"]
    if types.is_integer(kind):
        return _in_range(values, low, high, target)
    if types.is_floating(kind):
        numbers = values.cast(pa.float64())
        bound = min(high, _EXACT_FLOATS[pa.float64()] - 1)
        whole = pc.equal(pc.trunc(numbers), numbers)
        fits = pc.and_(whole, pc.and_(pc.less_equal(numbers, bound), pc.greater_equal(numbers, max(low, -bound))))
        return pc.if_else(fits, numbers, 0.0).cast(target), fits
    if types.is_decimal(kind):
        widest = pa.decimal256(76, 0) if types.is_decimal256(kind) else pa.decimal128(38, 0)
        whole = pc.trunc(values)
        converted = _decimal(whole, widest)
        if converted is None:
            return None
        array, fits = _in_range(converted[0], low, high, target)
        return array, _both(_both(fits, converted[1]), pc.equal(whole, values))
    nanoseconds = isinstance(kind, pa.TimestampType) and kind.unit == "ns"
    if target == pa.int64() and (nanoseconds or types.is_duration(kind)):
        return values.view(pa.int64()), None
    return None


def _in_range(values: pa.Array[Any], low: int, high: int, target: pa.DataType) -> tuple[pa.Array[Any], Fits]:
    """Whole numbers as another type; those out of range do not fit."""
    try:
        return values.cast(target), None
    except pa.ArrowInvalid:
        fits = pc.and_(_compare(pc.greater_equal, values, low), _compare(pc.less_equal, values, high))
        return pc.if_else(fits, values, pa.scalar(0).cast(values.type)).cast(target), fits


def _compare(
    operation: Callable[[pa.Array[Any], pa.Scalar[Any]], pa.Array[Any]], values: pa.Array[Any], bound: int
) -> pa.Array[Any]:
    try:
        return operation(values, pa.scalar(bound, pa.decimal128(38, 0)).cast(values.type))
    except pa.ArrowInvalid:  # the type does not reach the bound
        return pa.repeat(pa.scalar(value=True), len(values))


def _both(one: Fits, other: Fits) -> Fits:
    if one is None or other is None:
        return one if other is None else other
    return cast("pa.Array[Any]", pc.and_(one, other))


def _floating(values: pa.Array[Any], target: pa.DataType) -> Converted:
    types, kind = pa.types, values.type
    if kind == target:
        return values, None
    if types.is_integer(kind):
        bound = _EXACT_FLOATS[target]
        fits = pc.and_(_compare(pc.greater_equal, values, -bound), _compare(pc.less_equal, values, bound))
        return values.cast(target, safe=False), fits
    if types.is_floating(kind):
        array = values.cast(target, safe=False)
        if kind.bit_width <= target.bit_width:
            return array, None
        return array, pc.or_(pc.equal(array.cast(kind), values), pc.is_nan(values))
    if types.is_decimal128(kind) and target == pa.float64():
        digits = pa.Array.from_buffers(pa.decimal128(38, 0), len(values), values.buffers(), offset=values.offset)
        limit = pa.scalar(10**_EXACT_DIGITS, pa.decimal128(38, 0))
        return values.cast(target), pc.less(pc.abs(digits), limit)
    return None


def _decimal(values: pa.Array[Any], target: pa.DataType) -> Converted:
    types, kind = pa.types, values.type
    if not (types.is_integer(kind) or types.is_decimal(kind)):
        return None
    if types.is_integer(kind):  # straight to fewer digits is refused whatever the values are
        values = values.cast(pa.decimal128(_LONGEST_INTEGER, 0))
    try:
        return values.cast(target), None
    except pa.ArrowInvalid:
        pass
    # One value that does not fit fails the whole cast: look for them, one at a time.
    fits = pa.array([value is None or _is_castable(value, target) for value in values], pa.bool_())
    return pc.if_else(fits, values, pa.scalar(None, values.type)).cast(target), fits


def _is_castable(value: pa.Scalar[Any], target: pa.DataType) -> bool:
    try:
        value.cast(target)
    except pa.ArrowInvalid:
        return False
    return True


def _string(values: pa.Array[Any], target: pa.DataType) -> Converted:
    if not (pa.types.is_string(values.type) or pa.types.is_binary(values.type)):
        return None
    array = values.cast(target, safe=False) if pa.types.is_binary(values.type) else values
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        fits = pa.array(
            [value is None or _is_utf8(value) for value in values.cast(pa.binary()).to_pylist()], pa.bool_()
        )
        return pc.if_else(fits, array, pa.scalar(None, target)), fits
    return array, None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _binary(values: pa.Array[Any], target: pa.DataType) -> Converted:
    return (values.cast(target), None) if pa.types.is_binary(values.type) else None


def _boolean(values: pa.Array[Any], _target: pa.DataType) -> Converted:
    return (values, None) if pa.types.is_boolean(values.type) else None


def _date(values: pa.Array[Any], target: pa.DataType) -> Converted:
    if not pa.types.is_date(values.type):
        return None
    if pa.types.is_date32(values.type):
        return values, _between(values.view(pa.int32()), FIRST_DAY, LAST_DAY)
    milliseconds = values.view(pa.int64())
    per_day = DAY_MICROSECONDS // 1000
    days = pc.divide(milliseconds, per_day)
    fits = _both(pc.equal(pc.multiply(days, per_day), milliseconds), _between(days, FIRST_DAY, LAST_DAY))
    kept = days if fits is None else pc.if_else(fits, days, 0)
    return kept.cast(pa.int32()).view(target), fits


def _between(values: pa.Array[Any], low: int, high: int) -> Fits:
    found = pc.min_max(values).as_py()
    if found["min"] is None or (found["min"] >= low and found["max"] <= high):
        return None
    return cast("pa.Array[Any]", pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)))


def _instant(values: pa.Array[Any], target: pa.DataType) -> Converted:
    kind = values.type
    if pa.types.is_date(kind):
        converted = _date(values, pa.date32())
        if converted is None:
            return None
        days, fits = converted
        return (days if fits is None else pc.if_else(fits, days, None)).cast(target), fits
    if not isinstance(kind, pa.TimestampType):
        return None
    if kind.tz and not cast("pa.TimestampType[Any, Any]", target).tz:
        return None
    low, high = FIRST_DAY * DAY_MICROSECONDS, (LAST_DAY + 1) * DAY_MICROSECONDS - 1
    return _in_microseconds(values.view(pa.int64()), kind.unit, low, high, target)


def _time(values: pa.Array[Any], target: pa.DataType) -> Converted:
    kind = values.type
    if not pa.types.is_time(kind):
        return None
    unit = cast("pa.Time64Type[Any]", kind).unit
    numbers = values.view(pa.int32() if pa.types.is_time32(kind) else pa.int64()).cast(pa.int64())
    return _in_microseconds(numbers, unit, 0, DAY_MICROSECONDS - 1, target)


def _in_microseconds(numbers: pa.Array[Any], unit: str, low: int, high: int, target: pa.DataType) -> Converted:
    """Counts of a unit as microseconds between two bounds."""
    per_second = _PER_SECOND[unit]
    if unit == "ns":
        microseconds = pc.divide(numbers, 1000)
        whole = pc.equal(pc.multiply(microseconds, 1000), numbers)
        return microseconds.view(target), _both(whole, _between(microseconds, low, high))
    factor = 1_000_000 // per_second
    fits = _between(numbers, -(-low // factor), high // factor)
    kept = numbers if fits is None else pc.if_else(fits, numbers, 0)
    return pc.multiply(kept, factor).view(target), fits


def _json(values: pa.Array[Any], _target: pa.DataType) -> Converted:
    if not pa.types.is_string(values.type):
        return json_texts(values), None
    converted = _string(values, pa.string())
    if converted is None:
        return None
    fits = pa.array([value is None or is_json(value) for value in converted[0].to_pylist()], pa.bool_())
    return converted[0], _both(fits, converted[1])


def is_json(text: str) -> bool:
    """Whether text holds one JSON value, and no key twice."""
    try:
        _decoder.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


_decoder = strict_decoder(exact=True)

_CONVERSIONS: dict[str, Callable[[pa.Array[Any], pa.DataType], Converted]] = {
    "string": _string,
    "int": _integer,
    "long": _integer,
    "float": _floating,
    "double": _floating,
    "boolean": _boolean,
    "date": _date,
    "time": _time,
    "timestamp": _instant,
    "timestamp_ntz": _instant,
    "binary": _binary,
    "json": _json,
    "decimal": _decimal,
}
