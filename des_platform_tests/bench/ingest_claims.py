"""Claims: four workers on one source table beside one, with a million rows pending, and whether every shard is served.

The source is a PostgreSQL as durable as any, with its defaults: every claim and every write-back waits for the disk.
Each worker is a process of its own that claims a batch, writes back that all of it is packed, and goes on, as the
drain of a source database does; the catalogue is not measured. One worker and four take turns on the same table, whose
rows are made up after every turn, so that each begins with the same number pending. Starting the processes, connecting
and looking at the table are over before the clock starts.

`claims` is measured a millisecond away from the source, since nobody's database runs on the machine that drains it:
before each statement a worker sleeps that long, which takes no processor from the server beside it. `claims_local` is
the same without the distance. There one worker and its server leave little of two cores idle, and four can only share
them; what it shows is that four do not hinder each other.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from des_platform.catalog.source_rows import SettledRow
from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.naming import shard_of
from des_platform.sources.databases.claims import SourceTable
from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.databases.dialects import Worker
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Barrier

    from des_platform.cli.demo.postgres import PostgresAddress

_WORKERS = 4
_BITS = 8
_GOAL = 2.5
_AWAY_SECONDS = 0.001
_TABLE = """
CREATE TABLE files (
    id bigint PRIMARY KEY, s3_bucket text NOT NULL, s3_key text NOT NULL, size_bytes bigint, etag text,
    status text NOT NULL DEFAULT 'pending', created_at timestamptz DEFAULT now(), claimed_by text,
    claimed_at timestamptz, packed_at timestamptz, des_name text, des_container_id bigint, error_message text
)"""
_INDEX = "CREATE INDEX files_status ON files (status, id)"
_ROWS = """
INSERT INTO files (id, s3_bucket, s3_key, size_bytes, etag)
SELECT n, 'landing', 'things/2026-03-01/' || md5(n::text) || '.json', 4096, md5(n::text)
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure with: rows pending, seconds of each turn, turns of each side."""

    pending: int
    seconds: float
    rounds: int


def claims(*, quick: bool) -> Iterator[Measurement]:
    """`claims`, `claims_shards` and `claims_local`."""
    yield from measure(Scale(50_000, 1.5, 1) if quick else Scale(1_000_000, 8.0, 3))


def measure(scale: Scale) -> Iterator[Measurement]:
    """Measure with a source of its own.

    Args:
        scale: how much to measure with.
    """
    every = float(1 << _BITS)
    with _source(scale.pending) as source:
        one, many, shards = _in_turn(source, scale, _AWAY_SECONDS)
        yield Measurement("claims", many, "rows/s", "one worker", one, _GOAL)
        yield Measurement("claims_shards", float(shards), "shards", "shards there are", every, every, absolute=True)
        one, many, _ = _in_turn(source, scale, 0.0)
        yield Measurement("claims_local", many, "rows/s", "one worker", one)


def _in_turn(source: _Source, scale: Scale, away: float) -> tuple[float, float, int]:
    """Rows a second of one worker and of all, as medians, and the fewest shards that all of them served in a turn."""
    one, many, shards = [], [], []
    for _ in range(scale.rounds):
        one.append(_turn(source.entry, 1, scale.seconds, away)[0] / scale.seconds)
        _refill(source.engine, scale.pending)
        done, served = _turn(source.entry, _WORKERS, scale.seconds, away)
        many.append(done / scale.seconds)
        shards.append(len(served))
        _refill(source.engine, scale.pending)
    return median(one), median(many), min(shards)


def _turn(entry: dict[str, Any], workers: int, seconds: float, away: float) -> tuple[int, set[int]]:
    """Rows that so many workers claimed and wrote back in so many seconds, and the shards that they belong to."""
    processes = multiprocessing.get_context("spawn")
    barrier = processes.Barrier(workers)
    results = processes.Queue()
    running = [
        processes.Process(
            target=_work, args=(entry, Worker(index, workers), seconds, away, barrier, results), daemon=True
        )
        for index in range(workers)
    ]
    for process in running:
        process.start()
    found = [results.get(timeout=seconds + 120) for _ in running]
    for process in running:
        process.join()
    return sum(done for done, _ in found), set().union(*(served for _, served in found))


def _work(entry: dict[str, Any], worker: Worker, seconds: float, away: float, barrier: Barrier, results: Any) -> None:
    source = DatabaseSource.model_validate(entry)
    table = SourceTable.open(source, worker)
    if away:
        sa.event.listen(sa.Engine, "before_cursor_execute", lambda *_: time.sleep(away))
    keys: list[str] = []
    after: object = None
    barrier.wait()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        claim = table.claim(source.batch_size, after=after)
        after = claim.last
        table.write_back([SettledRow(row.row_id, "packed", f"name-{row.row_id}", 1, None) for row in claim.rows])
        keys += [row.values["s3_key"] for row in claim.rows]
    table.close()
    results.put((len(keys), {shard_of(key, _BITS) for key in keys}))


@dataclass(frozen=True, slots=True)
class _Source:
    entry: dict[str, Any]
    engine: sa.Engine


@contextmanager
def _source(pending: int) -> Iterator[_Source]:
    with tempfile.TemporaryDirectory(prefix="des_platform_bench-") as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            address = server.start()
            engine = sa.create_engine(address.url("postgresql+psycopg"))
            with engine.begin() as connection:
                connection.execute(sa.text(_TABLE))
            _refill(engine, pending)
            with engine.begin() as connection:
                connection.execute(sa.text(_INDEX))
            yield _Source(_entry(address), engine)
            engine.dispose()
        finally:
            server.stop()


def _refill(engine: sa.Engine, pending: int) -> None:
    with engine.begin() as connection:
        count = sa.text("SELECT count(*) FILTER (WHERE status = 'pending'), coalesce(max(id), 0) FROM files")
        left, last = connection.execute(count).one()
        connection.execute(sa.text(_ROWS).bindparams(first=last + 1, last=last + pending - left))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE files"))
        connection.execute(sa.text("CHECKPOINT"))


def _entry(address: PostgresAddress) -> dict[str, Any]:
    columns = {"size_bytes": "size_bytes", "etag": "etag", "created_at": "created_at"}
    return {
        "name": "bench",
        "connection": {
            "type": "postgres",
            "host": address.host,
            "port": address.port,
            "database": address.database,
            "username": address.user,
            "password": address.password,
        },
        "table": {"name": "files", "columns": columns},
        "shard_bits": _BITS,
    }
