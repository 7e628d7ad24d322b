"""`des report`: a day's compression report written anew, and all of them served over HTTP."""

from __future__ import annotations

import sys
import webbrowser
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset


class _WriteByDefault(TyperGroup):
    """`des report DATASET DAY` means `des report write DATASET DAY`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["write", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_WriteByDefault, no_args_is_help=True, help="What compression made of a day, as a page.")

_Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="the dataset's name")]
_Day = Annotated[str, typer.Argument(metavar="DAY", help="the day (UTC), as 2026-03-01")]
_Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="write the page to this file instead of the platform's bucket")
]
_Open = Annotated[bool, typer.Option("--open", help="open the page in a browser")]
_Host = Annotated[str, typer.Option(help="address to listen on; any but a loopback one needs DES_REPORTS_KEY")]
_Port = Annotated[int | None, typer.Option(help="TCP port; DES_REPORTS_PORT, else 9102", min=1, max=65535)]


@app.command()
def write(dataset: _Dataset, day: _Day, output: _Output = None, show: _Open = False) -> None:
    """Write a day's compression report from what the catalogue knows now, and print where it is.

    `des report DATASET DAY` says the same.
    """
    from des_platform.catalog.database import Catalog
    from des_platform.compression.report import report_link, report_page, write_report
    from des_platform.objectstore import Buckets

    demo_environment()
    settings = load_settings()
    asked = _day(day)
    with Catalog.open(settings) as catalog:
        found = _known(catalog, dataset, asked)
        if output is None:
            write_report(catalog, Buckets(settings), found, asked, price=settings.storage_price)
            where = report_link(settings, dataset, asked)
        else:
            _save(output, report_page(catalog, found, asked, price=settings.storage_price))
            where = output.resolve().as_uri()
    print(where)
    if show:
        _browse(where)


@app.command()
def serve(host: _Host = "127.0.0.1", port: _Port = None) -> None:
    """Serve the reports of the platform's bucket to browsers."""
    from des_platform.objectstore import Buckets
    from des_platform.services.reports import reports_server

    demo_environment()
    settings = load_settings()
    key = settings.reports_key.get_secret_value()
    with reports_server(Buckets(settings).own, host, port or settings.reports_port, key) as server:
        print(f"reports at http://{host}:{server.server_port}/  (Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no day; expected one such as 2026-03-01") from None


def _known(catalog: Catalog, name: str, day: date) -> Dataset:
    from des_platform.catalog import files, partitions

    with catalog.begin() as connection:
        known = {dataset.name: dataset for dataset in partitions.known_datasets(connection)}
        if name not in known:
            raise ConfigurationError(f"no dataset is called {name!r}; known are {', '.join(sorted(known))}")
        if not files.totals(connection, name, day).files:
            print(f"des: {name} has no catalogued file of {day}, so there is nothing to report", file=sys.stderr)
            raise SystemExit(1)
    return known[name]


def _save(output: Path, page: str) -> None:
    try:
        output.write_text(page, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from None


def _browse(where: str) -> None:
    if where.startswith("s3://"):
        raise ConfigurationError("a browser cannot open s3://: set DES_REPORTS_URL, or write the page to a file (-o)")
    if not webbrowser.open(where):
        raise ConfigurationError("no browser could be started here; open the address above in one")
