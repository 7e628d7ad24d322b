"""An ingestion job that is killed: a worker forked again and again, and SIGKILLed behind a given step.

Run as a program, with one JSON object on standard input: `stride`. One worker is killed behind its first step, the next
behind that many steps more, and so on, until one gets through. A step is everything that another process can see of
PostgreSQL: a statement or a commit, of the platform's catalogue and of the tables' one. Before each worker a file
arrives; the result is one JSON object: how many workers were killed, how many files arrived.

The program loads what a worker needs once and forks, so nothing here may start a thread or open a connection before.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pyarrow.parquet

from des_platform.catalog import ingestion_attempts, ingestion_jobs
from des_platform.catalog.database import Catalog
from des_platform.catalog.ingestion_attempts import Attempt
from des_platform.lake import reading, registry, replace
from des_platform.lake.ingestion import run
from des_platform.lake.tables import Lake
from des_platform.objectstore import Buckets
from des_platform.settings import load_settings
from des_platform_tests.faults.crashing import Steps, _forked
from des_platform_tests.lake.ingesting import PREFIX
from des_platform_tests.platform import LANDING

LOADED = (pyarrow.parquet, reading, registry, replace)


def arrive(number: int) -> None:
    """A file arrives: two orders, and a record that is none."""
    folder = Path(load_settings().store_url.removeprefix("file://")) / LANDING / PREFIX
    folder.mkdir(parents=True, exist_ok=True)
    good = "".join(f'{{"id":{number * 2 + half},"item":"x"}}\n' for half in range(2))
    (folder / f"{number:04}.jsonl").write_text(good + '{"id":"none","item":"x"}\n')


def work(job_id: int, last: int | None = None) -> None:
    """What the sensor and the run of one try do; the job is asked for again if it is over."""
    if last is not None:
        Steps(last)
    settings = load_settings()
    with Catalog.open(settings) as catalog, closing(Lake(settings)) as lake:
        with catalog.begin() as connection:
            for dead in ingestion_attempts.running(connection):
                ingestion_attempts.end(connection, Attempt.of(dead), "its run died")
            job = ingestion_jobs.get(connection, job_id)
            assert job is not None
            if job.status != "pending":
                ingestion_jobs.request(connection, job)
            # A claim of which Dagster never heard, and a try's rest, are over in time.
            ingestion_jobs.update(connection, job_id, not_before=None)
        with catalog.begin() as connection:
            (claimed,) = ingestion_attempts.claim(connection, 1)
        run.run_attempt(catalog, Buckets(settings), lake, settings, Attempt.of(claimed), run_id="run")


def main() -> None:
    """Do what standard input asks for."""
    asked = json.load(sys.stdin)
    killed = 0
    arrive(0)
    while _forked(partial(work, asked["job"], 1 + killed * asked["stride"]), None):
        killed += 1
        arrive(killed)
    _forked(partial(work, asked["job"]), None)
    sys.stdout.write(json.dumps({"killed": killed, "files": killed + 1}) + "\n")


if __name__ == "__main__":
    main()
