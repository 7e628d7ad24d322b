from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from des_platform.archive.v2 import runs
from des_platform.archive.v2.runs import SortedRuns
from des_platform_tests.archive.conftest import names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def table(keys: Sequence[Any], kind: pa.DataType, first: int) -> pa.Table:
    return pa.table({"key": pa.array(keys, kind), "number": pa.array(range(first, first + len(keys)), pa.int64())})


def rows_of(tables: Any) -> list[tuple[Any, int]]:
    return [tuple(row.values()) for part in tables for row in part.to_pylist()]


KEYS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any], Callable[[Any], Any]]] = {
    "names": (pa.string(), st.text(max_size=5), str.encode),
    "hashes": (pa.uint64(), st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3)), int),
}


@pytest.mark.parametrize("kind", list(KEYS))
@pytest.mark.parametrize("run_bytes", [1, 300, 10**9])
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_back_in_the_order_of_their_key_and_none_is_lost(
    kind: str, run_bytes: int, data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrow, strategy, order = KEYS[kind]
    monkeypatch.setattr(runs, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(runs, "_PIECE_ROWS", 3)
    parts = data.draw(st.lists(st.lists(strategy, max_size=12), max_size=8))
    sorted_runs = SortedRuns("key", tmp_path)
    expected = []
    for part in parts:
        added = table(part, arrow, len(expected))
        sorted_runs.add(added)
        expected += rows_of([added])
    assert sorted(rows_of(sorted_runs.tables())) == sorted(expected)
    found = rows_of(sorted_runs.sorted())
    assert [order(key) for key, _ in found] == sorted(order(key) for key, _ in expected)
    assert sorted(found) == sorted(expected)
    sorted_runs.close()
    sorted_runs.close()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("run_bytes", [1, 10**9])
def test_rows_that_shall_not_stay_are_taken_out_wherever_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_bytes: int
) -> None:
    monkeypatch.setattr(runs, "RUN_BYTES", run_bytes)
    sorted_runs = SortedRuns("key", tmp_path)
    sorted_runs.add(table(["c", "a"], pa.string(), 0))
    sorted_runs.add(table(["b", "a"], pa.string(), 2))
    sorted_runs.keep = lambda rows: rows.filter(pa.compute.not_equal(rows.column("number"), 1))
    assert rows_of(sorted_runs.sorted()) == [("a", 3), ("b", 2), ("c", 0)]
    assert sorted(rows_of(sorted_runs.tables())) == [("a", 3), ("b", 2), ("c", 0)]
    sorted_runs.close()


def test_merging_holds_a_piece_of_each_run_and_not_all_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runs, "RUN_BYTES", 200_000)
    monkeypatch.setattr(runs, "_PIECE_ROWS", 100)
    sorted_runs = SortedRuns("key", tmp_path)
    for start in range(0, 100_000, 5_000):
        sorted_runs.add(table([number * 7919 % 100_003 for number in range(start, start + 5_000)], pa.uint64(), start))
    before = pa.total_allocated_bytes()
    largest = 0
    count = 0
    for part in sorted_runs.sorted():
        largest = max(largest, pa.total_allocated_bytes() - before)
        count += part.num_rows
    assert count == 100_000
    assert largest < 400_000
    sorted_runs.close()


def test_nothing_in_nothing_out(tmp_path: Path) -> None:
    assert list(SortedRuns("key", tmp_path).sorted()) == []
