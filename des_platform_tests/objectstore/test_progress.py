"""Pace and log lines of transfers, with a clock that stands still until it is told to go; calls in threads."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from des_platform.objectstore import InvalidKey, ObjectStore, StoreUnavailable
from des_platform.objectstore.threads import in_order
from des_platform.objectstore.transfers import Pace, logged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.objectstore.relay import Relay


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_time_left_count_from_the_first_report_on() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert (pace.bytes_per_second, pace.seconds_left) == (0.0, None)
    pace.take(10_000_000, 50_000_000)
    assert (pace.bytes_per_second, pace.seconds_left) == (0.0, None)
    clock.now += 2
    pace.take(30_000_000, 50_000_000)

    assert (pace.bytes_per_second, pace.seconds_left) == (10_000_000, 2.0)
    assert str(pace) == "30.0 of 50.0 MB (60%), 10.0 MB/s, 2 s left"


@pytest.mark.parametrize("total", [0, None])
def test_nothing_of_nothing_is_told_without_a_share(total: int | None) -> None:
    pace = Pace(Clock())
    pace.take(0, total)
    assert str(pace) == "0.0 MB, 0.0 MB/s"


def test_the_log_hears_every_ten_seconds_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="des_platform")
    clock = Clock()
    progress = logged("upload of x", clock)
    for second in range(26):
        clock.now = 100.0 + second
        progress(second * 1_000_000, 25_000_000)

    assert [record.getMessage().split()[3] for record in caplog.records] == ["10.0", "20.0", "25.0"]


def test_results_come_in_order_and_no_more_are_begun_than_wanted() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(str, items(), 2, ahead=3)

    assert [next(results), next(results)] == ["0", "1"]
    assert len(taken) == 4
    results.close()  # type: ignore[attr-defined] # a generator
    assert len(taken) == 4


def test_many_objects_are_stored_in_the_order_given(store: ObjectStore) -> None:
    done = store.put_many((f"key/{number:02d}", b"%d" % number) for number in range(50))

    assert [result.key for result in done] == [f"key/{number:02d}" for number in range(50)]
    assert [store.get(result.key, max_bytes=2) for result in done] == [b"%d" % number for number in range(50)]
    assert store.put_many([]) == []


def test_of_many_objects_one_that_cannot_be_stored_is_an_error(relayed_store: ObjectStore, relay: Relay) -> None:
    relay.before = lambda _method, path, _headers: 403 if "/bad" in path else None
    with pytest.raises(StoreUnavailable, match="'bad'"):
        relayed_store.put_many([("good", b"1"), ("bad", b"2")])
    with pytest.raises(InvalidKey):
        relayed_store.put_many([("../x", b"1")])
