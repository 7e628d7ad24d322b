"""`des drain`: empty sources into the inbox without Dagster, as many processes at once as may be."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings
from des_platform.sources.queues.queue import QueueConfig

if TYPE_CHECKING:
    from des_platform.sources.opening import SourceConfig
    from des_platform.sources.source import Source

_PAUSE_SECONDS = 1.0  # between two drainings that found nothing
_WAIT_SECONDS = 1  # at an empty queue: the other sources have their turns only then

_Names = Annotated[list[str] | None, typer.Argument(help="sources of the sources file; all of them if none is named")]
_Forever = Annotated[
    bool, typer.Option("--forever", help="go on until SIGTERM or Ctrl-C; otherwise until all are empty")
]
_Seconds = Annotated[float | None, typer.Option(help="time budget of one turn; DES_DRAIN_SECONDS, else 20", min=0.1)]


def drain(names: _Names = None, forever: _Forever = False, seconds: _Seconds = None) -> None:
    """Drain queues, streams, databases and inventories into the inbox."""
    from des_platform.catalog import partitions
    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import Buckets
    from des_platform.sources.config import load_sources
    from des_platform.sources.opening import open_source
    from des_platform.sources.recording import Recorder

    demo_environment()
    settings = load_settings()
    chosen = _chosen(list(load_sources(settings).drained()), names)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Catalog.open(settings) as catalog, ExitStack() as opened:
        with catalog.begin() as connection:
            datasets = partitions.known_datasets(connection)
        recorder = Recorder(catalog, Buckets(settings), datasets)
        sources = [
            opened.enter_context(closing(open_source(_impatient(config), recorder, settings))) for config in chosen
        ]
        _turns(sources, seconds or settings.drain_seconds, stop, forever=forever)


def _chosen(known: list[SourceConfig], names: list[str] | None) -> list[SourceConfig]:
    by_name = {config.name: config for config in known}
    if not by_name:
        raise ConfigurationError("no source is configured: set DES_QUEUE_URL, or name a sources file in DES_SOURCES")
    if unknown := sorted(set(names or ()) - set(by_name)):
        raise ConfigurationError(f"no source is called {', '.join(unknown)}; known are {', '.join(sorted(by_name))}")
    return [by_name[name] for name in names or by_name]


def _impatient(config: SourceConfig) -> SourceConfig:
    if isinstance(config, QueueConfig):
        return config.model_copy(update={"wait_seconds": min(config.wait_seconds, _WAIT_SECONDS)})
    return config


def _turns(sources: list[Source], seconds: float, stop: threading.Event, *, forever: bool) -> None:
    """Give each source its turn until all are empty, or for ever: then what is out of reach is tried again."""
    from sqlalchemy.exc import OperationalError

    from des_platform.objectstore import StoreUnavailable
    from des_platform.sources.source import SourceUnavailable

    while not stop.is_set():
        received = 0
        for source in sources:
            try:
                report = source.drain(seconds=seconds)
            except (SourceUnavailable, StoreUnavailable, OperationalError) as error:
                if not forever:
                    raise
                print(f"{source.name}: {' '.join(str(error).split())}", flush=True)
                continue
            received += report.received
            if report.received:
                print(
                    f"{source.name}: {report.received:,} taken, {report.new:,} new, {report.known:,} known, "
                    f"{report.removed:,} deletions, {report.dead:,} dead letters, {report.seconds:.1f} s {report.note}",
                    flush=True,
                )
            if stop.is_set():
                return
        if not received:
            if not forever:
                return
            stop.wait(_PAUSE_SECONDS)
