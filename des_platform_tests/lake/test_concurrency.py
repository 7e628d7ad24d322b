from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from pyiceberg.exceptions import CommitFailedException

from des_platform.lake.tables import Lake
from des_platform.lake.types import CommitUnknown
from des_platform_tests.lake.conftest import rows
from des_platform_tests.lake.test_replace import data_files, parquet_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from des_platform.settings import Settings

MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)


@pytest.fixture
def rival(settings: Settings, ticks: Lake) -> Iterator[Lake]:
    """A second writer with connections of its own."""
    assert ticks.total_rows("ticks") == 0
    with closing(Lake(settings)) as opened:
        yield opened


def before_next_commit(lake: Lake, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act once, after the lake has planned its next commit and before the catalogue sees it."""
    commit = lake._catalog.commit_table
    acts = [act]

    def commit_after(*arguments: object) -> object:
        while acts:
            acts.pop()()
        return commit(*arguments)

    monkeypatch.setattr(lake._catalog, "commit_table", commit_after)


@pytest.mark.parametrize("count_before", [0, 2])
def test_a_rival_on_the_same_day_is_replaced_whole_not_added_to(
    ticks: Lake, rival: Lake, monkeypatch: pytest.MonkeyPatch, count_before: int
) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(count_before)], properties={})
    before_next_commit(
        ticks, monkeypatch, lambda: rival.replace_day("ticks", MONDAY, [rows(7, "RIVAL")], properties={})
    )
    ticks.replace_day("ticks", MONDAY, iter([rows(5, "OURS")]), properties={})
    assert ticks.scan_day("ticks", MONDAY, 100)["symbol"].to_pylist() == ["OURS"] * 5
    assert ticks.total_rows("ticks") == 5


def test_a_rival_on_another_day_keeps_its_rows(ticks: Lake, rival: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(2)], properties={})
    before_next_commit(ticks, monkeypatch, lambda: rival.replace_day("ticks", TUESDAY, [rows(7)], properties={}))
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    assert (ticks.day_rows("ticks", MONDAY), ticks.day_rows("ticks", TUESDAY)) == (5, 7)


def test_a_column_that_appears_during_a_replacement_does_not_disturb_it(
    ticks: Lake, rival: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_next_commit(ticks, monkeypatch, lambda: rival.ensure_table("ticks", {"venue": "string"}))
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    assert ticks.scan_day("ticks", MONDAY, 9).select(["id", "venue"]).to_pylist()[4] == {"id": 4, "venue": None}


def test_a_writer_that_never_gets_through_gives_up_and_leaves_nothing(
    ticks: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(2)], properties={})
    with ticks.table("ticks").transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "0"})
    before = parquet_in(tmp_path)

    def refuse(*_: object) -> None:
        raise CommitFailedException("always another writer")

    with monkeypatch.context() as patch:
        patch.setattr(ticks._catalog, "commit_table", refuse)
        with pytest.raises(CommitFailedException, match="always another writer"):
            ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    assert parquet_in(tmp_path) == before
    assert ticks.day_rows("ticks", MONDAY) == 2


def test_a_commit_whose_answer_is_lost_keeps_its_files(ticks: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = ticks._catalog.commit_table

    def commit_and_fall_silent(*arguments: object) -> None:
        commit(*arguments)
        raise ConnectionError("the answer is lost")

    with monkeypatch.context() as patch:
        patch.setattr(ticks._catalog, "commit_table", commit_and_fall_silent)
        with pytest.raises(CommitUnknown, match="the answer is lost"):
            ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    assert ticks.scan_day("ticks", MONDAY, 10).num_rows == 5
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    assert ticks.total_rows("ticks") == 5


def test_writers_of_different_days_at_once_all_land(ticks: Lake, settings: Settings) -> None:
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        with closing(Lake(settings)) as own:
            start.wait(10)
            for step in range(4):
                day = MONDAY + timedelta(days=writer * 2 + step % 2)
                own.replace_day("ticks", day, [rows(10 * writer + step + 1)], properties={})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    days = {
        MONDAY + timedelta(days=writer * 2 + last % 2): 10 * writer + last + 1 for writer in range(4) for last in (2, 3)
    }
    assert {day: ticks.day_rows("ticks", day) for day in days} == days
    assert ticks.total_rows("ticks") == sum(days.values())


def test_of_threads_that_replace_one_day_at_once_exactly_one_remains(ticks: Lake, tmp_path: Path) -> None:
    written = threading.Barrier(3)

    def write(writer: int) -> int:
        def batches() -> Iterator[pa.RecordBatch]:
            yield rows(writer + 2, f"W{writer}")
            written.wait(10)

        return ticks.replace_day("ticks", MONDAY, batches(), properties={}).rows

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(write, range(3))) == [2, 3, 4]
    symbols = ticks.scan_day("ticks", MONDAY, 100)["symbol"].to_pylist()
    winner = int(symbols[0][1:])
    assert symbols == [f"W{winner}"] * (winner + 2)
    assert ticks.day_rows("ticks", MONDAY) == winner + 2
    assert data_files(ticks) <= parquet_in(tmp_path)


def test_a_reader_never_sees_a_gap_nor_double_rows(ticks: Lake, settings: Settings) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    done = threading.Event()

    def read() -> list[tuple[int, int, int]]:
        seen = []
        with closing(Lake(settings)) as own:
            while not done.is_set() or not seen:
                counted, scanned = own.day_rows("ticks", MONDAY), own.scan_day("ticks", MONDAY, 100).num_rows
                seen.append((counted, scanned, own.total_rows("ticks")))
        return seen

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for _ in range(20):
                ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
        finally:
            done.set()
        assert set(reading.result()) == {(5, 5, 5)}
