"""The types that a column may have, and the Arrow type of each. Every column may be null.

Types are strings: `string`, `int` (32 bits), `long` (64), `float` (32), `double` (64), `boolean`, `date`, `time` of
day, `timestamp` (an instant, UTC) and `timestamp_ntz` (a wall clock), all three in microseconds, `binary`, `json` (text
that holds one JSON value) and `decimal(P,S)` with P digits in all, S of them after the point. Dates, timestamps and
wall clocks lie in the years 1 to 9999.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESCUED: Final = "_rescued"
"""Column of the rows that were kept although a value did not fit: a JSON object of column to value as it stood."""

MAX_DECIMAL_DIGITS: Final = 38

FIRST_DAY: Final = -719_162
"""0001-01-01 in days since 1970-01-01."""

LAST_DAY: Final = 2_932_896
"""9999-12-31."""

DAY_MICROSECONDS: Final = 86_400_000_000

_ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "timestamp_ntz": pa.timestamp("us"),
    "binary": pa.binary(),
    "json": pa.string(),
}
_DESCRIPTIONS: Final[dict[str, str]] = {
    "string": "a string of valid Unicode",
    "int": "an int (a whole number of at most 32 bits)",
    "long": "a long (a whole number of at most 64 bits)",
    "float": "a float (a finite number of single precision)",
    "double": "a double (a finite decimal number)",
    "boolean": "a boolean (true or false)",
    "date": "a date (YYYY-MM-DD)",
    "time": "a time (HH:MM:SS, to the microsecond)",
    "timestamp": "a timestamp (ISO 8601, to the microsecond)",
    "timestamp_ntz": "a timestamp_ntz (ISO 8601 without an offset, to the microsecond)",
    "binary": "a binary (base64 where it is text)",
    "json": "a json (one JSON value)",
}
_DECIMAL: Final = re.compile(r"decimal\(([1-9][0-9]?), ?([0-9]{1,2})\)")
_FAMILIES: Final[tuple[tuple[str, str], ...]] = (
    ("is_boolean", "boolean"),
    ("is_int64", "long"),
    ("is_uint32", "long"),
    ("is_uint64", "decimal(20,0)"),
    ("is_integer", "int"),
    ("is_float64", "double"),
    ("is_floating", "float"),
    ("is_date", "date"),
    ("is_time", "time"),
    ("is_duration", "long"),
    ("is_string", "string"),
    ("is_large_string", "string"),
    ("is_string_view", "string"),
    ("is_null", "string"),
    ("is_binary", "binary"),
    ("is_large_binary", "binary"),
    ("is_binary_view", "binary"),
    ("is_fixed_size_binary", "binary"),
)


def decimal_digits(kind: str) -> tuple[int, int] | None:
    """Return P and S of `decimal(P,S)`; None for any other type.

    Raises:
        ValueError: for a decimal of more than 38 digits, or with more of them after the point than in all.
    """
    found = _DECIMAL.fullmatch(kind)
    if found is None:
        return None
    precision, scale = int(found[1]), int(found[2])
    if precision > MAX_DECIMAL_DIGITS or scale > precision:
        raise ValueError(
            f"there is no {kind}: a decimal has at most {MAX_DECIMAL_DIGITS} digits, and not more after the point"
        )
    return precision, scale


def arrow_type(kind: str) -> pa.DataType:
    """Return the Arrow type that holds a column type.

    Raises:
        ValueError: there is no such type.
    """
    if kind in _ARROW_TYPES:
        return _ARROW_TYPES[kind]
    digits = decimal_digits(kind)
    if digits is None:
        raise ValueError(f"unknown column type {kind!r}: choose from {', '.join(_ARROW_TYPES)}, decimal(P,S)")
    return pa.decimal128(*digits)


def type_of(dtype: pa.DataType) -> str:
    """Return the column type that holds every value of an Arrow type; `json` for what has parts.

    A `timestamp` of nanoseconds holds more than the microseconds of the column type: whoever finds such values declares
    `long`, which takes the nanoseconds since 1970.
    """
    if isinstance(dtype, pa.BaseExtensionType):
        return "json" if dtype.extension_name == "arrow.json" else type_of(dtype.storage_type)
    if isinstance(dtype, pa.DictionaryType | pa.RunEndEncodedType):
        return type_of(dtype.value_type)
    if isinstance(dtype, pa.TimestampType):
        return "timestamp" if dtype.tz else "timestamp_ntz"
    if pa.types.is_decimal(dtype):
        found = cast("pa.Decimal128Type", dtype)
        return decimal_kind(found.precision, found.scale)
    for test, kind in _FAMILIES:
        if getattr(pa.types, test)(dtype):
            return kind
    return "json"


def decimal_kind(precision: int, scale: int) -> str:
    """Return the type of numbers with so many digits: a decimal, or `json`, which holds any number, where none can."""
    if scale < 0:  # whole numbers with zeros at their end
        precision, scale = precision - scale, 0
    precision = max(precision, scale)
    return f"decimal({precision},{scale})" if precision <= MAX_DECIMAL_DIGITS else "json"


def describe(kind: str) -> str:
    """Return what a value of this type is, for a sentence such as "'abc' is not a double"."""
    return _DESCRIPTIONS.get(kind) or f"a {kind} (a decimal number that needs no rounding)"


def arrow_schema(columns: Mapping[str, str], *, rescue: bool = False) -> pa.Schema:
    """Return the Arrow schema of declared columns, in their order, all of them nullable.

    Args:
        columns: name to type.
        rescue: whether `RESCUED` follows them.

    Raises:
        ValueError: if no column is declared, one has a type that there is not, or the name of `RESCUED`.
    """
    if not columns:
        raise ValueError("no columns are declared: declare at least one, such as {'id': 'long'}")
    if RESCUED in columns:
        raise ValueError(f"column {RESCUED!r} is the reader's own; rename it")
    fields: Iterable[tuple[str, str]] = [*columns.items(), *([(RESCUED, "string")] if rescue else [])]
    made: list[pa.Field[Any]] = [pa.field(name, arrow_type(kind), nullable=True) for name, kind in fields]
    return pa.schema(made)
