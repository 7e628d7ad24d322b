"""Parquet by a plan beside what everybody writes: bytes, CPU time of the write, lossy by a tolerance, reading back.

CPU time is the whole process's, all threads. All sides write the same table in turn, several rounds; medians count.
What we write is read back and compared bit for bit. A row whose id is a figure's name alone is the geometric mean over
all data sets; `.generated` and `.real` tell which ones a row stands for. The best peer is the lossless one whose files
are the smallest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from statistics import geometric_mean, median
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from des_platform.parquet.plan import choose_plan
from des_platform.parquet.rounding import largest_error, round_columns
from des_platform.parquet.sameness import same_values, side_by_side
from des_platform_tests.bench.archive_measure import work_folder
from des_platform_tests.bench.parquet_data import DataSet, data_sets
from des_platform_tests.bench.parquet_sides import BASELINE, OURS, PEERS, Side, write_planned
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork, bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_TOLERANCE = 1e-5
_SIDES = (OURS, BASELINE, *PEERS)
_MEASURABLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure with.

    Attributes:
        rows: of the largest table that is made up.
        rounds: turns of each side.
    """

    rows: int
    rounds: int


_FULL = Scale(rows=2_000_000, rounds=5)
_QUICK = Scale(rows=150_000, rounds=2)


@dataclass(slots=True)
class _Found:
    """What was measured on a data set, by side: bytes, CPU seconds of a write, CPU seconds of a read by reader."""

    data: DataSet
    sizes: dict[str, int] = field(default_factory=dict)
    writes: dict[str, float] = field(default_factory=dict)
    reads: dict[str, dict[str, float]] = field(default_factory=dict)
    planning: float = 0.0
    cold: int = 0


@bench
def parquet(*, quick: bool) -> Iterator[Measurement]:
    """Parquet: bytes and CPU of a planned write, lossy by tolerance, reading; beside pyarrow, Polars, DuckDB."""
    scale = _QUICK if quick else _FULL
    with work_folder() as folder:
        found = []
        for data in data_sets(scale.rows):
            found.append(_measure(data, folder, scale.rounds))
            yield from _of_one(found[-1])
            if data.name == "ohlcv":
                yield from _lossy(data.table, found[-1], folder)
        yield from _of_all(found)


def _measure(data: DataSet, folder: Path, rounds: int) -> _Found:
    found = _Found(data)
    paths = {side.name: folder / f"{number}.parquet" for number, side in enumerate(_SIDES)}
    writes = {side.name: side.prepare(data.table) for side in _SIDES}
    found.writes = _cpu({name: partial(write, paths[name]) for name, write in writes.items()}, rounds)
    found.sizes = {name: path.stat().st_size for name, path in paths.items()}
    _check_same(data.table, paths[OURS.name])
    for reader, read in _READERS.items():
        found.reads[reader] = _cpu({side.name: partial(read, paths[side.name]) for side in _SIDES[:2]}, rounds)
    found.planning = _cpu({"": lambda: choose_plan(data.table)}, rounds)[""]
    write_planned(data.table, choose_plan(data.table, cold=True), folder / "cold.parquet")
    found.cold = (folder / "cold.parquet").stat().st_size
    return found


_READERS: dict[str, Callable[[Path], object]] = {
    "pyarrow": pq.read_table,
    "polars": pl.read_parquet,
    "duckdb": lambda path: duckdb.connect().sql(f"from '{path}'").to_arrow_table(),
}


def _cpu(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU seconds of each task, in turn; what is too short for the clock is done several times."""
    turns = {}
    for name, task in tasks.items():
        taken = _seconds(task, 1)  # the first time warms up
        turns[name] = max(1, min(50, int(_MEASURABLE_SECONDS / max(taken, 1e-6))))
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            found[name].append(_seconds(task, turns[name]))
    return {name: median(times) for name, times in found.items()}


def _seconds(task: Callable[[], object], turns: int) -> float:
    started = time.process_time()
    for _ in range(turns):
        task()
    return (time.process_time() - started) / turns


def _check_same(table: pa.Table, path: Path) -> None:
    written = pq.ParquetFile(path)
    if not written.schema_arrow.equals(table.schema):
        raise UnequalWork(f"the planned file has another schema: {written.schema_arrow}")
    for one, other in side_by_side(table.to_batches(), written.iter_batches()):
        for name, before, after in zip(table.column_names, one.columns, other.columns, strict=True):
            if not same_values(before, after):
                raise UnequalWork(f"the planned file has other values in {name}")


def _of_one(found: _Found) -> Iterator[Measurement]:
    name = f"{'real' if found.data.real else 'generated'}.{found.data.name}"
    ours = found.sizes[OURS.name]
    for side in _SIDES[1:]:
        label = side.name if side.lossless else f"{side.name} (lossy)"
        yield _less(f"parquet_bytes.{name}.{_key(side)}", ours, "bytes", label, found.sizes[side.name])
        yield _less(f"parquet_cpu.{name}.{_key(side)}", found.writes[OURS.name], "s", label, found.writes[side.name])
    for reader, times in found.reads.items():
        yield _less(f"parquet_read.{reader}.{name}", times[OURS.name], "s", BASELINE.name, times[BASELINE.name])


def _of_all(found: list[_Found]) -> Iterator[Measurement]:
    best = min((side for side in PEERS if side.lossless), key=lambda side: _mean(one.sizes[side.name] for one in found))
    for name, some in (
        ("", found),
        (".generated", [one for one in found if not one.data.real]),
        (".real", [one for one in found if one.data.real]),
    ):
        if not some:
            continue
        for side, bytes_goal, cpu_goal in ((BASELINE, 0.64, 1.0), (best, 0.95, 0.6)):
            of = "" if side is BASELINE else ".best_peer"
            goals = (bytes_goal, cpu_goal) if not name else (None, None)
            sizes = (_mean(one.sizes[who.name] for one in some) for who in (OURS, side))
            times = (_mean(one.writes[who.name] for one in some) for who in (OURS, side))
            yield _less(f"parquet_bytes{of}{name}", next(sizes), "bytes", side.name, next(sizes), goals[0])
            yield _less(f"parquet_cpu{of}{name}", next(times), "s", side.name, next(times), goals[1])
        yield _reading(f"parquet_read{name}", some, "pyarrow", None if name else 1.0)
        for reader in ("polars", "duckdb"):
            yield _reading(f"parquet_read.{reader}{name}", some, reader, None)
        baseline = _mean(one.writes[BASELINE.name] for one in some)
        yield _less(f"parquet_planning{name}", _mean(one.planning for one in some), "s", "write by pyarrow", baseline)
        warm = _mean(one.sizes[OURS.name] for one in some)
        yield _less(f"parquet_cold{name}", _mean(one.cold for one in some), "bytes", "the usual plan", warm)


def _reading(name: str, found: list[_Found], reader: str, goal: float | None) -> Measurement:
    ours, theirs = (_mean(one.reads[reader][side.name] for one in found) for side in (OURS, BASELINE))
    return _less(name, ours, "s", BASELINE.name, theirs, goal)


def _lossy(table: pa.Table, found: _Found, folder: Path) -> Iterator[Measurement]:
    """The bars with all floating-point columns rounded to the tolerance of the usual downcast."""
    declared = dict.fromkeys((item.name for item in table.schema if pa.types.is_floating(item.type)), _TOLERANCE)
    rounded = pa.Table.from_batches([round_columns(batch, declared) for batch in table.to_batches()])
    path = folder / "lossy.parquet"
    write_planned(rounded, choose_plan(rounded), path)
    _check_same(rounded, path)
    error = max(largest_error(*(some[name].combine_chunks() for some in (table, rounded))) for name in declared)
    size = path.stat().st_size
    yield _less("parquet_lossy", size, "bytes", BASELINE.name, found.sizes[BASELINE.name], 0.45)
    downcast = PEERS[-1].name
    yield _less("parquet_lossy.downcast", size, "bytes", downcast, found.sizes[downcast])
    yield Measurement("parquet_lossy.largest_error", error, "of the value", "tolerance", _TOLERANCE, 1.0, at_most=True)


def _mean(values: Iterable[float]) -> float:
    return geometric_mean(values)


def _key(side: Side) -> str:
    return side.name.replace(", ", "_").replace(" ", "_")


def _less(name: str, ours: float, unit: str, peer: str, theirs: float, goal: float | None = None) -> Measurement:
    return Measurement(name, ours, unit, peer, theirs, goal, at_most=True)
