"""`des keys`: who may use the lake API."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.outcome import printable
from des_platform.cli.demo.state import demo_environment
from des_platform.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import sqlalchemy as sa

app = typer.Typer(no_args_is_help=True, help="Keys to the lake API.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="what its owner is called, in logs too")]
_Scopes = Annotated[
    list[str],
    typer.Option("--scope", help="lake:read, lake:write (reads too) or lake:admin (all); may be repeated"),
]


@app.command()
def create(name: _Name, scope: _Scopes) -> None:
    """Make a key and print it: only its hash is kept, so nobody can show it again."""
    from des_platform.catalog import api_keys

    with _catalogue() as connection:
        key = api_keys.create(connection, name, scope)
    print(key)


@app.command()
def ls() -> None:
    """List every key that was ever made, without the keys themselves."""
    from des_platform.catalog import api_keys

    with _catalogue() as connection:
        found = api_keys.listing(connection)
    print(f"{'made':<16}  {'last used':<16}  {'revoked':<16}  scopes, name (times in UTC)")
    for key in found:
        times = "  ".join(f"{_minute(time):<16}" for time in (key.created_at, key.last_used_at, key.revoked_at))
        print(f"{times}  {' '.join(key.scopes)}, {printable(key.name)}")


@app.command()
def revoke(name: _Name) -> None:
    """Refuse a key from now on."""
    from des_platform.catalog import api_keys

    with _catalogue() as connection:
        api_keys.revoke(connection, name)
    print(f"{printable(name)} is revoked")


@contextmanager
def _catalogue() -> Iterator[sa.Connection]:
    from des_platform.catalog.database import Catalog

    demo_environment()
    with Catalog.open(load_settings()) as catalog, catalog.begin() as connection:
        yield connection


def _minute(moment: datetime | None) -> str:
    from datetime import UTC

    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "-"
