"""The lake's results, errors, column types and reserved columns; importing them costs nothing.

Everybody who only names a lake type (assets, components, the command line) imports this module; pyiceberg costs a
second of start-up and comes in with the first `Lake`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

JSON_DOC: Final = "one JSON value"
"""What the lake's schema says of a column of type json, which Iceberg knows as a string."""

EPOCH: Final = date(1970, 1, 1)
"""The day from which Iceberg counts days."""

DAY: Final = "_day"
"""Partition column of every table: the UTC day whose replacement brought the row."""

FILE: Final = "_file"
"""Lineage: DES name of the file that the row came from."""

LINE: Final = "_line"
"""Lineage: line (or record) number in that file."""

RESCUED: Final = "_rescued"
"""Column of tables in rescue mode: a JSON object of column to the value that the column could not hold."""

RESERVED_COLUMNS: Final = {DAY: "date", FILE: "string", LINE: "long"}
"""Columns that every table has beside the declared ones, with their types. No declared name begins with `_`."""


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


class TableChanged(Exception):
    """The table was given another partitioning, or columns that the files do not suit, while they were written.

    Nothing was changed.

    Attributes:
        table: the table.
    """

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table

    def __str__(self) -> str:
        return (
            f"table {self.table!r}: its partitioning or its columns were changed while files were written for it;"
            " run the load again"
        )


class CommitUnknown(Exception):
    """The catalogue's answer to a commit is lost: the change has landed whole, or not at all.

    Replacing the same days or files again is safe either way.

    Attributes:
        table: the table.
        cause: what came instead of an answer.
    """

    def __init__(self, table: str, cause: Exception) -> None:
        super().__init__(table, cause)
        self.table, self.cause = table, cause

    def __str__(self) -> str:
        return (
            f"table {self.table!r}: the catalogue's answer to a commit is lost ({self.cause}), so it may have landed;"
            " look at the table's newest snapshot, or replace the same again, which is safe"
        )


@dataclass(frozen=True, slots=True)
class Replaced:
    """What one commit brought into a day, or into a table.

    Attributes:
        rows: rows of the day now, or rows appended.
        files: Parquet files that hold them.
        bytes: size of these files.
        snapshot_id: the table's snapshot that shows them; None while the table has never held a row.
        seconds: wall time of the whole commit, with the writing of all that it brought.
    """

    rows: int
    files: int
    bytes: int
    snapshot_id: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class PartitionStatistics:
    """One partition of a table, as its newest snapshot has it.

    Attributes:
        path: its values as `k=v/k=v`; see `partition_path`.
        values: key to value, as text; `_day` first.
        rows: rows in it.
        bytes: size of its files.
        files: how many there are.
        first_day: first day that brought rows.
        last_day: last one.
    """

    path: str
    values: dict[str, str | None]
    rows: int
    bytes: int
    files: int
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class Origin:
    """A commit that brought rows of a day which are there now.

    Attributes:
        properties: what the commit was told of itself, such as the run.
        rows: rows that are left of it.
        files: files that hold them.
        snapshot_id: the table's snapshot since which these files are there; compaction makes a new one.
    """

    properties: dict[str, str]
    rows: int
    files: int
    snapshot_id: int | None


@dataclass(frozen=True, slots=True)
class Exported:
    """One file of an export.

    Attributes:
        path: its URL.
        rows: rows in it.
        bytes: its size.
    """

    path: str
    rows: int
    bytes: int
