from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from des_platform.catalog import inbox, partitions
from des_platform.objectstore import StoreUnavailable
from des_platform.sources import listing
from des_platform.sources.listing import ListingReport, list_new
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.support import letters, pending, tally

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.support import Post


@pytest.fixture
def two_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PAGE", 2)


def list_once(platform: Platform, *, start_after: str | None = None, seconds: float = 30) -> ListingReport:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
    return list_new(
        platform.catalog,
        platform.buckets,
        platform.dataset,
        [platform.dataset],
        start_after=start_after,
        seconds=seconds,
    )


def landing_folder(platform: Platform) -> Path:
    return Path(urlsplit(platform.settings.store_url).path) / LANDING / "things" / str(DAY)


def test_what_no_message_announced_is_found_once(any_platform: Platform) -> None:
    for name in ("a", "b", "c"):
        any_platform.put(name, b"content")

    assert list_once(any_platform) == ListingReport(seen=3, new=3)
    assert list_once(any_platform) == ListingReport(seen=3, known=3)
    assert pending(any_platform) == ["a", "b", "c"]


def test_a_file_that_a_message_announced_is_not_found_again(any_post: Post) -> None:
    any_post.queue.send([any_post.put("announced")])
    assert any_post.drain().new == 1
    any_post.put("lost")

    assert list_once(any_post.platform) == ListingReport(seen=2, new=1, known=1)
    assert pending(any_post.platform) == ["announced", "lost"]


def test_a_file_that_was_found_is_not_recorded_again_when_its_message_comes(any_post: Post) -> None:
    body = any_post.put("late message")
    assert list_once(any_post.platform).new == 1
    any_post.queue.send([body])

    report = any_post.drain()

    assert (report.new, report.known) == (0, 1)


def test_a_file_that_was_written_anew_is_found_anew(any_platform: Platform) -> None:
    any_platform.put("a", b"first")
    list_once(any_platform)
    any_platform.put("a", b"second version")

    assert list_once(any_platform).new == 1
    assert pending(any_platform) == ["a", "a"]


@pytest.mark.usefixtures("two_a_page")
def test_a_listing_that_runs_out_of_time_goes_on_where_it_ended(any_platform: Platform) -> None:
    for number in range(5):
        any_platform.put(f"file-{number}", b"content")

    reports = [list_once(any_platform, seconds=0)]
    while reports[-1].next_key is not None and len(reports) < 9:
        reports.append(list_once(any_platform, start_after=reports[-1].next_key, seconds=0))

    assert [(report.seen, report.new) for report in reports] == [(2, 2), (2, 2), (1, 1)]
    assert len(pending(any_platform)) == 5


@pytest.mark.usefixtures("two_a_page")
def test_a_listing_with_time_goes_through_all_pages(any_platform: Platform) -> None:
    for number in range(5):
        any_platform.put(f"file-{number}", b"content")

    assert list_once(any_platform) == ListingReport(seen=5, new=5)


def test_hostile_names_in_a_bucket_are_dead_letters_and_stop_nobody(s3_platform: Platform, s3_client: Any) -> None:
    hostile = [
        f"things/{DAY}/",
        f"things/{DAY}//double",
        f"things/{DAY}/a\\b",
        f"things/{DAY}/tab\there",
        f"things/{DAY}/../../escape",
        "things/no-day",
        "things/2026-02-30/no-such-day",
        "things/2025-12-31/too-early",
        f"things/{datetime.now(UTC).date() + timedelta(days=2)}/too-late",
    ]
    for key in hostile:
        s3_client.put_object(Bucket=LANDING, Key=key, Body=b"content")
    s3_platform.put("!first", b"content")
    s3_platform.put("~last", b"content")

    assert list_once(s3_platform) == ListingReport(seen=11, new=2, dead=9)

    assert pending(s3_platform) == ["!first", "~last"]
    kept = letters(s3_platform)
    assert {letter.subject for letter in kept} == {f"{LANDING}/{key}" for key in hostile}
    assert all(letter.reason for letter in kept)


def test_hostile_names_in_a_folder_are_dead_letters_and_stop_nobody(platform: Platform) -> None:
    platform.put("good", b"content")
    for name in (b"back\\slash", b"new\nline", b"not-utf-8-\xff\xfe"):
        (Path(os.fsdecode(os.fsencode(landing_folder(platform)) + b"/" + name))).write_bytes(b"content")

    assert list_once(platform) == ListingReport(seen=4, new=1, dead=3)

    assert pending(platform) == ["good"]
    assert len(letters(platform)) == 3


def test_a_hostile_name_is_one_letter_however_often_it_is_listed(s3_platform: Platform, s3_client: Any) -> None:
    s3_client.put_object(Bucket=LANDING, Key="things//double", Body=b"content")

    list_once(s3_platform)
    list_once(s3_platform)

    assert [letter.attempts for letter in letters(s3_platform)] == [2]
    assert tally(s3_platform)["pending"] == 0


def test_a_file_that_is_known_is_no_dead_letter_when_its_dataset_ends_earlier(platform: Platform) -> None:
    platform.put("a", b"content")
    list_once(platform)
    platform.dataset = platform.dataset.model_copy(update={"end": DAY})

    assert list_once(platform) == ListingReport(seen=1, known=1)
    assert letters(platform) == []


def test_a_file_under_a_longer_prefix_is_left_to_its_own_dataset(platform: Platform) -> None:
    special = platform.dataset.model_copy(update={"name": "special", "prefix": f"things/{DAY}/special/"})
    platform.put("special/one", b"content")
    platform.put("plain", b"content")
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset, special])

    found = list_new(platform.catalog, platform.buckets, platform.dataset, [platform.dataset, special], seconds=30)

    assert (found.seen, found.new, found.dead) == (2, 1, 0)
    assert pending(platform) == ["plain"]


def test_a_file_outside_the_prefix_is_not_looked_at(platform: Platform) -> None:
    platform.buckets.bucket(LANDING).put(f"other/{DAY}/a", b"content")

    assert list_once(platform) == ListingReport()


def test_listings_at_once_record_each_file_once(platform: Platform) -> None:
    for number in range(50):
        platform.put(f"file-{number:02d}", b"content")
    platform.buckets.bucket(LANDING).put("things/no-day", b"content")
    list_once(platform, start_after="things/~")
    barrier = threading.Barrier(4, timeout=30)

    def work(_number: int) -> ListingReport:
        barrier.wait()
        return list_once(platform)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(work, range(4)))

    assert sum(report.new for report in reports) == 50
    assert len(pending(platform)) == 50


def test_a_bucket_that_is_not_there_is_an_error_and_records_nothing(s3_platform: Platform) -> None:
    s3_platform.dataset = s3_platform.dataset.model_copy(update={"bucket": "nowhere"})

    with pytest.raises(StoreUnavailable, match="nowhere"):
        list_once(s3_platform)

    with s3_platform.catalog.begin() as connection:
        assert inbox.tally(connection)["pending"] == 0


@pytest.mark.usefixtures("two_a_page")
def test_a_listing_out_of_time_does_not_stop_at_a_key_that_cannot_be_kept(platform: Platform) -> None:
    for name in (b"a", b"b-not-utf-8-\xff", b"c", b"d", b"e"):
        landing_folder(platform).mkdir(parents=True, exist_ok=True)
        (Path(os.fsdecode(os.fsencode(landing_folder(platform)) + b"/" + name))).write_bytes(b"content")

    report = list_once(platform, seconds=0)

    assert (report.seen, report.dead) == (4, 1)
    assert report.next_key is not None
    assert report.next_key.endswith("/d")
