"""The column types that a dataset may declare, and the Arrow type of each. Every column may be null."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping


class ColumnType(StrEnum):
    """What a declared column holds."""

    STRING = "string"
    LONG = "long"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


_ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.STRING: pa.string(),
    ColumnType.LONG: pa.int64(),
    ColumnType.DOUBLE: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}

_DESCRIPTIONS: dict[ColumnType, str] = {
    ColumnType.STRING: "a string of valid Unicode",
    ColumnType.LONG: "a long (a whole number of at most 64 bits)",
    ColumnType.DOUBLE: "a double (a finite decimal number)",
    ColumnType.BOOLEAN: "a boolean (true or false)",
    ColumnType.DATE: "a date (YYYY-MM-DD)",
    ColumnType.TIMESTAMP: "a timestamp (ISO 8601)",
}


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """Return the Arrow type that holds a column type; a timestamp counts microseconds of UTC."""
    return _ARROW_TYPES[column_type]


def describe(column_type: ColumnType) -> str:
    """Return what a value of this type is, for a sentence such as "'abc' is not a double"."""
    return _DESCRIPTIONS[column_type]


def arrow_schema(columns: Mapping[str, ColumnType]) -> pa.Schema:
    """Return the Arrow schema of declared columns, in their order, all of them nullable.

    Raises:
        ValueError: if no column is declared, or one has a type that there is not.
    """
    if not columns:
        raise ValueError("no columns are declared: declare at least one, such as {'id': 'long'}")
    return pa.schema([pa.field(name, arrow_type(ColumnType(kind)), nullable=True) for name, kind in columns.items()])
