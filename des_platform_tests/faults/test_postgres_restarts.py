"""PostgreSQL killed and started again in the middle of everything."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import sqlalchemy as sa

from des_platform.catalog import files, partitions
from des_platform.catalog.database import Catalog
from des_platform.catalog.nodes import NodeLost
from des_platform.catalog.tables import files as files_table
from des_platform.catalog.tables import inbox
from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.cli.demo.processes import wait_until
from des_platform.objectstore import Buckets
from des_platform.settings import load_settings
from des_platform.sources.messages.events import s3_event
from des_platform.sources.queues.queue import QueueConfig
from des_platform.sources.queues.source import QueueSource
from des_platform.sources.recording import Recorder
from des_platform_tests.folders import server_folder
from des_platform_tests.platform import LANDING, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILES = 200
PATIENCE_SECONDS = 60


class Server:
    """A PostgreSQL of the test's own, which may die."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder)
        self.address = self._server.start()

    def kill_and_start(self) -> None:
        """Kill it with SIGKILL, and start it again at the same address."""
        child = self._server._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        self._server.stop()
        assert self._server.start().port == self.address.port

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    with server_folder() as folder:
        made = Server(folder)
        yield made
        made.stop()


@pytest.fixture
def platform(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform on a PostgreSQL that may die."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {"DES_STORE_URL": f"file://{tmp_path / 'store'}", "DES_SCRATCH": str(scratch)}
    for name, value in (server.address.environment() | environment).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    buckets = Buckets(settings)
    for bucket in (LANDING, settings.bucket):
        buckets.create(bucket)
    with Catalog.open(settings) as catalog:
        yield Platform(settings, catalog, buckets, scratch)


class Ingestion(threading.Thread):
    """Goes round and round like the daemon: what fails is done again in the next round."""

    def __init__(self, platform: Platform, source: QueueSource) -> None:
        super().__init__(daemon=True)
        self._platform = platform
        self._source = source
        self.done = threading.Event()
        self.failures: Counter[str] = Counter()

    def run(self) -> None:
        platform = self._platform
        while not self.done.is_set():
            try:
                with platform.catalog.begin() as connection:
                    partitions.register_datasets(connection, [platform.dataset])
                self._source.drain(seconds=1)
                platform.take_in()
                platform.compress()
                platform.pack()
            except (sa.exc.DBAPIError, NodeLost) as error:
                self.failures[type(error).__name__] += 1


def put(platform: Platform, name: str) -> str:
    """Put a file; returns what announces it."""
    key = platform.put(name, b"content")
    found = platform.buckets.bucket(LANDING).head(key)
    return s3_event(LANDING, key, found.size, found.etag, found.last_modified)


def count(platform: Platform, statement: sa.Select[Any]) -> int:
    try:
        with platform.catalog.begin() as connection:
            return connection.scalar(statement) or 0
    except sa.exc.DBAPIError:
        return 0


def test_postgres_killed_in_the_middle_costs_no_file_and_doubles_none(
    platform: Platform, server: Server, moto_endpoint: str
) -> None:
    sqs: Any = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = sqs.create_queue(QueueName="restarts", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    for start in range(0, FILES, 10):
        bodies = [put(platform, f"{number:04d}.txt") for number in range(start, start + 10)]
        batch = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
        sqs.send_message_batch(QueueUrl=url, Entries=batch)
    recorded = sa.select(sa.func.count()).select_from(inbox)
    catalogued = sa.select(sa.func.count()).select_from(files_table)
    packed = catalogued.where(files_table.c.state == "packed")
    config = QueueConfig(name="restarts", url=url, endpoint=moto_endpoint, visibility_seconds=1, wait_seconds=0)
    ingestion = Ingestion(
        platform, QueueSource(config, Recorder(platform.catalog, platform.buckets, [platform.dataset]))
    )
    restarts = 0

    def reached(statement: sa.Select[Any], number: int) -> Callable[[], bool]:
        return lambda: count(platform, statement) >= number

    ingestion.start()
    for statement, number in ((recorded, 50), (recorded, FILES // 2), (catalogued, 1), (packed, 1)):
        wait_until(reached(statement, number), PATIENCE_SECONDS, f"{number} files have come so far")
        server.kill_and_start()
        restarts += 1
    wait_until(reached(packed, FILES), PATIENCE_SECONDS, "everything is packed")
    ingestion.done.set()
    ingestion.join()

    rows = platform.rows()
    print({"restarts": restarts, "failed rounds": dict(ingestion.failures), "files": len(rows)})  # noqa: T201
    assert sorted(rows) == [f"{number:04d}.txt" for number in range(FILES)]
    with platform.catalog.begin() as connection:
        assert files.recorded_twice(connection) == 0
