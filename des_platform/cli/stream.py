"""`des stream`: the workers of stream jobs, one for each side, without Dagster.

Any number of processes may work on one job; one at a time has its queue. SIGTERM and Ctrl-C end a worker between two
chunks, and the file that was at work is begun anew by the next one. The last line on standard output is the statistics
as JSON; exit code 1 says that there are new dead letters.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.catalog.database import Catalog
    from des_platform.settings import Settings
    from des_platform.sources.streams.config import StreamJob
    from des_platform.sources.streams.turns import TurnReport
    from des_platform.sources.streams.worker import Side

    Progress = Callable[[str, int, int], None]
    Opener = Callable[[StreamJob, Settings, Catalog, Progress], Side]

app = typer.Typer(no_args_is_help=True, help="Files in compressed chunks, through a stream or a bucket, and back.")

_WAIT_SECONDS = 1  # at an empty queue: a worker that is asked to end does so soon
_LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

_Name = Annotated[str, typer.Argument(help="name of the stream job in the sources file")]
_Once = Annotated[bool, typer.Option("--once", help="end when the queue is empty; otherwise on SIGTERM or Ctrl-C")]
_Seconds = Annotated[float | None, typer.Option(help="end after so many seconds at the latest", min=0.1)]
_Report = Annotated[Path | None, typer.Option(help="write a page about the run to this HTML file", dir_okay=False)]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="compress and report; send nothing, leave the messages")]


@app.callback()
def _group() -> None:
    """Work on the stream jobs of the sources file."""


@app.command()
def compress(
    name: _Name, once: _Once = False, seconds: _Seconds = None, dry_run: _DryRun = False, report: _Report = None
) -> None:
    """Compress the files that a queue announces into chunks, and announce those."""
    job = _job(name)
    if dry_run:
        job = job.model_copy(update={"push": False})
    _work(job, _compressor, once=once, seconds=seconds, page=report)


@app.command()
def decompress(name: _Name, once: _Once = False, seconds: _Seconds = None, report: _Report = None) -> None:
    """Put files together from the chunks that a queue announces."""
    _work(_job(name), _restorer, once=once, seconds=seconds, page=report)


def _work(job: StreamJob, opener: Opener, *, once: bool, seconds: float | None, page: Path | None) -> None:
    from des_platform.catalog.database import Catalog
    from des_platform.cli.archive.progress import byte_bar
    from des_platform.sources.streams.worker import Worker

    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, stream=sys.stderr)
    # On a terminal the bar tells how far it is; in a pipe a line a file does.
    logging.getLogger("des_platform").setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    settings = load_settings()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Catalog.open(settings) as catalog, byte_bar(job.name) as shown:
        side = opener(_impatient(job), settings, catalog, lambda _name, done, total: shown(done, total))
        with closing(side):
            worker = Worker(job, side, catalog, lease_seconds=settings.lease_seconds)
            report = worker.run(once=once, seconds=seconds, stop=stop)
    if page is not None:
        _write_page(page, job, side, report, settings.storage_price)
    print(json.dumps({"job": job.name, "side": side.stage, **report.statistics()}))
    if report.problem is not None:
        raise report.problem
    raise SystemExit(1 if report.dead else 0)


def _write_page(path: Path, job: StreamJob, side: Side, report: TurnReport, price: float) -> None:
    from des_platform.compression.report import Row, run_page

    rows = [
        Row(side.stage, codec, did.files, did.original_bytes, did.compressed_bytes, did.seconds, did.cpu_seconds)
        for codec, did in sorted(report.codecs.items())
    ]
    path.write_text(run_page(job.name, rows, failed=report.dead, price=price), encoding="utf-8")


def _compressor(job: StreamJob, settings: Settings, catalog: Catalog, progress: Progress) -> Side:  # noqa: ARG001 - as `Opener`
    from des_platform.sources.streams.compressor import Compressor

    return Compressor(job, settings, progress)


def _restorer(job: StreamJob, settings: Settings, catalog: Catalog, progress: Progress) -> Side:
    from des_platform.catalog import partitions
    from des_platform.objectstore import Buckets
    from des_platform.sources.recording import Recorder
    from des_platform.sources.streams.restorer import Restorer

    with catalog.begin() as connection:
        datasets = partitions.registered_datasets(connection)  # there need not be any
    return Restorer(job, settings, Recorder(catalog, Buckets(settings), datasets), progress)


def _impatient(job: StreamJob) -> StreamJob:
    queues = {"files": job.files, "manifests": job.manifests}
    return job.model_copy(
        update={
            part: queue.model_copy(update={"wait_seconds": min(queue.wait_seconds, _WAIT_SECONDS)})
            for part, queue in queues.items()
            if queue is not None
        }
    )


def _job(name: str) -> StreamJob:
    from des_platform.sources.config import load_sources

    demo_environment()
    known = {job.name: job for job in load_sources(load_settings()).stream_jobs}
    if name not in known:
        names = ", ".join(sorted(known)) or "none; add one to `stream_jobs` in the file that DES_SOURCES names"
        raise ConfigurationError(f"no stream job is called {name}; known are {names}")
    return known[name]
