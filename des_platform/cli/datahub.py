"""`des datahub`: files of a DataHub, a month at a time."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from des_platform.sources.datahub.config import DataHubConfig
    from des_platform.sources.datahub.report import TakeReport

app = typer.Typer(no_args_is_help=True, help="Files of a DataHub, a month at a time.")

_FIRST_YEAR = 2000
_MONTHS = 12
_SHOW_EVERY = 5  # batches
_LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@app.callback()
def _group() -> None:
    """Take files from the DataHubs of the sources file."""


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="name of the DataHub in the sources file")],
    month: Annotated[int, typer.Argument(help="month of the uploads, UTC", min=1, max=_MONTHS)],
    year: Annotated[int, typer.Argument(help="year of the uploads, from 2000 to this one", min=_FIRST_YEAR)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count the files and their bytes; take none")] = False,
    batch_size: Annotated[int | None, typer.Option(help="rows read from the table at once", min=1, max=10_000)] = None,
    size_threshold: Annotated[int | None, typer.Option(help="only files larger than this many bytes", min=0)] = None,
    log_level: Annotated[LogLevel, typer.Option(help="what is logged, on standard error")] = LogLevel.INFO,
) -> None:
    """Take the files of one month: those that are large enough, not compressed, and not taken before.

    The last line on standard output is the statistics as JSON. Exit code 1 says that files were given up; they are in
    the dead letters.
    """
    from des_platform.catalog import partitions
    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import Buckets
    from des_platform.sources.datahub.source import DataHubSource
    from des_platform.sources.recording import Recorder

    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, stream=sys.stderr)
    logging.getLogger("des_platform").setLevel(log_level.value)  # the platform's own words, not its libraries'
    if year > datetime.now(UTC).year:
        raise ConfigurationError(f"the year is {year}, expected {_FIRST_YEAR} to {datetime.now(UTC).year}")
    demo_environment()
    settings = load_settings()
    changes = {"batch_size": batch_size, "size_threshold": size_threshold}
    config = _config(name).model_copy(update={field: value for field, value in changes.items() if value is not None})
    with Catalog.open(settings) as catalog:
        with catalog.begin() as connection:
            datasets = partitions.known_datasets(connection)
        source = DataHubSource(config, Recorder(catalog, Buckets(settings), datasets))
        if dry_run:
            _print_survey(source.survey(year, month))
            return
        report = source.take(year, month, progress=lambda report: _show(report, config))
    print(json.dumps(report.statistics()))
    raise SystemExit(1 if report.failed else 0)


def _config(name: str) -> DataHubConfig:
    from des_platform.sources.config import load_sources

    known = {config.name: config for config in load_sources(load_settings()).datahubs}
    if name not in known:
        names = ", ".join(sorted(known)) or "none; add one to `datahubs` in the file that DES_SOURCES names"
        raise ConfigurationError(f"no DataHub is called {name}; known are {names}")
    return known[name]


def _print_survey(report: TakeReport) -> None:
    waiting = report.candidates - report.known
    print(
        f"{report.month:%Y-%m}: {report.candidates:,} candidates of {report.candidate_bytes / 1e6:,.1f} MB, "
        f"{report.known:,} of them taken or given up before, {waiting:,} to take"
    )


def _show(report: TakeReport, config: DataHubConfig) -> None:
    if report.processed % (config.batch_size * _SHOW_EVERY) == 0:
        logging.getLogger(__name__).info(
            "%d files taken, %d given up, %.1f MB", report.taken, report.failed, report.bytes / 1e6
        )
