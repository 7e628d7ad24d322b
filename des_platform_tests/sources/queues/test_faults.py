"""What a queue, its server and its senders may do wrong, with the counts of what came of it."""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import files, partitions
from des_platform.catalog.database import Catalog
from des_platform.cli.demo.processes import wait_until
from des_platform.objectstore import Buckets
from des_platform.settings import load_settings
from des_platform.sources.queues.queue import Queue, QueueConfig
from des_platform.sources.queues.source import QueueReport, QueueSource
from des_platform.sources.recording import Recorder
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.objectstore.relay import Relay, start
from des_platform_tests.platform import DATASET, DAY
from des_platform_tests.sources.support import Post, letters, tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform_tests.objectstore.relay import Fault

KINDS: tuple[Fault, ...] = ("error", "silence", "cut")


@pytest.fixture
def spoiling(moto_endpoint: str) -> Iterator[Relay]:
    """A relay that spoils one answer in ten, each time in another way."""
    calls = itertools.count(1)
    faults = itertools.cycle(KINDS)

    def fault() -> Fault | None:
        return next(faults) if next(calls) % 10 == 0 else None

    relay = Relay(fault=fault, silence_seconds=2.0)
    server = start(relay, moto_endpoint)
    yield relay
    server.shutdown()
    server.server_close()


def fill(post: Post, number: int) -> tuple[list[str], list[str]]:
    """Put files; returns what announces them, and poison for one in a hundred messages."""
    good = [post.put(f"file-{index:04d}") for index in range(number)]
    return good, [f"poison {index}" for index in range(max(1, number // 100))]


def drain_all(post: Post, source: QueueSource) -> tuple[QueueReport, int]:
    """Drain, as the sensor does, until nothing waits and nothing is in flight; also counts the failed drainings."""
    total, failed = QueueReport(), 0

    def emptied() -> bool:
        nonlocal total, failed
        try:
            total += source.drain(seconds=5)
        except SourceUnavailable:
            failed += 1
        depth = post.queue.depth()
        return depth.waiting + depth.in_flight == 0

    wait_until(emptied, 60, "the queue is empty")
    return total, failed


def check(post: Post, number: int, poison: Sequence[str]) -> None:
    """Every file is catalogued once, none is lost, and the poison lies in the dead letters, each once."""
    assert tally(post.platform) == {"pending": number, "done": 0, "dead": 0}
    assert post.platform.take_in().files == number
    with post.platform.catalog.begin() as connection:
        rows = [row for batch in files.of_day(connection, DATASET.name, DAY) for row in batch]
    keys = Counter(row.key for row in rows)
    assert keys == Counter(f"things/{DAY}/file-{index:04d}" for index in range(number))
    assert sorted(letter.body or "" for letter in letters(post.platform)) == sorted(poison)


def test_every_message_twice_and_in_any_order_with_poison_among_them(post: Post) -> None:
    good, poison = fill(post, 120)
    bodies = [*good, *poison] * 2
    random.Random(11).shuffle(bodies)  # noqa: S311 - no secret
    post.queue.send(bodies)

    report = post.drain()

    print(f"{report.received} messages: {report.new} new, {report.known} known, {report.dead} dead")  # noqa: T201
    assert report.received >= 242
    assert (report.new, report.known) == (120, report.received - 120 - report.dead)
    assert all(letter.attempts >= 2 for letter in letters(post.platform))
    check(post, 120, poison)


def test_a_server_that_fails_falls_silent_and_cuts_answers_for_one_call_in_ten(
    hasty_post: Post, spoiling: Relay
) -> None:
    good, poison = fill(hasty_post, 120)
    spoiled = hasty_post.config.model_copy(update={"endpoint": spoiling.url, "timeout_seconds": 1.5})
    Queue(spoiled).send([*good, *poison])
    source = hasty_post.source(endpoint=spoiling.url, timeout_seconds=1.5)

    report, failed = drain_all(hasty_post, source)

    calls = len(spoiling.requests)
    print(  # noqa: T201
        f"{calls} calls, {calls // 10} spoiled, {failed} drainings failed: {report.received} messages, "
        f"{report.new} new, {report.known} known, {report.dead} dead, {report.undeleted} not deleted"
    )
    assert calls // 10 >= len(KINDS)
    check(hasty_post, 120, poison)


def test_several_processes_empty_one_queue_together(post: Post) -> None:
    good, poison = fill(post, 120)
    bodies = [*good, *poison, *good[:50]]
    random.Random(5).shuffle(bodies)  # noqa: S311 - no secret
    post.queue.send(bodies)
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        reports = pool.starmap(drain_in_a_process, [(post.config.model_dump(),)] * 3, chunksize=1)

    print([f"{received} messages, {new} new" for received, new, _ in reports])  # noqa: T201
    assert sum(received for received, _, _ in reports) >= len(bodies)
    assert sum(new for _, new, _ in reports) == 120
    assert len({process for _, _, process in reports}) > 1
    check(post, 120, poison)


def drain_in_a_process(config: dict[str, object]) -> tuple[int, int, int]:
    """Drain with what the environment says, as another computer would; returns messages, new files, and the process."""
    import os

    settings = load_settings()
    with Catalog.open(settings) as catalog:
        with catalog.begin() as connection:
            partitions.register_datasets(connection, [DATASET])
        source = QueueSource(QueueConfig.model_validate(config), Recorder(catalog, Buckets(settings), [DATASET]))
        report = source.drain(seconds=30)
    return report.received, report.new, os.getpid()
