"""`des mark`: names and shards for the rows of source tables, from a cron or for ever."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, Settings, load_settings

if TYPE_CHECKING:
    from des_platform.sources.databases.config import DatabaseSource
    from des_platform.sources.marking.marker import Marker
    from des_platform.sources.marking.stats import MarkerStats

_PAUSE_SECONDS = 1.0  # between two passes that found nothing

_Names = Annotated[list[str] | None, typer.Argument(help="sources with a marker; all of them if none is named")]
_Forever = Annotated[
    bool, typer.Option("--forever/--once", help="go on until SIGTERM or Ctrl-C, or end when nothing waits")
]
_Batch = Annotated[
    int | None, typer.Option(help="rows in a batch, instead of the configured number", min=1, max=10_000)
]
_Rate = Annotated[float | None, typer.Option(help="rows a second, instead of the configured rate", min=0.001)]


def mark(names: _Names = None, *, forever: _Forever = False, batch_size: _Batch = None, rate: _Rate = None) -> None:
    """Give names and shards to the rows of source tables that have none.

    SIGTERM and Ctrl-C end it behind the batch in hand. Exit code 1 says that rows were given up; they are in the dead
    letters.
    """
    from des_platform.catalog.database import Catalog
    from des_platform.sources.marking.marker import Marker
    from des_platform.sources.marking.stats import MarkerStats

    demo_environment()
    settings = load_settings()
    changes = {"batch_size": batch_size, "rate_limit": rate}
    chosen = [_changed(source, changes) for source in _chosen(settings, names)]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    failed = 0
    with Catalog.open(settings) as catalog:
        markers = [Marker(source, catalog, name_prefix=settings.name_prefix, stop=stop) for source in chosen]
        while not stop.is_set():
            turn = MarkerStats()
            for marker in markers:
                turn += _pass(marker, forever=forever)
            failed += turn.failed
            if not forever:
                break
            if not turn.processed:
                stop.wait(_PAUSE_SECONDS)
    raise SystemExit(1 if failed else 0)


def _pass(marker: Marker, *, forever: bool) -> MarkerStats:
    from des_platform.sources.marking.stats import MarkerStats
    from des_platform.sources.source import SourceUnavailable

    try:
        done = marker.run()
    except SourceUnavailable as error:
        if not forever:
            raise
        print(f"{marker.name}: {error}", flush=True)
        return MarkerStats()
    if done.processed or not forever:
        print(f"{marker.name}: {done}", flush=True)
    return done


def _chosen(settings: Settings, names: list[str] | None) -> list[DatabaseSource]:
    from des_platform.sources.config import load_sources

    by_name = {source.name: source for source in load_sources(settings).marked()}
    if not by_name:
        raise ConfigurationError(
            "no source has a marker: name a sources file in DES_SOURCES, with `marker` in a source"
        )
    if unknown := sorted(set(names or ()) - set(by_name)):
        raise ConfigurationError(
            f"no source with a marker is called {', '.join(unknown)}; known are {', '.join(sorted(by_name))}"
        )
    return [by_name[name] for name in names or by_name]


def _changed(source: DatabaseSource, changes: dict[str, int | float | None]) -> DatabaseSource:
    said = {field: value for field, value in changes.items() if value is not None}
    return source.model_copy(update={"marker": source.marker.model_copy(update=said)}) if source.marker else source
