"""The lake's results, errors, column types and reserved columns; importing them costs nothing.

Everybody who only names a lake type (assets, components, the command line) imports this module; pyiceberg costs a
second of start-up and comes in with the first `Lake`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COLUMN_TYPES: Final = ("string", "long", "double", "boolean", "date", "timestamp")
"""Types a column may declare; `timestamp` is an instant: microseconds, UTC."""

DAY: Final = "_day"
"""Partition column of every table: the UTC day whose replacement brought the row."""

FILE: Final = "_file"
"""Lineage: DES name of the file that the row came from."""

LINE: Final = "_line"
"""Lineage: line (or record) number in that file."""

RESERVED_COLUMNS: Final = {DAY: "date", FILE: "string", LINE: "long"}
"""Columns that every table has beside the declared ones, with their types."""


class SchemaConflict(Exception):
    """Data or a declaration does not fit the table's schema; nothing was changed.

    Attributes:
        table: the table.
        column: the column that does not fit.
        found: what is there: the type in the table, or in the data.
        declared: what was asked for.
        advice: what to do next.
    """

    def __init__(self, table: str, column: str, found: str, declared: str, advice: str) -> None:
        super().__init__(table, column, found, declared, advice)
        self.table, self.column, self.found, self.declared, self.advice = table, column, found, declared, advice

    def __str__(self) -> str:
        return (
            f"table {self.table!r}, column {self.column!r}: found {self.found}, declared {self.declared}; {self.advice}"
        )


@dataclass(frozen=True, slots=True)
class Replaced:
    """One day after its replacement.

    Attributes:
        rows: rows of the day now.
        files: Parquet files that hold them.
        bytes: size of these files.
        snapshot_id: the table's snapshot that shows them; None while the table has never held a row.
        seconds: wall time of the replacement, writing included.
    """

    rows: int
    files: int
    bytes: int
    snapshot_id: int | None
    seconds: float
