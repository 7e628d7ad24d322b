"""The SQL that gives the whole table of a file, in DuckDB's dialect; names and texts in it are quoted.

A file without columns that follow from others is that table already, but for the two columns that are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.codecs.records.dense import PREFIX, Dense
from des_platform.codecs.records.times import is_date, is_utc, unit_of
from des_platform.codecs.records.values import PRECISION, Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE = "{file}"
"""Stands in the SQL for the file's path, to be put between its quotes."""

SQL_KEY = b"des:sql"
BLOCK = "des:block"
TEMPLATE = "des:template"
_ROW = "des:row"
_FILE_ROWS = f"read_parquet('{FILE}', file_row_number = true)"


def table_sql(columns: Sequence[Column], relations: Sequence[Dense]) -> str:
    """Write the query.

    Args:
        columns: of the table.
        relations: in the order in which they are undone.
    """
    named = {column.name: column for column in columns}
    steps = [f"s0 AS (SELECT *, file_row_number AS {_name(_ROW)} FROM {_FILE_ROWS} WHERE {_name(TEMPLATE)} > 0)"]  # noqa: S608 - names are quoted
    for number, dense in enumerate(relations):
        value, join = _step(dense, named, f"s{number}")
        steps.append(f"s{number + 1} AS (SELECT s{number}.*, {value} AS {_name(dense.column)} FROM s{number}{join})")  # noqa: S608
    chosen = ", ".join(_name(column.name) for column in columns)
    return f"WITH {', '.join(steps)} SELECT {chosen} FROM s{len(relations)} ORDER BY {_name(_ROW)}"  # noqa: S608


def table_query(metadata: Mapping[bytes, bytes], file: str) -> str:
    """The query that gives the whole table of a file.

    Args:
        metadata: the file's key-value metadata.
        file: its path, or whatever `read_parquet` reads.

    Raises:
        KeyError: the file is none of records.
    """
    return metadata[SQL_KEY].decode().replace(FILE, file.replace("'", "''"), 1)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _step(dense: Dense, named: dict[str, Column], table: str) -> tuple[str, str]:
    """The expression of a column, and what is joined for it."""
    column = named[dense.column]
    if dense.how == "lookup":
        key = named[dense.of]
        rows = ", ".join(
            f"({_literal(one)}, {_literal(two)})" for one, two in zip(dense.keys, dense.values, strict=True)
        )
        kinds = "VARCHAR" if key.is_text else "BIGINT", "VARCHAR" if column.is_text else "BIGINT"
        join = (
            f" LEFT JOIN (SELECT CAST(k AS {kinds[0]}) AS k, CAST(v AS {kinds[1]}) AS v FROM (VALUES {rows})"  # noqa: S608
            f" AS t(k, v)) AS t ON {_beneath(key, table)} IS NOT DISTINCT FROM t.k"
        )
        return _above(column, "t.v"), join
    rest = f"{table}.{_name(PREFIX + dense.column)}"
    number = f"(xor({rest} >> 1, -({rest} & 1)) * {dense.step})"
    if dense.how == "difference":
        number = f"({number} + coalesce({_beneath(named[dense.of], table)}, 0))"
    elif dense.how == "previous":
        by = f", {table}.{_name(dense.by)}" if dense.by else ""
        number = (
            f"CASE WHEN {rest} IS NOT NULL THEN CAST(sum({number}) OVER (PARTITION BY {_name(BLOCK)}{by}"
            f" ORDER BY {_name(_ROW)} ROWS UNBOUNDED PRECEDING) AS BIGINT) END"
        )
    return _above(column, number), ""


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return str(int(value)) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _beneath(column: Column, table: str) -> str:
    """The integers beneath a column, or its texts."""
    name = f"{table}.{_name(column.name)}"
    match column.kind:
        case "decimal" | "trimmed":
            return f"CAST({name} * {10**column.scale} AS BIGINT)"
        case "time" if is_date(column.layout):
            return f"({name} - DATE '1970-01-01')"
        case "time":
            return f"(epoch_us({name}) // {1000 if unit_of(column.layout) == 'ms' else 1})"
        case "boolean":
            return f"CAST({name} AS BIGINT)"
        case _:
            return name


def _above(column: Column, number: str) -> str:
    """Undo `_beneath`."""
    match column.kind:
        case "decimal" | "trimmed":
            kind = f"DECIMAL({PRECISION}, {column.scale})"
            return f"CAST(CAST({number} AS DECIMAL({PRECISION}, 0)) * CAST('1e-{column.scale}' AS {kind}) AS {kind})"
        case "time" if is_date(column.layout):
            return f"(DATE '1970-01-01' + CAST({number} AS INTEGER))"
        case "time":
            make = "make_timestamptz" if is_utc(column.layout) else "make_timestamp"
            return f"{make}({number} * {1000 if unit_of(column.layout) == 'ms' else 1})"
        case "boolean":
            return f"CAST({number} AS BOOLEAN)"
        case _:
            return number
