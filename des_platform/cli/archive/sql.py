"""`des archive sql`: questions about an archive's catalogue, by DuckDB."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from des_platform.cli.archive.options import Archive  # noqa: TC001 - typer reads it at run time
from des_platform.cli.archive.outcome import Unusable, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from des_platform.files.locations import Location

_PATTERN = frozenset("*?[]{}")
_ROWS_AT_ONCE = 1024
_WIDE = 10_000


class Form(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


_Query = Annotated[str, typer.Argument(help="SQL over the view `files`", show_default=False)]
_Form = Annotated[Form, typer.Option("--format", help="json is one object a line")]


def sql(archive: Archive, query: _Query, form: _Form = Form.TABLE) -> None:
    """Ask an archive's catalogue, the view `files`, without reading any of its files.

    It has name, data_offset, stored_size, size, flags, metadata, and the columns that the archive was given.
    """
    try:
        import duckdb
    except ImportError:
        raise Unusable("`des archive sql` needs DuckDB: pip install 'des-platform[sql]'") from None
    from des_platform.files.locations import locate

    with duckdb.connect() as connection, ExitStack() as stack:
        _register(connection, locate(archive), stack)
        try:
            found = connection.execute(query)
            _write([column[0] for column in found.description or ()], _rows(found), form)
        except duckdb.Error as error:
            raise Unusable(" ".join(str(error).partition("\n\n")[0].split())) from error


def _register(connection: duckdb.DuckDBPyConnection, location: Location, stack: ExitStack) -> None:
    """Make the view: of the archive itself where DuckDB can open it, else of a table in memory."""
    from des_platform.cli.archive.catalogue import catalogue_of
    from des_platform.files.locations import LocalLocation

    with location.reader() as reader:
        version = reader.version
    if version == 2 and isinstance(location, LocalLocation) and _PATTERN.isdisjoint(location.path):  # noqa: PLR2004
        connection.read_parquet(location.path).create_view("files")
        return
    stack.callback(connection.unregister, "files")
    connection.register("files", catalogue_of(location))


def _write(columns: list[str], rows: Iterator[tuple[Any, ...]], form: Form) -> None:
    if form is Form.TABLE:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns)
        for row in rows:
            table.add_row(*(Text("" if cell is None else printable(str(cell)), overflow="fold") for cell in row))
        Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
    elif form is Form.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        for row in rows:
            print(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=str))


def _rows(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := found.fetchmany(_ROWS_AT_ONCE):
        yield from rows
