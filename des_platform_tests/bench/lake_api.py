"""Reads of the lake API at 100 requests a second: one server process, a full catalogue, keys checked.

The load is open: a request is due at its moment, whether or not those before it were answered, and its latency counts
from that moment on, so a server that stalls shows in every request that was due meanwhile. The mix is what a person or
a program looks at: tables, partitions by path and by days, versions, jobs, sources. The peer is an endpoint of the same
framework and server that answers a constant, without a key and without a database, under the same load.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from statistics import median
from threading import local
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import SecretStr

from des_platform.catalog import api_keys, lake_partitions, lake_tables, schema_versions
from des_platform.catalog.database import Catalog
from des_platform.catalog.lake_partitions import Statistics
from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.settings import Settings
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.cli.demo.postgres import PostgresAddress

_RATE = 100
_SECONDS, _QUICK_SECONDS = 30, 5
_ROUNDS, _QUICK_ROUNDS = 3, 1
_WARM_UP_SECONDS = 2
_CONNECTIONS = 32
_TABLES, _QUICK_TABLES = 200, 40
_PARTITIONS_EACH, _VERSIONS_EACH = 500, 5
_GOAL = 50.0
_FIRST = date(2024, 1, 1)
_PEER = "/constant"


def api_p99(*, quick: bool) -> Iterator[Measurement]:
    """Measure the 99th percentile of reads at a fixed rate, and count what was not answered."""
    seconds, rounds = (_QUICK_SECONDS, _QUICK_ROUNDS) if quick else (_SECONDS, _ROUNDS)
    with tempfile.TemporaryDirectory(prefix="des_platform_bench-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)  # where root runs the bench, PostgreSQL's own user passes through
        with EmbeddedPostgres(folder, durable=True) as address:
            key, paths = _fill(address, _QUICK_TABLES if quick else _TABLES)
            ours, theirs = [], []
            with _product(address) as product, _peer() as peer:
                for number in range(rounds):
                    ours.append(_load(product, paths, key, seconds, seed=number))
                    theirs.append(_load(peer, [_PEER], key, seconds, seed=number))
    told = (f"p50 {found.percentile(50):.1f}, p99 {found.percentile(99):.1f} ms" for found in ours)
    sys.stderr.write(f"api, {_RATE}/s for {seconds} s: {'; '.join(told)}\n")
    middle, beside = (median(found.percentile(99) for found in side) for side in (ours, theirs))
    yield Measurement("api_p99", middle, "ms", "a constant answer", beside, _GOAL, at_most=True, absolute=True)
    errors, others = (sum(found.errors for found in side) for side in (ours, theirs))
    yield Measurement("api_errors", errors, "requests", "a constant answer", others, 0, at_most=True, absolute=True)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a load found: milliseconds of each answer in ascending order, and how many were none."""

    milliseconds: list[float]
    errors: int

    def percentile(self, part: int) -> float:
        return self.milliseconds[min(len(self.milliseconds) * part // 100, len(self.milliseconds) - 1)]


def _load(url: str, paths: Sequence[str], key: str, seconds: int, *, seed: int) -> _Found:
    """Ask for random paths at the rate, after a warm-up that does not count."""
    random = Random(seed)  # noqa: S311 - a mix, no secret
    number = (seconds + _WARM_UP_SECONDS) * _RATE
    asked = [random.choice(paths) for _ in range(number)]
    client = _Client(url, key)
    begin = time.perf_counter() + 0.1

    def ask(index: int) -> float | None:
        due = begin + index / _RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        answered = client.get(asked[index])
        return (time.perf_counter() - due) * 1000 if answered else None

    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        found = list(threads.map(ask, range(number)))[_WARM_UP_SECONDS * _RATE :]
    answers = sorted(milliseconds for milliseconds in found if milliseconds is not None)
    return _Found(answers, len(found) - len(answers))


class _Client:
    """Keeps a connection for each thread."""

    def __init__(self, url: str, key: str) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {key}"}
        self._own = local()

    def get(self, path: str) -> bool:
        """Whether the whole answer came, and was one."""
        if not hasattr(self._own, "connection"):
            self._own.connection = HTTPConnection(self._host, timeout=10)
        connection: HTTPConnection = self._own.connection
        try:
            connection.request("GET", path, headers=self._headers)
            answer = connection.getresponse()
            return bool(answer.read()) and answer.status == HTTPStatus.OK
        except (OSError, HTTPException):
            connection.close()
            return False


def _fill(address: PostgresAddress, tables: int) -> tuple[str, list[str]]:
    """Fill the catalogue with so many tables; returns a key and the paths of the mix."""
    definition = {"fields": [{"name": f"column_{number}", "type": "long"} for number in range(30)]}
    paths = ["/api/v1/tables/", "/api/v1/ingestion/jobs", "/api/v1/sources/"]
    with Catalog.open(_settings(address)) as catalog, catalog.begin() as connection:
        key = api_keys.create(connection, "bench", ["lake:read"])
        for number in range(tables):
            table = lake_tables.create(connection, f"table_{number}", description="A table of the bench.")
            if table is None:
                raise UnequalWork(f"table_{number} was there before")
            for _ in range(_VERSIONS_EACH):
                schema_versions.create(connection, table.table_id, definition, created_by="bench")
            lake_partitions.synchronize(connection, table.table_id, _partitions(), 1)
            paths += _paths_of(table.table_id)
        connection.execute(sa.text("ANALYZE"))
    return key, paths


def _partitions() -> list[Statistics]:
    days = [_FIRST + timedelta(number) for number in range(_PARTITIONS_EACH)]
    return [Statistics(f"_day={day}", {"_day": str(day)}, day, day, 100_000, 10_000_000, 1) for day in days]


def _paths_of(table_id: int) -> list[str]:
    days = "start_date=2024-03-01&end_date=2024-03-31"
    return [
        f"/api/v1/tables/{table_id}",
        f"/api/v1/partitions/table/{table_id}",
        f"/api/v1/partitions/table/{table_id}/date-range?{days}",
        f"/api/v1/partitions/{(table_id - 1) * _PARTITIONS_EACH + 1}",
        f"/api/v1/schema/versions/table/{table_id}",
        f"/api/v1/schema/versions/table/{table_id}/current",
    ]


def _settings(address: PostgresAddress) -> Settings:
    return Settings(
        pg_host=address.host,
        pg_port=address.port,
        pg_user=address.user,
        pg_password=SecretStr(address.password),
        pg_db=address.database,
    )


@contextmanager
def _product(address: PostgresAddress) -> Iterator[str]:
    command = [sys.executable, "-c", "from des_platform.cli.main import main; main()", "serve", "lake", "--port", "0"]
    with _process(command, os.environ | address.environment()) as url:
        yield url


@contextmanager
def _peer() -> Iterator[str]:
    with _process([sys.executable, "-m", __name__], dict(os.environ)) as url:
        yield url


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """A server that says its URL in its first line."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.terminate()


def _serve_constant() -> None:
    """The peer's process."""
    import socket

    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()

    @app.get(_PEER)
    def constant() -> dict[str, int]:
        return {"answer": 42}

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listener])


if __name__ == "__main__":
    _serve_constant()
