"""`des datahub compress` and `audit`: files of a DataHub compressed in it, and the proof of what was done."""

from __future__ import annotations

import json
import logging
import signal
import sys
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.datahub.arguments import (
    BatchSize,
    LogLevel,
    MonthNumber,
    SizeThreshold,
    Year,
    check_year,
    log_to_file,
    log_to_stderr,
)
from des_platform.cli.demo.state import demo_environment
from des_platform.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.settings import Settings
    from des_platform.sources.datahub.compressing.report import CompressReport
    from des_platform.sources.datahub.config import DataHubAccess

_SHOW_EVERY = 5  # batches
_LOG = logging.getLogger(__name__)

_Config = Annotated[str, typer.Argument(help="name of a DataHub in the sources file, or a YAML or JSON file")]


def compress(
    config: _Config,
    month: MonthNumber,
    year: Year,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="download and compress; upload and delete nothing")
    ] = False,
    batch_size: BatchSize = None,
    size_threshold: SizeThreshold = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="what is logged; as configured, else INFO", show_default=False)
    ] = None,
) -> None:
    """Replace the files of one month by compressed copies, each read back and compared before its original goes.

    The platform's catalogue (DES_PG_HOST and so on) keeps how far each file is, so a run that was killed goes on where
    it was. The last line on standard output is the statistics as JSON. Exit code 1 says that files could not be
    compressed; their originals are in place, and the dead letters say why.
    """
    from des_platform.catalog.database import Catalog
    from des_platform.sources.datahub.compressing.month import MonthCompressor

    log_to_stderr((log_level or LogLevel.INFO).value)
    check_year(year)
    settings = _settings()
    changes = {"batch_size": batch_size, "size_threshold": size_threshold}
    datahub = _datahub(config, settings)
    datahub = datahub.model_copy(update={field: value for field, value in changes.items() if value is not None})
    log_to_stderr(log_level.value if log_level else datahub.logging.level)
    log_to_file(datahub.logging)
    with _ended_by_sigterm(), Catalog.open(settings) as catalog, _shown(datahub) as show:
        month_of = MonthCompressor(datahub, catalog, settings.scratch, lease_seconds=settings.lease_seconds)
        report = month_of.run(year, month, dry_run=dry_run, progress=show)
    if report.waiting:
        _LOG.warning(
            "%d files are not yet taken into the platform and were left alone: des datahub fetch %s %d %d",
            report.waiting,
            datahub.name,
            month,
            year,
        )
    print(json.dumps(report.statistics()))
    raise SystemExit(1 if report.failed else 0)


def audit(config: _Config, month: MonthNumber, year: Year) -> None:
    """Show what was done to each file of a month, a JSON object a line: copy, sizes, checksums, and when."""
    from des_platform.catalog.database import Catalog
    from des_platform.sources.datahub.compressing.ledger import Ledger, State

    check_year(year)
    settings = _settings()
    name = _datahub(config, settings).name
    with Catalog.open(settings) as catalog:
        for entry in Ledger(catalog, name, date(year, month, 1)).in_states(*State):
            print(json.dumps(asdict(entry)))


def _settings() -> Settings:
    demo_environment()
    return load_settings()


def _datahub(config: str, settings: Settings) -> DataHubAccess:
    from des_platform.sources.config import load_sources
    from des_platform.sources.datahub.standalone import find_datahub

    return find_datahub(config, load_sources(settings).datahubs)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does: transfers end at their next chunk, and the month is free at once."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _shown(config: DataHubAccess) -> Iterator[Callable[[CompressReport], None]]:
    """Progress as a bar on a terminal, and as a line in the log every few batches elsewhere."""
    every = config.batch_size * _SHOW_EVERY

    def log(report: CompressReport) -> None:
        if report.processed and report.processed % every == 0:
            _LOG.info("so far: %s", json.dumps(report.statistics()))

    if not sys.stderr.isatty():
        yield log
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[saved]:,.1f} MB saved"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar, _above_the_bar():
        task = bar.add_task(config.name, total=None, saved=0.0)

        def draw(report: CompressReport) -> None:
            seen = report.processed + report.known + report.waiting
            saved = (report.original_bytes - report.compressed_bytes) / 1e6
            bar.update(task, completed=seen, total=max(report.candidates, seen), saved=saved)
            log(report)

        yield draw


@contextmanager
def _above_the_bar() -> Iterator[None]:
    """Let log lines go through rich, which keeps them apart from its bar: it has taken `sys.stderr` over by now."""
    handlers = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)
