"""Text to typed columns, by vectorised casts that never fail: what is no value of the type becomes null.

Accepted, and nothing else, not even with a space around it:

* int, long: decimal digits with an optional sign, within 32 or 64 bits;
* float, double: decimal digits with an optional sign, point and exponent; what rounds to infinity is not accepted;
* decimal: decimal digits with an optional sign and point, that need no rounding;
* boolean: `true`, `false`, `1`, `0`, in any case;
* date: `YYYY-MM-DD`, a day that exists, in the years 1 to 9999;
* time: `HH:MM`, then optionally `:SS`, `.` and up to nine digits, of which those below the microsecond are zeros;
* timestamp: ISO 8601 `YYYY-MM-DD`, then optionally `T` or a space, a time as above, and `Z`, `+HH:MM` or `+HHMM`.
  Without an offset it is UTC, without a time it is midnight;
* timestamp_ntz: the same without an offset;
* binary: base64 with its padding;
* json: one JSON value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from des_platform.parquet.arrow_values import is_json
from des_platform.parquet.columns import DAY_MICROSECONDS, FIRST_DAY, LAST_DAY, arrow_type, decimal_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The casts alone would take more than is documented: a date as 2024-1-1, a time with second 60.
_LONG = r"^[+-]?[0-9]+$"
_DOUBLE = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_CLOCK = (
    r"(?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,6})0{0,3})?)?"
)
_OFFSET = r"(?:Z|(?P<sign>[+-])(?P<offset_hours>[01][0-9]|2[0-3]):?(?P<offset_minutes>[0-5][0-9]))?"
_MOMENT = r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]" + _CLOCK
_TIMESTAMP = _MOMENT + _OFFSET + ")?$"
_WALL_CLOCK = _MOMENT + ")?$"
_TIME = "^" + _CLOCK + "$"
_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_FIRST_MICROSECOND = FIRST_DAY * DAY_MICROSECONDS
_LAST_MICROSECOND = (LAST_DAY + 1) * DAY_MICROSECONDS - 1


def from_text(values: Sequence[str | None], kind: str) -> pa.Array[Any]:
    """Convert text to a column.

    Args:
        values: one per row; None is null.
        kind: the type of the column.

    Returns:
        An array of `arrow_type(kind)`: null where the value is None or no value of the type.
    """
    if kind == "string":
        return pa.array(values, pa.string())
    if kind == "json":
        return pa.array([value if value is not None and is_json(value) else None for value in values], pa.string())
    text = pl.Series(values, dtype=pl.String)
    digits = decimal_digits(kind)
    converted = _CONVERSIONS[kind](text) if digits is None else _decimal(text, *digits)
    return converted.to_arrow().cast(arrow_type(kind))


def _matching(text: pl.Series, pattern: str) -> pl.Series:
    return _where(text, text.str.contains(pattern))


def _where(values: pl.Series, condition: pl.Series) -> pl.Series:
    """The values, null where the condition does not hold."""
    return values if condition.all() else values.zip_with(condition.fill_null(value=False), values.clear(1))


def _int(text: pl.Series) -> pl.Series:
    return _matching(text, _LONG).cast(pl.Int32, strict=False)


def _long(text: pl.Series) -> pl.Series:
    return _matching(text, _LONG).cast(pl.Int64, strict=False)


def _float(text: pl.Series) -> pl.Series:
    number = _matching(text, _DOUBLE).cast(pl.Float32, strict=False)
    return _where(number, number.is_finite())


def _double(text: pl.Series) -> pl.Series:
    number = _matching(text, _DOUBLE).cast(pl.Float64, strict=False)
    return _where(number, number.is_finite())


def _decimal(text: pl.Series, precision: int, scale: int) -> pl.Series:
    whole = rf"(?P<sign>[+-]?)0*(?P<whole>[0-9]{{0,{precision - scale}}})"
    pattern = rf"^{whole}(?:\.(?P<fraction>[0-9]{{0,{scale}}})0*)?$"
    part = _matching(text, "[0-9]").str.extract_groups(pattern).struct.unnest()
    fraction = part["fraction"].fill_null("").str.pad_end(scale, "0")
    digits = part.select(
        pl.when(pl.col("sign") == "-").then(pl.lit("-")).otherwise(pl.lit(""))
        + pl.when(pl.col("whole") == "").then(pl.lit("0")).otherwise(pl.col("whole"))
    ).to_series()
    return digits + "." + fraction if scale else digits


def _boolean(text: pl.Series) -> pl.Series:
    word = text.str.to_lowercase()
    true = word.is_in(["true", "1"])
    return _where(true, true | word.is_in(["false", "0"]))


def _date(text: pl.Series) -> pl.Series:
    day = _matching(text, _DATE).str.to_date("%Y-%m-%d", strict=False)
    return _where(day, day.cast(pl.Int32) >= FIRST_DAY)


def _time(text: pl.Series) -> pl.Series:
    part = text.str.extract_groups(_TIME).struct.unnest()
    return _microseconds(part)


def _timestamp(text: pl.Series) -> pl.Series:
    # Null groups are parts that are not there; the date is null where nothing matched.
    part = text.str.extract_groups(_TIMESTAMP).struct.unnest()
    moment = _moment(part)
    if part["sign"].null_count() < len(part):
        offset = 60 * part["offset_hours"].cast(pl.Int64) + part["offset_minutes"].cast(pl.Int64)
        moment -= (offset * (part["sign"] + "1").cast(pl.Int64) * 60_000_000).fill_null(0)
    within = moment.is_between(_FIRST_MICROSECOND, _LAST_MICROSECOND)
    return _where(moment, within).cast(pl.Datetime("us", "UTC"))


def _wall_clock(text: pl.Series) -> pl.Series:
    moment = _moment(text.str.extract_groups(_WALL_CLOCK).struct.unnest())
    return _where(moment, moment >= _FIRST_MICROSECOND).cast(pl.Datetime("us"))


def _moment(part: pl.DataFrame) -> pl.Series:
    day = part["date"].str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64)
    return day * DAY_MICROSECONDS + _microseconds(part).fill_null(0)


def _microseconds(part: pl.DataFrame) -> pl.Series:
    """The time of day; null where there is none."""
    minute = part["minute"]
    seconds = 3600 * minute.str.slice(0, 2).cast(pl.Int64) + 60 * minute.str.slice(3, 2).cast(pl.Int64)
    seconds += part["second"].fill_null("00").cast(pl.Int64)
    microseconds = 1_000_000 * seconds
    if part["fraction"].null_count() < len(part):
        microseconds += part["fraction"].fill_null("0").str.pad_end(6, "0").cast(pl.Int64)
    return microseconds


def _binary(text: pl.Series) -> pl.Series:
    return _matching(text, _BASE64).str.decode("base64", strict=False)


_CONVERSIONS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _double,
    "boolean": _boolean,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamp_ntz": _wall_clock,
    "binary": _binary,
}
