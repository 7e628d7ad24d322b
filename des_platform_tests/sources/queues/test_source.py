from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform.catalog import inbox
from des_platform.cli.demo.processes import wait_until
from des_platform.objectstore import StoreUnavailable
from des_platform.objectstore.store import ObjectStore
from des_platform.sources.queues import pipeline
from des_platform.sources.queues.queue import Depth, Outgoing, Queue
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.platform import DAY, LANDING, noon
from des_platform_tests.sources.support import announce, letters, pending, redrive, tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from des_platform.sources.queues.queue import QueueConfig
    from des_platform.sources.queues.source import QueueReport
    from des_platform_tests.objectstore.relay import Relay
    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.support import Post


class Crash(Exception):
    """The process dies here."""


def test_each_file_is_recorded_once_though_its_message_comes_twice_and_in_any_order(any_post: Post) -> None:
    names = [f"file-{number:02d}" for number in range(30)]
    bodies = [any_post.put(name) for name in names] * 2
    random.Random(7).shuffle(bodies)  # noqa: S311 - no secret
    any_post.queue.send(bodies)

    report = any_post.drain()

    assert report.received >= 60  # a server that is asked by several threads may hand out a message twice
    assert (report.new, report.dead) == (30, 0)
    assert pending(any_post.platform) == names
    assert any_post.queue.waiting() == 0


def test_what_the_store_itself_announces_is_recorded_as_the_listing_finds_it(
    s3_platform: Platform, queue_config: QueueConfig, s3_client: Any, request: pytest.FixtureRequest
) -> None:
    from des_platform_tests.sources.conftest import open_post

    post = open_post(s3_platform, queue_config)
    s3_client.put_bucket_notification_configuration(
        Bucket=LANDING,
        NotificationConfiguration={
            "QueueConfigurations": [
                {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:files", "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    names = ["a b+c.csv", "ä\U0001f600%20.csv", "plain"]
    for name in names:
        s3_platform.put(name, b"content")

    assert post.drain().new == 3

    assert s3_platform.find() == 0
    assert pending(s3_platform) == sorted(names)
    assert s3_platform.take_in().files == 3
    assert letters(s3_platform) == []


def test_a_crash_before_the_commit_leaves_the_messages_in_the_queue(
    hasty_post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty_post.queue.send([hasty_post.put("one"), hasty_post.put("two"), "not JSON"])
    begin = hasty_post.platform.catalog.begin

    @contextmanager
    def dying() -> Iterator[sa.Connection]:
        with begin() as connection:
            yield connection
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(hasty_post.platform.catalog, "begin", dying)
        with pytest.raises(Crash):
            hasty_post.drain()

    assert pending(hasty_post.platform) == []
    assert letters(hasty_post.platform) == []
    hasty_post.wait_for(3)
    report = hasty_post.drain()
    assert (report.received, report.new, report.known, report.dead) == (3, 2, 0, 1)
    assert pending(hasty_post.platform) == ["one", "two"]


def test_a_crash_between_commit_and_deletion_records_nothing_twice(
    hasty_post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty_post.queue.send([hasty_post.put("one"), hasty_post.put("two"), "not JSON"])

    def dying(_queue: Queue, _messages: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "delete", dying)
        with pytest.raises(Crash):
            hasty_post.drain()
    assert pending(hasty_post.platform) == ["one", "two"]
    hasty_post.wait_for(3)

    report = hasty_post.drain()

    assert (report.received, report.new, report.known) == (3, 0, 2)
    assert pending(hasty_post.platform) == ["one", "two"]
    assert [letter.attempts for letter in letters(hasty_post.platform)] == [2]
    assert hasty_post.queue.waiting() == 0


TOMORROW = datetime.now(UTC).date() + timedelta(days=2)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("not JSON", "not JSON"),
        ("[]", "expected an object"),
        ('{"hello": "world"}', "no known shape"),
        ('{"Records": []}', "an empty list"),
        ("[" * 100_000, "nested too deep"),
        (
            announce("elsewhere/2026-03-01/a"),
            "no dataset takes landing/elsewhere/2026-03-01/a: known are landing/things/",
        ),
        (announce(f"things/{DAY}/a", bucket="strange-bucket"), "no dataset takes strange-bucket"),
        (announce("things/../des/a"), "'..'"),
        (announce("/things/2026-03-01/a"), "starts with '/'"),
        (announce(f"things/{DAY}/a\0b"), "control character"),
        (announce("things/no-day"), "holds no YYYY-MM-DD"),
        (announce("things/2025-12-31/a"), "outside dataset things"),
        (announce("things/2026-02-30/a"), "which is no day"),
        (announce(f"things/{TOMORROW}/a"), "in the future"),
        ('{"ID": "1", "file_name": "things/2026-03-01/a"}', "names no bucket"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_recorded_is_kept_with_body_and_reason_and_costs_no_neighbour(
    post: Post, body: str, said: str
) -> None:
    post.queue.send([post.put("before"), body, post.put("after")])

    report = post.drain()

    assert (report.received, report.new, report.dead) == (3, 2, 1)
    assert pending(post.platform) == ["after", "before"]
    (letter,) = letters(post.platform)
    assert (letter.stage, letter.body, letter.attempts) == ("queue", body, 1)
    assert said in letter.reason
    assert post.queue.waiting() == 0


def test_a_message_may_announce_several_files_good_and_bad(post: Post) -> None:
    bodies = [post.put("one"), announce("../etc/passwd"), post.put("two"), announce("elsewhere/a")]
    together = json.dumps({"Records": [json.loads(body)["Records"][0] for body in bodies]})
    post.queue.send([together])

    report = post.drain()

    assert (report.received, report.new, report.dead) == (1, 2, 2)
    assert pending(post.platform) == ["one", "two"]
    assert {letter.body for letter in letters(post.platform)} == {together}
    assert sorted(letter.subject for letter in letters(post.platform)) == ["a message", "landing/elsewhere/a"]


def test_deletions_and_the_test_event_of_a_new_queue_record_nothing(post: Post) -> None:
    removed = announce(f"things/{DAY}/a").replace("ObjectCreated:Put", "ObjectRemoved:Delete")
    post.queue.send([removed, '{"Service": "Amazon S3", "Event": "s3:TestEvent"}'])

    report = post.drain()

    assert (report.received, report.removed, report.new, report.dead) == (2, 1, 0, 0)
    assert tally(post.platform) == {"pending": 0, "done": 0, "dead": 0}
    assert letters(post.platform) == []


def test_a_message_that_tells_too_little_is_completed_by_asking_the_store(any_post: Post) -> None:
    key = any_post.platform.put("one", b"seven b")
    any_post.queue.send([json.dumps({"ID": "1", "file_name": key})])

    assert any_post.drain(default_bucket=LANDING).new == 1

    with any_post.platform.catalog.begin() as connection:
        (row,) = inbox.claim(connection, "things", DAY, after=0, limit=9)
    assert (row.claimed_size, row.etag) == (7, any_post.platform.buckets.bucket(LANDING).head(key).etag)
    assert any_post.platform.find() == 0


def test_a_file_that_vanished_before_it_was_asked_for_is_a_dead_letter(any_post: Post) -> None:
    body = json.dumps({"ID": "1", "file_name": f"things/{DAY}/gone"})
    any_post.queue.send([body, any_post.put("here")])

    report = any_post.drain(default_bucket=LANDING)

    assert (report.new, report.dead) == (1, 1)
    (letter,) = letters(any_post.platform)
    assert (letter.subject, letter.body) == (f"landing/things/{DAY}/gone", body)
    assert "not there" in letter.reason


def test_a_store_out_of_reach_leaves_the_messages_in_the_queue(
    hasty_post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = hasty_post.platform.put("one", b"content")
    hasty_post.queue.send([json.dumps({"ID": "1", "file_name": key})])

    def unavailable(_store: ObjectStore, key: str) -> None:
        raise StoreUnavailable(key)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "head", unavailable)
        with pytest.raises(StoreUnavailable):
            hasty_post.drain(default_bucket=LANDING)
    assert letters(hasty_post.platform) == []
    hasty_post.wait_for(1)

    assert hasty_post.drain(default_bucket=LANDING).new == 1


def test_without_time_nothing_is_received(post: Post) -> None:
    post.queue.send([post.put("one")])

    assert post.drain(seconds=0).received == 0

    assert post.queue.waiting() == 1
    assert pending(post.platform) == []


def test_a_batch_that_has_begun_is_finished_and_the_rest_waits(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.queue.send([post.put(f"file-{number:02d}") for number in range(25)])
    # Each look at the clock is five seconds after the last: the third receive is not begun any more.
    clock = count(step=5)
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("des_platform.sources.queues.source.time", SimpleNamespace(monotonic=lambda: 0))

    report = post.drain(seconds=10)

    assert (report.received, report.new, post.queue.waiting()) == (20, 20, 5)


def test_drains_at_once_record_each_file_and_each_letter_once(hasty_post: Post) -> None:
    good = [f"file-{number:02d}" for number in range(20)]
    bad = [f"poison {number}" for number in range(20)]
    bodies = [hasty_post.put(name) for name in good] + bad
    random.Random(3).shuffle(bodies)  # noqa: S311 - no secret
    hasty_post.queue.send(bodies)
    barrier = threading.Barrier(3, timeout=30)

    def work(_number: int) -> QueueReport:
        barrier.wait()
        return hasty_post.drain()

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(work, range(3)))

    assert sum(report.new for report in reports) == 20
    assert pending(hasty_post.platform) == good
    assert sorted(letter.body or "" for letter in letters(hasty_post.platform)) == sorted(bad)
    assert hasty_post.queue.waiting() == 0


def test_the_arrival_time_in_the_message_chooses_the_day_where_the_key_does_not(post: Post) -> None:
    post.platform.dataset = post.platform.dataset.model_copy(update={"day_in_key": False})
    post.queue.send([announce("things/a"), announce("things/b").replace("2026-03-01T", "2026-03-02T")])

    assert post.drain().new == 2

    with post.platform.catalog.begin() as connection:
        days = [waiting.day for waiting in inbox.backlog(connection, "things", 9)]
    assert days == [noon().date(), noon().date() + timedelta(days=1)]


def test_a_fifo_queue_is_emptied_whatever_its_groups(post: Post, queue_config: QueueConfig, moto_endpoint: str) -> None:
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = client.create_queue(QueueName="files.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    post.config = queue_config.model_copy(update={"url": url})
    names = [f"file-{number:02d}" for number in range(30)]
    post.queue.send([Outgoing(post.put(name), f"group {int(name[-1]) % 2}", name) for name in names])

    report = post.drain()

    assert report.new == 30
    assert pending(post.platform) == names
    assert post.queue.depth() == Depth(0, 0, 0)


def test_in_a_fifo_queue_a_message_that_must_wait_holds_back_its_own_group_alone(
    post: Post, queue_config: QueueConfig, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = client.create_queue(QueueName="files.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    post.config = queue_config.model_copy(update={"url": url, "visibility_seconds": 1})
    key = post.platform.put("out-of-reach", b"content")
    post.queue.send(
        [
            Outgoing(json.dumps({"ID": "1", "file_name": key}), "a", "1"),
            Outgoing(post.put("behind-it"), "a", "2"),
            Outgoing(post.put("beside-it"), "b", "3"),
        ]
    )

    def unavailable(_store: ObjectStore, key: str) -> None:
        raise StoreUnavailable(key)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "head", unavailable)
        with pytest.raises(StoreUnavailable):
            post.drain(default_bucket=LANDING)
    assert pending(post.platform) == ["beside-it"]
    wait_until(lambda: post.queue.depth().in_flight == 0, 20, "the messages are back")

    assert post.drain(default_bucket=LANDING).new == 2


def test_one_file_out_of_reach_costs_its_neighbours_nothing(hasty_post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    key = hasty_post.platform.put("out-of-reach", b"content")
    hasty_post.queue.send([hasty_post.put("one"), json.dumps({"ID": "1", "file_name": key}), hasty_post.put("two")])

    def unavailable(_store: ObjectStore, key: str) -> None:
        raise StoreUnavailable(key)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "head", unavailable)
        with pytest.raises(StoreUnavailable):
            hasty_post.drain(default_bucket=LANDING)

    assert pending(hasty_post.platform) == ["one", "two"]
    assert letters(hasty_post.platform) == []
    hasty_post.wait_for(1)


def test_what_the_queue_gave_up_is_recorded_or_becomes_a_dead_letter_of_ours(
    hasty_post: Post, moto_endpoint: str
) -> None:
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    client.create_queue(QueueName="files-dlq")
    redrive(client, hasty_post.queue.url, "files-dlq")
    hasty_post.queue.send([hasty_post.put("one"), "not JSON"])
    assert len(hasty_post.queue.receive()) == 2
    wait_until(lambda: not hasty_post.queue.receive() and hasty_post.queue.depth().dead_letters == 2, 20, "given up")

    report = hasty_post.drain()

    assert (report.received, report.redriven, report.new, report.dead) == (2, 2, 1, 1)
    assert "2 taken from the queue's own dead-letter queue" in report.note
    assert pending(hasty_post.platform) == ["one"]
    (letter,) = letters(hasty_post.platform)
    assert (letter.body, letter.origin) == ("not JSON", "files")
    assert "received 2 times" in (letter.reference or "")
    assert hasty_post.queue.depth() == Depth(0, 0, 0)


def test_what_was_recorded_and_could_not_be_deleted_is_told_and_known_the_next_time(
    hasty_post: Post, relay: Relay
) -> None:
    hasty_post.queue.send([hasty_post.put("one"), hasty_post.put("two")])
    source = hasty_post.source(endpoint=relay.url)
    relay.before = lambda _method, _path, headers: 403 if "DeleteMessage" in headers.get("x-amz-target", "") else None

    report = source.drain(seconds=30)

    assert (report.new, report.undeleted) == (2, 2)
    assert "2 recorded, but not deleted" in report.note
    hasty_post.wait_for(2)
    report = hasty_post.drain()
    assert (report.new, report.known, report.undeleted) == (0, 2, 0)


def test_a_queue_that_cannot_be_reached_says_so_by_name(post: Post) -> None:
    source = post.source(endpoint="http://127.0.0.1:1", timeout_seconds=0.5)

    with pytest.raises(SourceUnavailable, match="the queue files cannot be reached"):
        source.drain(seconds=30)
