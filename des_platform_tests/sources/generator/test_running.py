from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.objectstore import StoreUnavailable
from des_platform.settings import ConfigurationError
from des_platform.sources.generator.running import Delivered, Plan, run
from des_platform.sources.generator.schema import load_schema
from des_platform.sources.generator.targets import BucketTarget, FolderTarget
from des_platform.sources.generator.writing import Generator
from des_platform.sources.queues.queue import Queue
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.support import Post, letters, pending, tally

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform.objectstore import PutResult

PLAN = Plan(day=DAY, prefix="things/", rows=20, seed=5, files=25)


def generator() -> Generator:
    return Generator(load_schema("weather"), "csv")


def bucket_of(post: Post) -> BucketTarget:
    return BucketTarget(post.platform.buckets.bucket(LANDING), post.queue, threads=4)


def deliver(post: Post, plan: Plan = PLAN) -> Delivered:
    return run(generator(), bucket_of(post), plan, threading.Event(), lambda _: None)


def stored(post: Post) -> dict[str, str]:
    store = post.platform.buckets.bucket(LANDING)
    return {info.key: store.digest(info.key).sha256 for info in store.list("things/")}


def test_files_are_put_and_announced_and_arrive_in_the_inbox(any_post: Post) -> None:
    done = deliver(any_post)
    assert (done.files, done.announced, done.known) == (25, 25, 0)
    found = stored(any_post)
    assert done.bytes == sum(len(generator().content(DAY, number, rows=20, seed=5)) for number in range(25))
    assert sorted(found) == [PLAN.key(generator(), number) for number in range(25)]
    assert all(re.fullmatch(rf"things/{DAY}/seed5_[0-9a-f]{{8}}_0000\d\d\.csv", key) for key in found)
    report = any_post.drain()
    assert (report.new, report.dead) == (25, 0)
    assert report.received == report.new + report.known  # a queue may hand a message out twice
    assert len(pending(any_post.platform)) == 25
    assert letters(any_post.platform) == []


def test_repeated_run_gives_the_same_keys_and_bytes_and_nothing_new(any_post: Post) -> None:
    deliver(any_post)
    before = stored(any_post)
    any_post.drain()
    done = deliver(any_post)
    assert (done.files, done.known, done.announced) == (25, 25, 25)
    assert stored(any_post) == before
    report = any_post.drain()
    # A queue may hand a message out twice.
    assert (report.new, report.known) == (0, report.received)
    assert report.received >= 25
    assert sum(tally(any_post.platform).values()) == 25


def test_run_that_was_cut_short_is_completed_by_the_next(post: Post) -> None:
    store = post.platform.buckets.bucket(LANDING)
    store.put(PLAN.key(generator(), 3), generator().content(DAY, 3, rows=20, seed=5))  # put, and never announced
    assert deliver(post).known == 1
    assert post.drain().new == 25


@pytest.mark.parametrize("changes", [{"seed": 6}, {"rows": 21}, {"prefix": "things/more/"}])
def test_other_runs_never_share_a_key(post: Post, changes: dict[str, Any]) -> None:
    deliver(post)
    assert deliver(post, replace(PLAN, **changes)).known == 0
    assert len(stored(post)) == 50


def test_object_of_other_content_is_never_replaced_and_its_neighbours_are_announced(any_post: Post) -> None:
    store, key = any_post.platform.buckets.bucket(LANDING), PLAN.key(generator(), 3)
    store.put(key, b"somebody's")
    with pytest.raises(ConfigurationError, match=f"{re.escape(key)} holds something else than the seed gives"):
        deliver(any_post, replace(PLAN, files=5))
    assert stored(any_post)[key] == hashlib.sha256(b"somebody's").hexdigest()
    announced = any_post.drain().new
    assert announced == len(stored(any_post)) - 1 >= 3


def test_store_that_fails_ends_the_run_when_what_was_put_is_announced(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = bucket_of(post)
    store = post.platform.buckets.bucket(LANDING)
    put = store.put

    def failing(key: str, *arguments: Any, **options: Any) -> PutResult:
        if key.endswith("_000007.csv"):
            raise StoreUnavailable("503")
        return put(key, *arguments, **options)

    monkeypatch.setattr(store, "put", failing)
    with pytest.raises(StoreUnavailable):
        run(generator(), target, PLAN, threading.Event(), lambda _: None)
    assert target.announced == len(stored(post)) == post.drain().new >= 7


def test_queue_that_does_not_answer_is_named_and_the_files_stay(post: Post) -> None:
    nowhere = post.config.model_copy(update={"url": f"{post.queue.url}-missing"})
    target = BucketTarget(post.platform.buckets.bucket(LANDING), Queue(nowhere), threads=4)
    with pytest.raises(SourceUnavailable, match="files-missing did not take 3 announcements"):
        run(generator(), target, replace(PLAN, files=3), threading.Event(), lambda _: None)
    assert len(stored(post)) == 3
    assert post.platform.find() == 3


def test_run_without_a_queue_announces_nothing(post: Post) -> None:
    target = BucketTarget(post.platform.buckets.bucket(LANDING), None, threads=4)
    assert run(generator(), target, PLAN, threading.Event(), lambda _: None).announced == 0
    assert len(stored(post)) == 25
    assert post.queue.waiting() == 0


def test_stopped_run_finishes_what_it_began(post: Post) -> None:
    stop = threading.Event()
    seen: list[Delivered] = []

    def watch(done: Delivered) -> None:
        seen.append(done)
        if done.files == 7:
            stop.set()

    done = run(generator(), bucket_of(post), replace(PLAN, files=None), stop, watch)
    assert [found.files for found in seen] == list(range(1, 8))
    assert (done.files, done.announced, len(stored(post))) == (7, 7, 7)


def test_slow_run_announces_each_file_before_it_waits_and_ends_at_once_when_stopped(post: Post) -> None:
    stop = threading.Event()
    plan = replace(PLAN, files=None, rate=0.001)
    runner = threading.Thread(target=run, args=(generator(), bucket_of(post), plan, stop, lambda _: None))
    runner.start()
    post.wait_for(1)
    stop.set()
    runner.join(20)
    assert not runner.is_alive()
    assert len(stored(post)) == 1


def test_run_ends_when_its_time_is_up(tmp_path: Path) -> None:
    done = run(
        generator(), FolderTarget(tmp_path), replace(PLAN, files=None, seconds=0.05), threading.Event(), lambda _: None
    )
    assert done.files == len(list(tmp_path.rglob("*.csv"))) >= 1


def test_files_in_a_folder_are_those_of_the_bucket(post: Post, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    deliver(post)
    done = run(generator(), FolderTarget(folder), PLAN, threading.Event(), lambda _: None)
    assert (done.files, done.known, done.announced) == (25, 0, 0)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} == stored(
        post
    )
    assert run(generator(), FolderTarget(folder), PLAN, threading.Event(), lambda _: None).known == 25


def test_file_of_other_content_in_a_folder_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / PLAN.key(generator(), 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="holds something else"):
        run(generator(), FolderTarget(tmp_path), PLAN, threading.Event(), lambda _: None)
    assert path.read_bytes() == b"mine"


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/file/.* cannot be written: "):
        run(generator(), FolderTarget(tmp_path / "file"), PLAN, threading.Event(), lambda _: None)


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "x" * 1100, "\n", "\ud800"])
def test_prefix_that_cannot_start_a_key_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot start a key") as caught:
        replace(PLAN, prefix=prefix).key(generator(), 0)
    assert str(caught.value).isprintable()
