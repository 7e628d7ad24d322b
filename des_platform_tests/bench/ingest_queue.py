"""The queue's draining beside a bare loop that receives and deletes, and its memory over a million files.

The queue server is moto's, in a process of its own, whose cost of a call grows with what waits in the queue; so each
turn empties a queue of its own that holds as many messages. PostgreSQL is as durable as any.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import SecretStr

from des_platform.catalog import partitions
from des_platform.catalog.database import Catalog
from des_platform.catalog.dataset import Dataset
from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.cli.demo.queue import QueueServer
from des_platform.objectstore import Buckets
from des_platform.settings import Settings
from des_platform.sources.messages.events import s3_event
from des_platform.sources.queues.queue import BATCH, Message, Queue, QueueConfig
from des_platform.sources.queues.source import QueueSource
from des_platform.sources.recording import Recorder
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork, alternate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FULL, _FULL_ROUNDS = 500, 5
_QUICK, _QUICK_ROUNDS = 200, 3
_FULL_ROWS, _QUICK_ROWS = 1_000_000, 50_000
_FILES_A_MESSAGE = 10
_SECONDS = 3600.0  # a draining's budget: no bench runs out of it
_ARRIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
_DATASET = Dataset(name="things", bucket="landing", prefix="things/", start=_ARRIVED.date())


def queue_drain(*, quick: bool) -> Iterator[Measurement]:
    """Messages drained into the inbox beside messages received and deleted."""
    number, rounds = (_QUICK, _QUICK_ROUNDS) if quick else (_FULL, _FULL_ROUNDS)
    with _opened() as (folder, recorder):
        server = QueueServer(folder)
        with server as endpoint:
            filled = [
                [_filled(server, endpoint, f"{side}-{round_}", number) for round_ in range(rounds)] for side in "ab"
            ]
            sources = [QueueSource(config, recorder) for config in filled[0]]
            peers = [Queue(config) for config in filled[1]]
            medians = alternate(
                lambda round_: sources[round_].drain(seconds=_SECONDS).new, lambda round_: _bare(peers[round_]), rounds
            )
            yield medians.rate("queue_drain", medians.work, "messages/s", "receive and delete", goal=0.7)


def memory(*, quick: bool) -> Iterator[Measurement]:
    """Resident memory while the last tenth of very many files is recorded, beside that of the first tenth."""
    rows = _QUICK_ROWS if quick else _FULL_ROWS
    with _opened() as (_, recorder):
        source = QueueSource(QueueConfig(name="files", url="http://127.0.0.1/none"), recorder)
        source.queue = _Endless(source.queue.config, rows // 50)
        source.drain(seconds=_SECONDS)  # what is loaded and cached once is not what grows
        source.queue = messages = _Endless(source.queue.config, rows)
        report = source.drain(seconds=_SECONDS)
        if report.new != rows * 49 // 50:
            raise UnequalWork(f"{report.new} files were recorded of {rows}")
        tenth = len(messages.resident) // 10
        first, last = fmean(messages.resident[:tenth]), fmean(messages.resident[-tenth:])
        yield Measurement("memory", last, "MiB", "the first tenth", first, goal=1.1, at_most=True)


class _Endless(Queue):
    """A queue without a server: announces so many files, ten a message, and notes the memory at each receive."""

    def __init__(self, config: QueueConfig, files: int) -> None:
        super().__init__(config)
        self._files = iter(range(0, files, _FILES_A_MESSAGE))
        self.resident: list[float] = []

    def receive(self, wait_seconds: int | None = None) -> list[Message]:  # noqa: ARG002 - as the queue's
        self.resident.append(_resident_mib())
        found = []
        for first in self._files:
            bodies = [_announcement(f"m/{number}") for number in range(first, first + _FILES_A_MESSAGE)]
            together = json.dumps({"Records": [json.loads(body)["Records"][0] for body in bodies]})
            found.append(Message(together, f"receipt {first}", f"message {first}"))
            if len(found) == BATCH:
                break
        return found

    def delete(self, messages: Sequence[Message]) -> int:
        return 0 * len(messages)

    def dead_letter_queue(self) -> None:
        return None


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _announcement(name: str) -> str:
    return s3_event("landing", f"things/{name}", 7, "e1", _ARRIVED)


def _filled(server: QueueServer, endpoint: str, name: str, number: int) -> QueueConfig:
    url = server.create_queue(name)
    config = QueueConfig(name="files", url=url, endpoint=endpoint, wait_seconds=0)
    Queue(config).send([_announcement(f"{name}/{index}") for index in range(number)])
    return config


def _bare(queue: Queue) -> int:
    """Receive and delete until the queue is empty."""
    number = 0
    while messages := queue.receive():
        queue.delete(messages)
        number += len(messages)
    return number


@contextmanager
def _opened() -> Iterator[tuple[Path, Recorder]]:
    """A folder, and the recorder of a new platform in it."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(variable, "des")  # the server takes any
    with tempfile.TemporaryDirectory(prefix="des_platform_bench-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)  # where root runs the bench, PostgreSQL's own user passes through
        with EmbeddedPostgres(folder, durable=True) as address:
            settings = Settings(
                store_url=f"file://{folder / 'store'}",
                pg_host=address.host,
                pg_port=address.port,
                pg_user=address.user,
                pg_password=SecretStr(address.password),
                pg_db=address.database,
            )
            with Catalog.open(settings) as catalog:
                with catalog.begin() as connection:
                    partitions.register_datasets(connection, [_DATASET])
                yield folder, Recorder(catalog, Buckets(settings), [_DATASET])
