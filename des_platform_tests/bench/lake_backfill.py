"""A backfill: daily partitions of ticks, 30 days a commit, beside the same rows as plain Parquet files in day folders.

The plain files have no catalogue, and nobody can replace one without a reader seeing it: pyarrow's own writer as it
comes (snappy, dictionaries), and the same writer with the columns' plan that the lake has chosen. deltalake, beside
which nothing has to be reached, replaces the same days with as many in a commit. Rows are made before the clock
starts; sixteen days of them take turns.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import defaultdict
from contextlib import closing
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
        rounds: turns of each side.
    """
    made = [ticks(number, rows) for number in range(min(days, _MADE))]
    seconds: dict[str, list[float]] = defaultdict(list)
    sizes: dict[str, int] = {}
    with opened() as (folder, settings), closing(Lake(settings)) as lake:
        lake.ensure_table("chosen", COLUMNS)
        lake.replace_day("chosen", day(0), [made[0]], properties={})
        plan = WritePlan.from_json(lake.table("chosen").properties.get(PROPERTY, WritePlan().to_json()))
        sides: dict[str, Callable[[Path, int], int]] = {
            "lake": lambda _, number: _lake(lake, f"ticks_{number}", made, days),
            "plain": lambda out, _: _plain(out, made, days),
            "planned": lambda out, _: _planned(out, made, days, plan),
            "deltalake": lambda out, _: _deltalake(out, made, days),
        }
        for number in range(rounds):
            for name, write in sides.items():
                out = folder / "store/des/lake/des" / f"ticks_{number}" if name == "lake" else folder / name
                started = time.perf_counter()
                found = write(out, number)
                seconds[name].append(time.perf_counter() - started)
                if found != days * rows:
                    raise UnequalWork(f"{name} holds {found} rows, not {days * rows}")
                sizes[name] = sum(file.stat().st_size for file in out.rglob("*.parquet"))
                shutil.rmtree(out)
            sys.stderr.write(f"backfill: round {number + 1} of {rounds}\n")
    rate = {name: days * rows / median(taken) for name, taken in seconds.items()}
    yield Measurement("backfill_commits", rate["lake"], "rows/s", "pyarrow, no catalogue", rate["plain"], _GOAL)
    yield Measurement("backfill_planned", rate["lake"], "rows/s", "our writer, no catalogue", rate["planned"])
    yield Measurement("backfill_deltalake", rate["lake"], "rows/s", "deltalake", rate["deltalake"])
    yield Measurement("backfill_bytes", sizes["lake"] / 1e6, "MB", "pyarrow, no catalogue", sizes["plain"] / 1e6)


def _lake(lake: Lake, name: str, made: list[pa.RecordBatch], days: int) -> int:
    lake.ensure_table(name, COLUMNS)
    done = 0
    for first in range(0, days, _DAYS_A_COMMIT):
        numbers = range(first, min(first + _DAYS_A_COMMIT, days))
        batches = ((day(number), [made[number % len(made)]]) for number in numbers)
        done += sum(one.rows for one in lake.replace_days(name, batches, properties={"run": "bench"}).values())
    return done


def _plain(out: Path, made: list[pa.RecordBatch], days: int) -> int:
    done = 0
    for number in range(days):
        table = pa.Table.from_batches([made[number % len(made)]])
        pq.write_table(table, _file(out, number))
        done += table.num_rows
    return done


def _planned(out: Path, made: list[pa.RecordBatch], days: int, plan: WritePlan) -> int:
    done = 0
    for number in range(days):
        table = pa.Table.from_batches([made[number % len(made)]])
        with open_writer(str(_file(out, number)), table.schema, plan) as writer:
            writer.write_table(table)
        done += table.num_rows
    return done


def _deltalake(out: Path, made: list[pa.RecordBatch], days: int) -> int:
    for first in range(0, days, _DAYS_A_COMMIT):
        last = min(first + _DAYS_A_COMMIT, days) - 1
        tables = [
            pa.Table.from_batches([made[number % len(made)]]).append_column("_day", pa.repeat(day(number), rows))
            for number in range(first, last + 1)
            if (rows := made[number % len(made)].num_rows)
        ]
        deltalake.write_deltalake(
            out,
            pa.concat_tables(tables),
            partition_by=["_day"],
            mode="overwrite",
            predicate=f"_day >= '{day(first)}' and _day <= '{day(last)}'" if first else None,
        )
    return int(deltalake.DeltaTable(out).count())


def _file(out: Path, number: int) -> Path:
    folder = out / f"_day={day(number)}"
    folder.mkdir(parents=True)
    return folder / "part-0.parquet"
