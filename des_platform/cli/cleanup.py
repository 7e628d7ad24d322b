"""`des cleanup`: what the clean-up of originals is about to remove, and keeping it from that."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.outcome import printable
from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import sqlalchemy as sa

    from des_platform.catalog.cleanups import Cleanup, Share
    from des_platform.catalog.dataset import Dataset

app = typer.Typer(no_args_is_help=True, help="Originals whose copies are proven: what goes, when, and what stays.")

_Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="the dataset's name")]
_Day = Annotated[datetime | None, typer.Argument(metavar="[DAY]", formats=["%Y-%m-%d"], help="one day (UTC)")]
_All = Annotated[bool, typer.Option("--all", help="every day of the dataset")]
_Limit = Annotated[int, typer.Option(help="most files of a day to show", min=1)]
_Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]

_WITHDRAWN = "withdrawn by des cleanup withdraw"


@app.command()
def plan(dataset: _Dataset, day: _Day = None, *, limit: _Limit = 100, as_json: _Json = False) -> None:
    """Show what would go, when, and how many bytes: a line a day and state, or each file of a day.

    What the next run would plan is shown as if it had; nothing is changed.
    """
    from des_platform.catalog import cleanups

    with _catalogued(dataset) as (connection, definition, own_bucket):
        date_ = day.date() if day else None
        with connection.begin_nested() as trial:
            cleanups.plan(connection, definition, date_, own_bucket=own_bucket)
            shares = cleanups.shares(connection, dataset, date_)
            found = cleanups.of_day(connection, dataset, date_, limit) if date_ else []
            trial.rollback()
    if as_json:
        for item in found or shares:
            print(json.dumps(asdict(item), default=str))
        return
    _print_plan(definition, shares, found)


@app.command()
def withdraw(dataset: _Dataset, day: _Day = None, everything: _All = False) -> None:
    """Keep the originals of the files that there are, of a day or of all, until they are reinstated."""
    from des_platform.catalog import cleanups

    chosen = _chosen(day, everything=everything)
    with _catalogued(dataset) as (connection, definition, own_bucket):
        # What no run has planned yet is planned first, so that it can be withdrawn, too.
        cleanups.plan(connection, definition, chosen, own_bucket=own_bucket)
        number = cleanups.withdraw(connection, dataset, chosen, _WITHDRAWN)
        gone = sum(share.files for share in cleanups.shares(connection, dataset, chosen) if share.state == "removed")
    print(f"{number} withdrawn" + (f"; the originals of {gone} were removed before" if gone else ""))


@app.command()
def reinstate(dataset: _Dataset, day: _Day = None, everything: _All = False) -> None:
    """Plan again what was withdrawn or refused, of a day or of all; what is due goes with the next run."""
    from des_platform.catalog import cleanups

    chosen = _chosen(day, everything=everything)
    with _catalogued(dataset) as (connection, definition, _):
        if definition.originals_after_days is None:
            raise ConfigurationError(
                f"{dataset} keeps its originals: write `originals: after-verify` into its definition, or `after N days`"
            )
        number = cleanups.reinstate(connection, dataset, chosen)
    print(f"{number} planned again")


def _chosen(day: datetime | None, *, everything: bool) -> date | None:
    if (day is None) != everything:
        raise ConfigurationError("name a day as YYYY-MM-DD, or say --all; `des cleanup plan DATASET` shows the days")
    return None if day is None else day.date()


@contextmanager
def _catalogued(name: str) -> Iterator[tuple[sa.Connection, Dataset, str]]:
    """A transaction on the catalogue, the dataset as it is known there, and the platform's own bucket."""
    from des_platform.catalog import partitions
    from des_platform.catalog.database import Catalog

    demo_environment()
    settings = load_settings()
    with Catalog.open(settings) as catalog, catalog.begin() as connection:
        known = {dataset.name: dataset for dataset in partitions.known_datasets(connection)}
        if name not in known:
            raise ConfigurationError(f"no dataset is called {name!r}; known are {', '.join(sorted(known))}")
        yield connection, known[name], settings.bucket


def _print_plan(dataset: Dataset, shares: list[Share], found: list[Cleanup]) -> None:
    print(f"originals of {dataset.name}: {dataset.originals}")
    if found:
        print(f"{'due (UTC)':<16}  {'state':<9}  {'bytes':>17}  original")
    elif shares:
        print(f"{'day':<10}  {'state':<9}  {'files':>11}  {'bytes':>19}  {'due from (UTC)':<16}  to")
    for file in found:
        print(
            f"{_minute(file.due_at)}  {file.state:<9}  {file.size:>17,}  {printable(f'{file.bucket}/{file.key}')}"
            + (f"\n    {printable(file.reason)}" if file.reason else "")
        )
    for share in [] if found else shares:
        due = f"{_minute(share.first_due)}  {_minute(share.last_due)}"
        print(f"{share.day}  {share.state:<9}  {share.files:>11,}  {share.bytes:>19,}  {due}")
    planned = [share for share in shares if share.state == "planned"]
    files, size = sum(share.files for share in planned), sum(share.bytes for share in planned)
    print(f"{files:,} originals with {size:,} bytes are planned")


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
