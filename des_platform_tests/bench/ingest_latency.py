"""From the put of a file to its materialized partition, through everything that stands between them.

The servers are the demo's: PostgreSQL, the queue server, and `dagster dev` with the repository's own configuration. One
file at a time is put and announced, each into a day of its own; the next one waits until every run that the last one
caused has ended. The moments are random, and spread evenly over the 5 s between two looks of Dagster's daemon at its
sensors, since most of what is measured is the wait for such a look. The listing is told to rest, so that the queue
alone brings the files.

Subtracted is what Dagster needs to start that very run, from the run's creation to its first step: a process that
imports the code, which nobody here can make quicker. It is the peer.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa

from des_platform.catalog import files
from des_platform.catalog.database import Catalog
from des_platform.catalog.tables import inbox
from des_platform.cli.demo import corpus
from des_platform.cli.demo.processes import wait_until
from des_platform.cli.demo.stack import Stack
from des_platform.cli.demo.ui import dagster_ui
from des_platform.defs.attempts import IN_FLIGHT
from des_platform.objectstore import Buckets
from des_platform.sources.messages.events import s3_event
from des_platform.sources.queues.queue import Queue
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork
from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.cli.demo.corpus import FeedFile

_FULL_FILES, _QUICK_FILES = 12, 3
_GOAL_SECONDS = 5.0
_BEAT_SECONDS = 5.0
_PATIENCE_SECONDS = 180.0
_LOOK_SECONDS = 0.25  # more questions would take the processor from the runs
_SETTINGS = {"DES_LISTING_SECONDS": "86400"}


def latency(*, quick: bool) -> Iterator[Measurement]:
    """Seconds from a put to the materialized partition, above Dagster's own start of the run."""
    found = list(_measured(_QUICK_FILES if quick else _FULL_FILES))
    told = ", ".join(f"{name} {median(getattr(parts, name) for parts in found):.2f} s" for name in Parts.__slots__)
    sys.stderr.write(f"{len(found)} files, medians: {told}\n")
    above = median(parts.above_start for parts in found)
    start = median(parts.to_start for parts in found)
    yield Measurement(
        "latency", above, "s", "Dagster's start of a run", start, _GOAL_SECONDS, at_most=True, absolute=True
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the seconds of one file went.

    Attributes:
        to_inbox: from the put until the inbox had it.
        to_request: until the run was created.
        to_start: until its first step began: Dagster's own.
        in_run: until the partition was materialized.
    """

    to_inbox: float
    to_request: float
    to_start: float
    in_run: float

    @property
    def above_start(self) -> float:
        """All but Dagster's own."""
        return self.to_inbox + self.to_request + self.in_run


def _measured(number: int) -> Iterator[Parts]:
    first, *others = _a_file_a_day(number + 1)
    with (
        _environment(),
        server_folder() as folder,
        Stack(folder / "state") as stack,
        Catalog.open(stack.settings) as catalog,
        dg.DagsterInstance.get() as instance,
        dagster_ui(stack.state, 0),
    ):
        platform = _Platform(stack, catalog, instance)
        platform.send(first)  # not measured: the sensors' first ticks wait until the code is loaded
        for file, moment in zip(others, _moments(number), strict=True):
            time.sleep((moment - time.time()) % _BEAT_SECONDS)
            yield platform.send(file)


def _moments(number: int) -> list[float]:
    """Seconds after the beginning of a beat: one moment in each of so many equal parts, in any order."""
    random = Random(4)  # noqa: S311 - moments, no secret
    moments = [(part + random.random()) * _BEAT_SECONDS / number for part in range(number)]
    random.shuffle(moments)
    return moments


class _Platform:
    """The running platform, and what it did with one file after the other."""

    def __init__(self, stack: Stack, catalog: Catalog, instance: dg.DagsterInstance) -> None:
        self._store = Buckets(stack.settings).bucket(stack.settings.landing_bucket)
        self._queue = Queue(stack.settings)
        self._catalog = catalog
        self._instance = instance

    def send(self, file: FeedFile) -> Parts:
        """Put and announce a file, and wait until it is packed and nothing runs any more."""
        day = date.fromisoformat(file.key.split("/")[1])
        began = time.time()
        put = self._store.put(file.key, file.open_chunks())
        self._queue.send([s3_event(self._store.bucket, file.key, put.size, put.etag, datetime.now(UTC))])
        wait_until(lambda: self._done(file.dataset, day), _PATIENCE_SECONDS, f"{file.key} was packed")
        with self._catalog.begin() as connection:
            known = sa.select(inbox.c.received_at).where(inbox.c.key == file.key)
            recorded = connection.execute(known).scalar_one().timestamp()
        created, started, materialized = self._run(file.dataset, day)
        return Parts(recorded - began, created - recorded, started - created, materialized - started)

    def _done(self, dataset: str, day: date) -> bool:
        """Whether the day's file is packed and nothing runs any more."""
        time.sleep(_LOOK_SECONDS)
        with self._catalog.begin() as connection:
            packed = files.totals(connection, dataset, day).packed
        return packed > 0 and not self._instance.get_runs_count(dg.RunsFilter(statuses=IN_FLIGHT))

    def _run(self, dataset: str, day: date) -> tuple[float, float, float]:
        """When the run of a day was created, began its first step, and materialized raw_files."""
        (run,) = self._instance.get_run_records(
            dg.RunsFilter(job_name=f"{dataset}_ingest", tags={"dagster/partition": day.isoformat()})
        )
        wanted = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.ASSET_MATERIALIZATION}
        started: list[float] = []
        for record in self._instance.get_records_for_run(run.dagster_run.run_id, of_type=wanted).records:
            event = record.event_log_entry
            if event.get_dagster_event().is_step_start:
                started.append(event.timestamp)
            elif event.get_dagster_event().asset_key == dg.AssetKey([dataset, "raw_files"]):
                return run.create_timestamp.timestamp(), started[0], event.timestamp
        raise UnequalWork(f"the run {run.dagster_run.run_id} of {dataset} {day} did not materialize raw_files")


def _a_file_a_day(number: int) -> list[FeedFile]:
    days = groupby(corpus.flights(number), key=lambda file: file.key.split("/")[1])
    return [next(files) for _, files in days]


@contextmanager
def _environment() -> Iterator[None]:
    """Settings of the bench alone, whatever the caller's are; the caller's own come back."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("DES_", "DAGSTER_")):
            del os.environ[name]
    os.environ |= _SETTINGS
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
