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

import pytest

from des_platform.catalog import inbox
from des_platform.objectstore import StoreUnavailable
from des_platform.objectstore.store import ObjectStore
from des_platform.sources import drain as drain_module
from des_platform.sources import queue as queue_module
from des_platform_tests.platform import DAY, LANDING, noon
from des_platform_tests.sources.support import announce, letters, pending, tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from des_platform.sources.source import DrainReport
    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.support import Post


class Crash(Exception):
    """The process dies here."""


@pytest.fixture
def redelivering(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue hands a message out again at once until it is deleted."""
    monkeypatch.setattr(queue_module, "VISIBILITY_SECONDS", 0)


def test_each_file_is_recorded_once_though_its_message_comes_twice_and_in_any_order(any_post: Post) -> None:
    names = [f"file-{number:02d}" for number in range(30)]
    bodies = [any_post.put(name) for name in names] * 2
    random.Random(7).shuffle(bodies)  # noqa: S311 - no secret
    any_post.queue.send(bodies)

    report = any_post.drain()

    assert (report.received, report.new, report.known, report.dead) == (60, 30, 30, 0)
    assert pending(any_post.platform) == names
    assert any_post.queue.waiting() == 0


def test_what_the_store_itself_announces_is_recorded_as_the_listing_finds_it(
    s3_platform: Platform, queue_settings: dict[str, str], s3_client: Any, request: pytest.FixtureRequest
) -> None:
    from des_platform_tests.sources.conftest import open_post

    post = open_post(s3_platform, queue_settings)
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


@pytest.mark.usefixtures("redelivering")
def test_a_crash_before_the_commit_leaves_the_messages_in_the_queue(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.queue.send([post.put("one"), post.put("two"), "not JSON"])
    begin = post.platform.catalog.begin

    @contextmanager
    def dying() -> Iterator[sa.Connection]:
        with begin() as connection:
            yield connection
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(post.platform.catalog, "begin", dying)
        with pytest.raises(Crash):
            post.drain()

    assert pending(post.platform) == []
    assert letters(post.platform) == []
    report = post.drain()
    assert (report.received, report.new, report.known, report.dead) == (3, 2, 0, 1)
    assert pending(post.platform) == ["one", "two"]


@pytest.mark.usefixtures("redelivering")
def test_a_crash_between_commit_and_deletion_records_nothing_twice(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.queue.send([post.put("one"), post.put("two"), "not JSON"])

    def dying(_messages: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(post.queue, "delete", dying)
        with pytest.raises(Crash):
            post.drain()
    assert pending(post.platform) == ["one", "two"]

    report = post.drain()

    assert (report.received, report.new, report.known) == (3, 0, 2)
    assert pending(post.platform) == ["one", "two"]
    assert [letter.attempts for letter in letters(post.platform)] == [2]
    assert post.queue.waiting() == 0


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


@pytest.mark.usefixtures("redelivering")
def test_a_store_out_of_reach_leaves_the_messages_in_the_queue(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    key = post.platform.put("one", b"content")
    post.queue.send([json.dumps({"ID": "1", "file_name": key})])

    def unavailable(_store: ObjectStore, key: str) -> None:
        raise StoreUnavailable(key)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "head", unavailable)
        with pytest.raises(StoreUnavailable):
            post.drain(default_bucket=LANDING)
    assert letters(post.platform) == []

    assert post.drain(default_bucket=LANDING).new == 1


def test_without_time_nothing_is_received(post: Post) -> None:
    post.queue.send([post.put("one")])

    assert post.drain(seconds=0).received == 0

    assert post.queue.waiting() == 1
    assert pending(post.platform) == []


def test_a_batch_that_has_begun_is_finished_and_the_rest_waits(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.queue.send([post.put(f"file-{number:02d}") for number in range(25)])
    clock = count(step=4)
    monkeypatch.setattr(drain_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    report = post.drain(seconds=10)

    assert (report.received, report.new, post.queue.waiting()) == (20, 20, 5)


@pytest.mark.usefixtures("redelivering")
def test_drains_at_once_record_each_file_and_each_letter_once(post: Post) -> None:
    good = [f"file-{number:02d}" for number in range(20)]
    bad = [f"poison {number}" for number in range(20)]
    bodies = [post.put(name) for name in good] + bad
    random.Random(3).shuffle(bodies)  # noqa: S311 - no secret
    post.queue.send(bodies)
    barrier = threading.Barrier(3, timeout=30)

    def work(_number: int) -> DrainReport:
        barrier.wait()
        return post.drain()

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(work, range(3)))

    assert sum(report.new for report in reports) == 20
    assert pending(post.platform) == good
    assert sorted(letter.body or "" for letter in letters(post.platform)) == sorted(bad)
    assert post.queue.waiting() == 0


def test_the_arrival_time_in_the_message_chooses_the_day_where_the_key_does_not(post: Post) -> None:
    post.platform.dataset = post.platform.dataset.model_copy(update={"day_in_key": False})
    post.queue.send([announce("things/a"), announce("things/b").replace("2026-03-01T", "2026-03-02T")])

    assert post.drain().new == 2

    with post.platform.catalog.begin() as connection:
        days = [waiting.day for waiting in inbox.backlog(connection, "things", 9)]
    assert days == [noon().date(), noon().date() + timedelta(days=1)]
