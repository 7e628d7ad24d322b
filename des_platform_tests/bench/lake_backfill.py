"""A backfill: daily partitions of ticks, 30 days a commit, beside the same rows as plain Parquet files in day folders.

The plain files have no catalogue, and nobody can replace one without a reader seeing it: pyarrow's own writer as it
comes (snappy, dictionaries), and the same writer with the columns' plan that the lake has chosen. deltalake, beside
which nothing has to be reached, replaces the same days with as many in a commit. Rows are made before the clock
starts; sixteen days of them take turns.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq

from des_platform.lake.plans import PROPERTY
from des_platform.lake.tables import Lake
from des_platform.parquet.plan import WritePlan
from des_platform.parquet.writing import open_writer
from des_platform_tests.bench.lake_ticks import COLUMNS, day, opened, ticks
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date
    from pathlib import Path

_DAYS, _QUICK_DAYS = 365, 30
_ROUNDS, _QUICK_ROUNDS = 3, 2
_ROWS = 100_000
_DAYS_A_COMMIT = 30
_MADE = 16
_GOAL = 0.8


def backfill_commits(*, quick: bool) -> Iterator[Measurement]:
    """Rows a second of a backfill, and the bytes it leaves."""
    days, rounds = (_QUICK_DAYS, _QUICK_ROUNDS) if quick else (_DAYS, _ROUNDS)
    yield from measure(days, _ROWS, rounds)


def measure(days: int, rows: int, rounds: int) -> Iterator[Measurement]:
    """Measure with a lake of its own.

    Args:
        days: how many are filled.
        rows: of each day.
        rounds: turns of each side; within one they take turns after each commit's days, as a machine's minutes differ.
    """
    made = [ticks(number, rows) for number in range(min(days, _MADE))]
    rates: dict[str, list[float]] = defaultdict(list)
    with opened() as (folder, settings), closing(Lake(settings)) as lake:
        lake.ensure_table("chosen", COLUMNS)
        lake.replace_day("chosen", day(0), [made[0]], properties={})
        plan = WritePlan.from_json(lake.table("chosen").properties.get(PROPERTY, WritePlan().to_json()))
        for round_ in range(rounds):
            name = f"ticks_{round_}"
            lake.ensure_table(name, COLUMNS)
            sides = {
                "lake": _Side(folder / "store/des/lake/des" / name, functools.partial(_lake, lake, name)),
                "plain": _Side(folder / "plain", functools.partial(_plain, folder / "plain")),
                "planned": _Side(folder / "planned", functools.partial(_planned, folder / "planned", plan)),
                "deltalake": _Side(folder / "deltalake", functools.partial(_deltalake, folder / "deltalake")),
            }
            for first in range(0, days, _DAYS_A_COMMIT):
                numbers = range(first, min(first + _DAYS_A_COMMIT, days))
                batches = {day(number): made[number % len(made)] for number in numbers}
                for side in sides.values():
                    side.take(batches)
            sizes = {}
            for which, side in sides.items():
                if side.rows != days * rows:
                    raise UnequalWork(f"{which} wrote {side.rows} rows, not {days * rows}")
                rates[which].append(side.rows / side.seconds)
                sizes[which] = sum(file.stat().st_size for file in side.folder.rglob("*.parquet")) / 1e6
                shutil.rmtree(side.folder)
    rate = {name: median(found) for name, found in rates.items()}
    yield Measurement("backfill_commits", rate["lake"], "rows/s", "pyarrow, no catalogue", rate["plain"], _GOAL)
    yield Measurement("backfill_planned", rate["lake"], "rows/s", "our writer, no catalogue", rate["planned"])
    yield Measurement("backfill_deltalake", rate["lake"], "rows/s", "deltalake", rate["deltalake"])
    yield Measurement("backfill_bytes", sizes["lake"], "MB", "pyarrow, no catalogue", sizes["plain"])


@dataclass(slots=True)
class _Side:
    """One way of writing: where, how (it says how many rows it wrote), and what it took so far."""

    folder: Path
    write: Callable[[dict[date, pa.RecordBatch]], int]
    rows: int = 0
    seconds: float = 0.0

    def take(self, batches: dict[date, pa.RecordBatch]) -> None:
        started = time.perf_counter()
        self.rows += self.write(batches)
        self.seconds += time.perf_counter() - started


def _lake(lake: Lake, name: str, batches: dict[date, pa.RecordBatch]) -> int:
    days = ((today, [batch]) for today, batch in batches.items())
    return sum(one.rows for one in lake.replace_days(name, days, properties={"run": "bench"}).values())


def _plain(out: Path, batches: dict[date, pa.RecordBatch]) -> int:
    for today, batch in batches.items():
        pq.write_table(pa.Table.from_batches([batch]), _file(out, today))
    return sum(batch.num_rows for batch in batches.values())


def _planned(out: Path, plan: WritePlan, batches: dict[date, pa.RecordBatch]) -> int:
    for today, batch in batches.items():
        with open_writer(str(_file(out, today)), batch.schema, plan) as writer:
            writer.write_table(pa.Table.from_batches([batch]))
    return sum(batch.num_rows for batch in batches.values())


def _deltalake(out: Path, batches: dict[date, pa.RecordBatch]) -> int:
    dated = [
        pa.Table.from_batches([batch]).append_column("_day", pa.repeat(today, batch.num_rows))
        for today, batch in batches.items()
    ]
    predicate = f"_day >= '{min(batches)}' and _day <= '{max(batches)}'" if out.exists() else None
    deltalake.write_deltalake(
        out, pa.concat_tables(dated), partition_by=["_day"], mode="overwrite", predicate=predicate
    )
    return sum(batch.num_rows for batch in batches.values())


def _file(out: Path, today: date) -> Path:
    folder = out / f"_day={today}"
    folder.mkdir(parents=True)
    return folder / "part-0.parquet"
