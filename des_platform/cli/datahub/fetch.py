"""`des datahub fetch`: files of a DataHub into the platform, a month at a time."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.datahub.arguments import (
    BatchSize,
    LogLevel,
    MonthNumber,
    SizeThreshold,
    Year,
    check_year,
    log_to_stderr,
)
from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from des_platform.sources.datahub.config import DataHubConfig
    from des_platform.sources.datahub.report import TakeReport

_SHOW_EVERY = 5  # batches


def fetch(
    name: Annotated[str, typer.Argument(help="name of the DataHub in the sources file")],
    month: MonthNumber,
    year: Year,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count the files and their bytes; take none")] = False,
    batch_size: BatchSize = None,
    size_threshold: SizeThreshold = None,
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

    log_to_stderr(log_level.value)
    check_year(year)
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
