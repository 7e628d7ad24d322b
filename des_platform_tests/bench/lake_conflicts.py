"""Writers at once, each a process of its own: eight on different days, four on one day.

No writer may fail. Of the four, the day must be whole and one writer's each time it is looked at, and in the end as
the last one left it. deltalake's writers replace the same days on their own; a commit of theirs that another one spoils
is a failure, for whoever called to repeat.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import deltalake
import pyarrow as pa

from des_platform.lake.tables import Lake
from des_platform_tests.bench.lake_ticks import COLUMNS, day, opened, ticks
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from des_platform.settings import Settings

_WRITERS, _RIVALS = 8, 4
_COMMITS, _QUICK_COMMITS = 20, 3
_ROWS = 1000
_PATIENCE = 300
_READER = -1


class _Done(NamedTuple):
    """What one process saw: commits, failures, looks at the day that did not show one writer's rows, and seconds."""

    commits: int
    failures: list[str]
    torn: int
    seconds: float


def commit_conflicts(*, quick: bool) -> Iterator[Measurement]:
    """Failures and torn days of writers at once."""
    yield from measure(_QUICK_COMMITS if quick else _COMMITS, _WRITERS, _RIVALS)


def measure(commits: int, writers: int, rivals: int) -> Iterator[Measurement]:
    """Measure with a lake of its own.

    Args:
        commits: of each writer.
        writers: processes on different days.
        rivals: processes on one day.
    """
    with opened() as (folder, settings), closing(Lake(settings)) as lake:
        for name in ("apart", "together"):
            lake.ensure_table(name, COLUMNS)
        apart = _run(_write_apart, range(writers), settings, commits)
        if lake.total_rows("apart") != writers * 2 * _ROWS:
            raise UnequalWork(f"the days hold {lake.total_rows('apart')} rows, not {writers * 2 * _ROWS}")
        peers = _run(_write_deltalake, range(writers), folder / "deltalake", commits)
        together = _run(_write_together, [*range(rivals), _READER], settings, commits)
    ours, theirs = _failures(apart), _failures(peers)
    yield Measurement("commit_conflicts", ours, "failures", "deltalake", theirs, 0.0, at_most=True, absolute=True)
    yield Measurement("conflict_commits", _rate(apart), "commits/s", "deltalake", _rate(peers))
    wrong = _failures(together) + sum(done.torn for done in together)
    yield Measurement(
        "one_winner",
        wrong,
        "torn days",
        "commits",
        sum(done.commits for done in together),
        0.0,
        at_most=True,
        absolute=True,
    )


def _failures(done: list[_Done]) -> float:
    return float(sum(len(one.failures) for one in done))


def _rate(done: list[_Done]) -> float:
    return sum(one.commits for one in done) / max(one.seconds for one in done)


def _run(work: Any, writers: Any, where: Settings | Path, commits: int) -> list[_Done]:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "des_platform.lake.replace", "des_platform.lake.warehouse"])
    barrier = processes.Barrier(len(writers))
    results = processes.Queue()
    running = [
        processes.Process(target=_report, args=(work, writer, where, commits, barrier, results), daemon=True)
        for writer in writers
    ]
    for process in running:
        process.start()
    done = [results.get(timeout=_PATIENCE) for _ in running]
    for process in running:
        process.join()
    return done


def _report(work: Any, writer: int, where: Any, commits: int, barrier: Barrier, results: Any) -> None:
    try:
        results.put(work(writer, where, commits, barrier))
    except BaseException as error:
        barrier.abort()
        results.put(_Done(0, [repr(error)], 0, 1.0))
        raise


def _write_apart(writer: int, settings: Settings, commits: int, barrier: Barrier) -> _Done:
    with closing(Lake(settings)) as lake:
        return _repeat(
            lambda number: lake.replace_day(
                "apart", day(writer * 2 + number % 2), [ticks(number, _ROWS)], properties={"writer": f"{writer}"}
            ),
            commits,
            barrier,
        )


def _write_deltalake(writer: int, folder: Path, commits: int, barrier: Barrier) -> _Done:
    def write(number: int) -> None:
        today = day(writer * 2 + number % 2)
        rows = pa.Table.from_batches([ticks(number, _ROWS)]).append_column("_day", pa.repeat(today, _ROWS))
        predicate = f"_day = '{today}'" if deltalake.DeltaTable.is_deltatable(str(folder)) else None
        mode = "overwrite" if predicate else "append"
        deltalake.write_deltalake(folder, rows, partition_by=["_day"], mode=mode, predicate=predicate)

    return _repeat(write, commits, barrier)


def _write_together(writer: int, settings: Settings, commits: int, barrier: Barrier) -> _Done:
    with closing(Lake(settings)) as lake:
        if writer == _READER:
            return _look(lake, barrier)
        rows = ticks(writer, _ROWS + writer)
        return _repeat(
            lambda _: lake.replace_day("together", day(0), [rows], properties={"writer": f"{writer}"}), commits, barrier
        )


def _look(lake: Lake, barrier: Barrier) -> _Done:
    """Look at the day while the others write, and once more when they are done."""

    def is_torn() -> bool:
        sequence = lake.scan_day("together", day(0), 10 * _ROWS)["sequence"].to_pylist()
        writer = len(sequence) - _ROWS
        return bool(sequence) and sequence != list(range(writer * len(sequence), (writer + 1) * len(sequence)))

    barrier.wait(_PATIENCE)
    started, torn = time.monotonic(), 0
    while barrier.n_waiting < barrier.parties - 1 and time.monotonic() - started < _PATIENCE:
        torn += is_torn()
    barrier.wait(_PATIENCE)
    return _Done(0, [], torn + is_torn(), time.monotonic() - started)


def _repeat(write: Any, commits: int, barrier: Barrier) -> _Done:
    barrier.wait(_PATIENCE)
    started, failures = time.monotonic(), []
    for number in range(commits):
        try:
            write(number)
        except Exception as error:  # noqa: BLE001 - counted, and told
            failures.append(repr(error))
    seconds = time.monotonic() - started
    barrier.wait(_PATIENCE)
    return _Done(commits - len(failures), failures, 0, seconds)
