"""An ingestion that is killed: a worker process forked again and again, and SIGKILLed at a step or at any moment.

Run as a program, with one JSON object on standard input:

* `kills`: kill so many workers at random moments.
* `stride`: kill one worker behind its first step, the next behind that many steps more, and so on, until one gets
  through. A step is everything that another process can see: a statement or a commit of any database, a call to the
  queue.

Before each worker, more files arrive in the queue and in the source table. At the end a last worker is left alone until
nothing waits any more. The result is one JSON object: how many workers were killed, how many files arrived, how much
poison.

The program loads what a worker needs once and forks, since importing it takes half a second; so nothing here may start
a thread before the fork: files are put as a folder's, messages are sent and rows are inserted with clients that have
none.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import pyarrow.parquet
import sqlalchemy as sa

from des_platform.catalog import inbox, partitions
from des_platform.catalog.database import Catalog
from des_platform.catalog.tables import files, source_rows
from des_platform.compression.compress import compress_day
from des_platform.files.reader import FileReader
from des_platform.objectstore import Buckets
from des_platform.packing.pack import Packer
from des_platform.settings import load_settings
from des_platform.sources.config import Sources, load_sources
from des_platform.sources.intake import take_in
from des_platform.sources.opening import open_source
from des_platform.sources.recording import Recorder
from des_platform_tests.platform import DATASET as SHARDED
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.support import announce

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.settings import Settings

DATASET = SHARDED.model_copy(update={"shard_bits": 0})  # a killed packer's lease is waited for: one shard, one wait
POISON = "this is no message"
_PATIENCE_SECONDS = 120.0
_LONGEST_LIFE_SECONDS = 2.0  # a whole round takes 1.7


@dataclass
class Arrivals:
    """Files that arrive: in the queue (each announced twice), in the source table, and poison among them."""

    settings: Settings
    sources: Sources
    table: str
    fed: int = 0
    poison: int = 0

    def more(self, number: int) -> None:
        """Let so many files arrive on each way."""
        landing = Path(self.settings.store_url.removeprefix("file://")) / LANDING
        bodies, rows = [], []
        for _ in range(number):
            self.fed += 1
            for way in ("queue", "table"):
                key = f"{DATASET.prefix}{DAY}/{way}-{self.fed}.txt"
                path = landing / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(key)
                if way == "table":
                    rows.append((LANDING, key))
                else:
                    bodies += [key, key]
        self._send([_announcement(landing / key, key) for key in bodies])
        with psycopg.connect(self._url()) as connection:
            statement = f"INSERT INTO {self.table} (s3_bucket, s3_key) VALUES (%s, %s)"  # noqa: S608 - the test's own
            connection.cursor().executemany(statement.encode(), rows)

    def poisoned(self) -> None:
        """Let a message arrive that nobody understands, and a row without a key."""
        self.poison += 1
        self._send([f"{POISON} {self.poison}"])
        with psycopg.connect(self._url()) as connection:
            statement = f"INSERT INTO {self.table} (s3_bucket, s3_key) VALUES ('landing', '../{self.poison}')"  # noqa: S608
            connection.execute(statement.encode())

    def _url(self) -> str:
        return self.settings.catalog_url.replace("+psycopg", "")

    def _send(self, bodies: list[str]) -> None:
        (queue,) = self.sources.queues
        client: Any = boto3.client("sqs", endpoint_url=queue.endpoint, region_name=queue.region)
        random.shuffle(bodies)
        for start in range(0, len(bodies), 10):
            batch = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies[start : start + 10])]
            client.send_message_batch(QueueUrl=queue.url, Entries=batch)


def _announcement(path: Path, key: str) -> str:
    """What announces a file, without its etag: the recorder asks the store."""
    body = json.loads(announce(key))
    stored = body["Records"][0]["s3"]["object"]
    del stored["eTag"]
    stored["size"] = path.stat().st_size
    return json.dumps(body)


class Worker:
    """Everything that ingestion does, one round after the other, as the sensors and assets do it."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self.settings = settings
        self.catalog = Catalog.open(settings)
        self.buckets = Buckets(settings)
        recorder = Recorder(self.catalog, self.buckets, [DATASET])
        self.sources = [open_source(config, recorder, settings) for config in sources.drained()]

    def round(self) -> None:
        """Drain, take in, compress, pack."""
        with self.catalog.begin() as connection:
            partitions.register_datasets(connection, [DATASET])
        for source in self.sources:
            source.drain(seconds=2)
        scratch = self.settings.scratch
        take_in(self.catalog, self.buckets, DATASET, DAY, name_prefix="DES", scratch=scratch, threads=2)
        reader = FileReader(self.catalog, self.buckets)
        compress_day(self.catalog, self.buckets, reader, DATASET, DAY, threads=2)
        packer = Packer(self.catalog, self.buckets, reader, scratch, lease_seconds=1, threads=2)
        for shard in range(DATASET.shards):
            packer.pack(DATASET, DAY, shard)
        for source in self.sources:
            source.drain(seconds=2)

    def settled(self, arrivals: Arrivals) -> bool:
        """Whether everything that arrived is packed and written back."""
        statement = f"SELECT count(*) FROM {arrivals.table} WHERE status NOT IN ('packed', 'failed')"  # noqa: S608
        with self.catalog.begin() as connection:
            packed = sa.select(sa.func.count()).where(files.c.state == "packed")
            opened = sa.select(sa.func.count()).where(source_rows.c.state == "open")
            return (
                connection.scalar(packed) == 2 * arrivals.fed
                and not connection.scalar(opened)
                and not connection.scalar(sa.text(statement))
                and not inbox.tally(connection)["pending"]
                and not any(source.backlog().get("waiting") for source in self.sources if source.kind == "queue")
            )


class Steps:
    """Counts what other processes can see, and kills this one behind a given step."""

    def __init__(self, last: int | None) -> None:
        self._last = last
        self.seen = 0
        engine: Any = sa.engine.Engine
        sa.event.listen(engine, "after_cursor_execute", lambda *_: self.step())
        dialect: Any = sa.engine.default.DefaultDialect
        self._wrap(dialect, "do_commit")
        client: Any = __import__("botocore.client", fromlist=["BaseClient"]).BaseClient
        self._wrap(client, "_make_api_call")

    def step(self) -> None:
        """One more."""
        self.seen += 1
        if self.seen == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _wrap(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            result = original(*arguments, **options)
            self.step()
            return result

        setattr(owner, name, counted)


def _forked(work: Callable[[], None], life_seconds: float | None) -> bool:
    """Run a worker in a fork; returns whether it was killed."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:  # noqa: BLE001 - whatever it was, the parent must not go on in the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if life_seconds is not None:
        time.sleep(life_seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status):
        raise RuntimeError("a worker failed by itself; its traceback stands above")
    return os.WIFSIGNALED(status)


def main() -> None:
    """Do what standard input asks for."""
    asked = json.load(sys.stdin)
    settings = load_settings()
    sources = load_sources(settings)
    arrivals = Arrivals(settings, sources, asked["table"])
    random.seed(asked["seed"])

    def one_round(last: int | None = None) -> None:
        if last is not None:
            Steps(last)
        Worker(settings, sources).round()

    def until_settled() -> None:
        worker = Worker(settings, sources)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not worker.settled(arrivals):
            if time.monotonic() > deadline:
                raise TimeoutError("something still waits")
            worker.round()

    if "kills" in asked:
        killed = _kill_at_random(arrivals, one_round, asked["kills"])
    else:
        killed = _kill_behind_steps(arrivals, one_round, asked["stride"])
    _forked(until_settled, None)
    sys.stdout.write(json.dumps({"killed": killed, "fed": 2 * arrivals.fed, "poison": 2 * arrivals.poison}) + "\n")


def _kill_behind_steps(arrivals: Arrivals, one_round: Callable[[int], None], stride: int) -> int:
    killed = 0
    while True:
        arrivals.more(1)
        if not _forked(partial(one_round, 1 + killed * stride), None):
            return killed
        killed += 1


def _kill_at_random(arrivals: Arrivals, one_round: Callable[[], None], kills: int) -> int:
    killed = 0
    while killed < kills:
        arrivals.more(4)
        if killed % 10 == 0:
            arrivals.poisoned()
        killed += _forked(one_round, random.uniform(0, _LONGEST_LIFE_SECONDS))  # noqa: S311 - repeatable moments
    return killed


if __name__ == "__main__":
    assert pyarrow.parquet  # imported before the forks
    main()
