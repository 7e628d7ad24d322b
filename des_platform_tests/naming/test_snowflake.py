from __future__ import annotations

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from des_platform.naming import DesName, NameMinter, parse_name, snowflake

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = date(2025, 11, 26)


@contextmanager
def switching_threads_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


class ManualClock:
    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def milliseconds(name: str) -> int:
    return parse_name(name).value >> 16


def test_name_has_the_documented_form_bit_by_bit() -> None:
    clock = ManualClock(5 * 2**32 + 0xBF785FEA)
    assert NameMinter("DES", 1, clock_ms=clock).mint(DAY) == "DES_20251126_(BF785FEA0100_81)"


def test_name_shorter_than_its_fields_is_padded_with_zeros() -> None:
    assert NameMinter("a", 0, clock_ms=ManualClock(1)).mint(date(33, 1, 2)) == "a_00330102_(000000010000_01)"


def test_sequence_counts_within_a_millisecond_and_restarts_with_the_next() -> None:
    clock = ManualClock(1_000)
    minter = NameMinter("DES", 7, clock_ms=clock)
    values = [parse_name(minter.mint(DAY)).value for _ in range(3)]
    clock.now += 1
    values.append(parse_name(minter.mint(DAY)).value)
    assert [(value >> 16, value >> 8 & 0xFF, value & 0xFF) for value in values] == [
        (1_000, 7, 0),
        (1_000, 7, 1),
        (1_000, 7, 2),
        (1_001, 7, 0),
    ]


def test_a_full_millisecond_borrows_the_next_and_no_name_repeats_when_the_clock_gets_there() -> None:
    clock = ManualClock(1_000)
    minter = NameMinter("DES", 0, clock_ms=clock)
    names = [minter.mint(DAY) for _ in range(600)]
    assert milliseconds(names[255]) == 1_000
    assert milliseconds(names[256]) == 1_001
    clock.now = 1_001
    names += [minter.mint(DAY) for _ in range(600)]
    assert len(set(names)) == len(names)
    clock.now = 2_000
    assert milliseconds(minter.mint(DAY)) == 2_000


def test_a_clock_set_back_by_an_hour_repeats_no_name() -> None:
    clock = ManualClock(10_000_000)
    minter = NameMinter("DES", 0, clock_ms=clock)
    names = [minter.mint(DAY) for _ in range(10)]
    clock.now -= 3_600_000
    names += [minter.mint(DAY) for _ in range(2_000)]
    assert len(set(names)) == len(names)
    assert milliseconds(names[10]) == 10_000_000
    assert min(map(milliseconds, names)) == 10_000_000


def test_a_clock_that_stands_still_ends_in_an_error_not_in_a_duplicate_or_a_runaway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snowflake, "MAX_AHEAD_MS", 3)
    monkeypatch.setattr(snowflake, "MAX_WAIT_SECONDS", 0.0)
    clock = ManualClock(1_000)
    minter = NameMinter("DES", 0, clock_ms=clock)
    names = [minter.mint(DAY) for _ in range(4 * 256)]
    assert len(set(names)) == 4 * 256
    assert milliseconds(names[-1]) == 1_003
    with pytest.raises(RuntimeError, match="check the system clock"):
        minter.mint(DAY)
    clock.now = 1_001
    assert minter.mint(DAY) not in names


def test_a_minter_that_has_borrowed_all_it_may_waits_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(1_000)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        clock.now += 1

    monkeypatch.setattr(snowflake, "MAX_AHEAD_MS", 1)
    monkeypatch.setattr("time.sleep", sleep)
    minter = NameMinter("DES", 0, clock_ms=clock)
    names = [minter.mint(DAY) for _ in range(2 * 256)]
    assert naps == []
    names += [minter.mint(DAY) for _ in range(3 * 256)]
    assert naps == [0.001] * 3
    assert len(set(names)) == 5 * 256


def test_sixteen_threads_on_one_minter_get_no_name_twice() -> None:
    clock = ManualClock(1_000)
    minter = NameMinter("DES", 3, clock_ms=clock)
    with switching_threads_often(), ThreadPoolExecutor(16) as pool:
        batches = list(pool.map(lambda _: [minter.mint(DAY) for _ in range(1_000)], range(16)))
    assert len({name for batch in batches for name in batch}) == 16_000


def test_minters_of_different_nodes_do_not_collide() -> None:
    clock = ManualClock(1_000)
    minters = [NameMinter("DES", node, clock_ms=clock) for node in range(256)]
    assert len({minter.mint(DAY) for minter in minters for _ in range(10)}) == 2_560


class Mark:
    """What outlives the minters of one node: the first millisecond that was never granted."""

    def __init__(self, mark: int = 0) -> None:
        self.mark = mark
        self.asked: list[int] = []

    def reserve(self, from_ms: int) -> tuple[int, int]:
        self.asked.append(from_ms)
        first = max(self.mark, from_ms)
        self.mark = first + 100
        return first, self.mark


def test_milliseconds_are_reserved_ahead_and_before_they_are_used() -> None:
    clock, mark = ManualClock(1_000), Mark()
    minter = NameMinter("DES", 0, clock_ms=clock, reserve=mark.reserve)
    assert mark.asked == []
    for _ in range(150):
        assert milliseconds(minter.mint(DAY)) < mark.mark
        clock.now += 1
    assert mark.asked == [1_000, 1_100]


def test_a_successor_starts_behind_its_predecessors_mark_whatever_its_clock_says() -> None:
    mark = Mark()
    first = NameMinter("DES", 0, clock_ms=ManualClock(10_000), reserve=mark.reserve).mint_many(DAY, 5_000)
    second = NameMinter("DES", 0, clock_ms=ManualClock(10_000), reserve=mark.reserve).mint_many(DAY, 5_000)
    third = NameMinter("DES", 0, clock_ms=ManualClock(3_000), reserve=mark.reserve).mint_many(DAY, 5_000)
    assert len({*first, *second, *third}) == 15_000
    assert milliseconds(second[0]) == milliseconds(third[0]) - 100 == 10_100


def test_minters_that_share_a_mark_may_even_run_at_once() -> None:
    clock, mark = ManualClock(1_000), Mark()
    minters = [NameMinter("DES", 0, clock_ms=clock, reserve=mark.reserve) for _ in range(3)]
    names = []
    for step in (1, 40, -60, 7, 500, -2_000):
        clock.now += step
        names += [name for minter in minters for name in minter.mint_many(DAY, 700)]
    assert len(set(names)) == len(names) == 3 * 6 * 700


def test_what_cannot_be_reserved_is_not_minted_and_no_name_repeats_when_it_can_be_again() -> None:
    clock, mark = ManualClock(1_000), Mark()
    refused = False

    def reserve(from_ms: int) -> tuple[int, int]:
        if refused:
            raise ConnectionError("the database is gone")
        return mark.reserve(from_ms)

    minter = NameMinter("DES", 0, clock_ms=clock, reserve=reserve)
    names = minter.mint_many(DAY, 300)
    refused = True
    clock.now = 1_099
    names += minter.mint_many(DAY, 256)  # the last millisecond that it has
    for _ in range(3):
        with pytest.raises(ConnectionError):
            minter.mint(DAY)
    clock.now = 1_200
    with pytest.raises(ConnectionError):
        minter.mint(DAY)
    refused = False
    clock.now = 1_000
    names += minter.mint_many(DAY, 300)
    assert len(set(names)) == len(names)


@given(st.lists(st.tuples(st.integers(-5_000, 5_000), st.integers(1, 600), st.booleans()), max_size=30))
def test_no_name_repeats_over_any_clock_steps_and_restarts(steps: list[tuple[int, int, bool]]) -> None:
    clock, mark = ManualClock(1_000_000), Mark()
    minter = NameMinter("DES", 0, clock_ms=clock, reserve=mark.reserve)
    names: list[str] = []
    for step, count, restart in steps:
        clock.now += step
        if restart:
            minter = NameMinter("DES", 0, clock_ms=clock, reserve=mark.reserve)
        names += minter.mint_many(DAY, count)
    assert len(set(names)) == len(names)


def test_many_names_are_what_as_many_single_ones_would_have_been() -> None:
    one, many = (NameMinter("DES", 171, clock_ms=ManualClock(2**32 - 2)) for _ in range(2))
    names = many.mint_many(DAY, 1_000)
    assert names == [one.mint(DAY) for _ in range(1_000)]
    assert [parse_name(name).value & 0xFFFF for name in names[254:257]] == [171 << 8 | 254, 171 << 8 | 255, 171 << 8]
    assert many.mint_many(DAY, 0) == []


def test_the_default_clock_is_the_time_now() -> None:
    before = time.time_ns() // 1_000_000
    value = parse_name(NameMinter("DES", 0).mint(datetime.now(UTC).date())).value
    after = time.time_ns() // 1_000_000
    assert ((value >> 16) - before) % 2**32 <= after - before


@pytest.mark.parametrize(
    "prefix", ["", "DES_1", "DES ", "D-S", "Ž", "\u0663", "DES\n"]
)  # \u0663: a digit, but not ASCII
def test_prefixes_other_than_ascii_letters_and_digits_are_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        NameMinter(prefix, 0)


@pytest.mark.parametrize("node_id", [-1, 256])
def test_node_ids_out_of_range_are_refused(node_id: int) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        NameMinter("DES", node_id)


@given(
    st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True),
    st.integers(0, 255),
    st.integers(0, 2**44),
    st.dates(),
)
def test_parsing_gives_back_what_was_minted(prefix: str, node_id: int, now: int, day: date) -> None:
    name = NameMinter(prefix, node_id, clock_ms=lambda: now).mint(day)
    assert parse_name(name) == DesName(prefix, day, (now % 2**32) << 16 | node_id << 8)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "DES_20251126_BF785FEA0100_81",
        "DES_20251126_(bf785fea0100_81)",
        "DES_20251126_(BF785FEA010_81)",
        "_20251126_(BF785FEA0100_81)",
        "D-S_20251126_(BF785FEA0100_81)",
        "DES_20251126_(BF785FEA0100_81)\n",
        " DES_20251126_(BF785FEA0100_81)",
        "DES_２０２５1126_(BF785FEA0100_81)",  # noqa: RUF001 - digits outside ASCII are the case
    ],
)
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a snowflake name"):
        parse_name(name)


@pytest.mark.parametrize("day", ["20250229", "20251301", "00000101"])
def test_dates_that_do_not_exist_are_refused(day: str) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        parse_name(f"DES_{day}_(BF785FEA0100_81)")


def test_a_wrong_checksum_is_refused_with_the_one_it_should_be() -> None:
    with pytest.raises(ValueError, match=re.escape("has checksum 82, but BF785FEA0100 sums to 81")):
        parse_name("DES_20251126_(BF785FEA0100_82)")
