"""`des table sql|origins|export`: a table for others: as a query, by the runs that brought its rows, as plain files."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.outcome import printable
from des_platform.cli.archive.progress import in_units
from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from des_platform.lake.tables import Lake

_Name = Annotated[str, typer.Argument(metavar="TABLE", help="the table's name")]
_Day = Annotated[datetime, typer.Argument(metavar="DAY", formats=["%Y-%m-%d"], help="a day (UTC)")]
_Days = Annotated[
    list[datetime] | None, typer.Option("--day", formats=["%Y-%m-%d"], help="only this day (UTC); may be given again")
]
_Out = Annotated[str, typer.Argument(metavar="OUT", help="folder, or s3://BUCKET/PREFIX")]


def sql(table: _Name) -> None:
    """Print the query that gives DuckDB the table's rows as they are now, whatever its columns were called before."""
    from des_platform.lake.engines import duckdb_sql

    with closing(_lake()) as lake:
        print(duckdb_sql(_known(lake, table)))


def origins(table: _Name, day: _Day, *, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Tell which runs brought the rows that a day has now."""
    with closing(_lake()) as lake:
        _known(lake, table)
        found = lake.origins(table, day.date())
    for origin in found:
        if as_json:
            print(json.dumps({"rows": origin.rows, "files": origin.files, "properties": origin.properties}))
        else:
            told = ", ".join(f"{name}={value}" for name, value in origin.properties.items())
            print(f"{origin.rows:>15,} rows  {printable(told)}")


def export(table: _Name, out: _Out, *, days: _Days = None) -> None:
    """Write a table as plain Parquet files below k=v folders; nothing is overwritten."""
    rows = size = files = 0
    with closing(_lake()) as lake:
        _known(lake, table)
        try:
            for file in lake.export(table, out, [day.date() for day in days] if days else None):
                rows, size, files = rows + file.rows, size + file.bytes, files + 1
                print(f"{file.rows:>15,} rows  {in_units(file.bytes):>10}  {printable(file.path)}")
        except FileExistsError as error:
            raise ConfigurationError(f"{error}: export into an empty folder") from None
    print(f"{rows:>15,} rows  {in_units(size):>10}  in {files} files")


def _lake() -> Lake:
    from des_platform.lake.tables import Lake

    demo_environment()
    return Lake(load_settings())


def _known(lake: Lake, name: str) -> Table:
    try:
        return lake.table(name)
    except LookupError:
        raise ConfigurationError(f"the lake has no table {name!r}: `des table ls` lists those it has") from None
