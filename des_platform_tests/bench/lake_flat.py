"""One partition a commit, a thousand commits: the last ten beside the first ten of a table.

A machine's minutes differ more than commits do, so the last commits take turns with the first ten of another new
table, three times over. The rows are few: what is measured is the commit. deltalake's last ten stand beside ours, with
nothing to reach.
"""

from __future__ import annotations

import time
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING

import deltalake
import pyarrow as pa

from des_platform.lake.tables import Lake
from des_platform_tests.bench.lake_ticks import COLUMNS, day, opened, ticks
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMMITS, _QUICK_COMMITS = 1000, 100
_ROWS = 1000
_LAST = 10
_TABLES = 3
_GOAL = 1.2


def commit_flat(*, quick: bool) -> Iterator[Measurement]:
    """Milliseconds of a table's last ten commits beside those of its first ten."""
    yield from measure(_QUICK_COMMITS if quick else _COMMITS)


def measure(commits: int) -> Iterator[Measurement]:
    """Measure with a lake of its own.

    Args:
        commits: how many the old table has in the end.
    """
    rows = ticks(0, _ROWS)
    with opened() as (folder, settings), closing(Lake(settings)) as lake:
        for name in ("warm", "old", *(f"new_{number}" for number in range(_TABLES))):
            lake.ensure_table(name, COLUMNS)

        def commit(name: str, number: int) -> float:
            return _milliseconds(lambda: lake.replace_day(name, day(number), [rows], properties={"run": "bench"}))

        for number in range(3):
            commit("warm", number)
        for number in range(commits - _LAST * _TABLES):
            commit("old", number)
        last, first, peer = [], [], []
        for number in range(_LAST * _TABLES):
            last.append(commit("old", commits - _LAST * _TABLES + number))
            first.append(commit(f"new_{number // _LAST}", number))
        table = pa.Table.from_batches([rows])
        for number in range(commits):
            dated = table.append_column("_day", pa.repeat(day(number), _ROWS))
            predicate = f"_day = '{day(number)}'" if number else None
            peer.append(
                _milliseconds(
                    lambda dated=dated, predicate=predicate: deltalake.write_deltalake(  # type: ignore[misc]
                        folder / "deltalake", dated, partition_by=["_day"], mode="overwrite", predicate=predicate
                    )
                )
            )
    yield Measurement("commit_flat", median(last), "ms", "its first ten commits", median(first), _GOAL, at_most=True)
    yield Measurement("commit_deltalake", median(last), "ms", "deltalake's last ten", median(peer[-_LAST:]))


def _milliseconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000
