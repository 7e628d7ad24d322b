"""Text to typed columns, by vectorised casts that never fail: what is no value of the type becomes null.

Accepted, and nothing else, not even with a space around it:

* long: decimal digits with an optional sign, within 64 bits;
* double: decimal digits with an optional sign, point and exponent; what rounds to infinity is not accepted;
* boolean: `true`, `false`, `1`, `0`, in any case;
* date: `YYYY-MM-DD`, a day that exists, in the years 1 to 9999;
* timestamp: ISO 8601 `YYYY-MM-DD`, then optionally `T` or a space, `HH:MM`, `:SS`, `.` and up to nine digits of which
  six count (a microsecond is the column's resolution), and `Z`, `+HH:MM` or `+HHMM`. Without an offset it is UTC,
  without a time it is midnight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from des_platform.parquet.columns import ColumnType, arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The casts alone would take more than is documented: a date as 2024-1-1, a time with second 60.
_LONG = r"^[+-]?[0-9]+$"
_DOUBLE = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIMESTAMP = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?:Z|(?P<sign>[+-])(?P<offset_hours>[01][0-9]|2[0-3]):?(?P<offset_minutes>[0-5][0-9]))?)?$"
)
_FIRST_DAY = -719_162  # 0001-01-01 in days since 1970-01-01
_FIRST_MICROSECOND = _FIRST_DAY * 86_400_000_000
_LAST_MICROSECOND = 253_402_300_799_999_999  # the end of 9999-12-31


def from_text(values: Sequence[str | None], column_type: ColumnType) -> pa.Array[Any]:
    """Convert text to a column.

    Args:
        values: one per row; None is null.
        column_type: the type of the column.

    Returns:
        An array of `arrow_type(column_type)`: null where the value is None or no value of the type.
    """
    if column_type is ColumnType.STRING:
        return pa.array(values, pa.string())
    text = pl.Series(values, dtype=pl.String)
    return _CONVERSIONS[column_type](text).to_arrow().cast(arrow_type(column_type))


def _matching(text: pl.Series, pattern: str) -> pl.Series:
    return _where(text, text.str.contains(pattern))


def _where(values: pl.Series, condition: pl.Series) -> pl.Series:
    """The values, null where the condition does not hold."""
    return values if condition.all() else values.zip_with(condition.fill_null(value=False), values.clear(1))


def _long(text: pl.Series) -> pl.Series:
    return _matching(text, _LONG).cast(pl.Int64, strict=False)


def _double(text: pl.Series) -> pl.Series:
    number = _matching(text, _DOUBLE).cast(pl.Float64, strict=False)
    return _where(number, number.is_finite())


def _boolean(text: pl.Series) -> pl.Series:
    word = text.str.to_lowercase()
    true = word.is_in(["true", "1"])
    return _where(true, true | word.is_in(["false", "0"]))


def _date(text: pl.Series) -> pl.Series:
    day = _matching(text, _DATE).str.to_date("%Y-%m-%d", strict=False)
    return _where(day, day.cast(pl.Int32) >= _FIRST_DAY)


def _timestamp(text: pl.Series) -> pl.Series:
    # Null groups are parts that are not there; the date is null where nothing matched.
    part = text.str.extract_groups(_TIMESTAMP).struct.unnest()
    clock = part.select(
        pl.concat_str("date", pl.col("minute").fill_null("00:00"), pl.col("second").fill_null("00"), separator=" ")
    ).to_series()
    moment = clock.str.to_datetime("%Y-%m-%d %H:%M %S", time_unit="us", strict=False).cast(pl.Int64)
    if part["fraction"].null_count() < len(part):
        microseconds = part["fraction"].fill_null("0").str.pad_end(6, "0").str.slice(0, 6)
        moment += microseconds.cast(pl.Int64)
    if part["sign"].null_count() < len(part):
        offset = 60 * part["offset_hours"].cast(pl.Int64) + part["offset_minutes"].cast(pl.Int64)
        moment -= (offset * (part["sign"] + "1").cast(pl.Int64) * 60_000_000).fill_null(0)
    within = moment.is_between(_FIRST_MICROSECOND, _LAST_MICROSECOND)
    return _where(moment, within).cast(pl.Datetime("us", "UTC"))


_CONVERSIONS: dict[ColumnType, Callable[[pl.Series], pl.Series]] = {
    ColumnType.LONG: _long,
    ColumnType.DOUBLE: _double,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATE: _date,
    ColumnType.TIMESTAMP: _timestamp,
}
