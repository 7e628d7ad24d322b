"""Compaction of 1,000 small files in one partition beside writing the same rows once, by the same writer and plan.

Each round has a table of its own, whose small files were written before it. The peer has the rows in memory, writes
them as the compaction does, and commits. The compaction reads the small files, writes, reads back, compares, commits.

One more compaction, which is not timed, is watched by readers in a process of their own: each look must find every row.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import SecretStr

from des_platform.catalog.database import Catalog
from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.lake.commit import commit
from des_platform.lake.files import PartitionFiles
from des_platform.lake.staging import stage_files
from des_platform.lake.tables import Lake
from des_platform.lake.upkeep.compaction import ColdPlans
from des_platform.lake.upkeep.upkeep import Upkeep
from des_platform.objectstore import Buckets
from des_platform.settings import Settings
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork, alternate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Event

_FILES = 1000
_ROWS_EACH, _QUICK_ROWS_EACH = 20_000, 5000
_KINDS = 50  # of files that differ in more than time; a thousand would not fit into memory
_ROUNDS, _QUICK_ROUNDS = 3, 3
_GOAL = 1.3
_LOOKS = 3
_DAY = date(2026, 3, 2)
_COLUMNS = {
    "ts": "timestamp",
    "sequence": "long",
    "symbol": "string",
    "side": "string",
    "price": "double",
    "size": "long",
    "venue": "string",
}


def compaction(*, quick: bool) -> Iterator[Measurement]:
    """Measure the compaction of small files, and watch one."""
    rows_each, rounds = (_QUICK_ROWS_EACH, _QUICK_ROUNDS) if quick else (_ROWS_EACH, _ROUNDS)
    with tempfile.TemporaryDirectory(prefix="des_platform_bench-") as name, _tables(Path(name).resolve()) as tables:
        pieces = _pieces(rows_each)
        for number in range(rounds + 1):
            tables.fill(f"small_{number}", pieces)
        medians = alternate(
            lambda number: tables.compact(f"small_{number}"), lambda _: tables.write_once(pieces), rounds
        )
        yield Measurement(
            "compaction", medians.product_seconds, "s", "writing once", medians.peer_seconds, _GOAL, at_most=True
        )
        looks = tables.watched(f"small_{rounds}", _FILES * rows_each)
        sys.stderr.write(f"compaction: {looks:,} looks of a reader meanwhile, each at every row\n")


@dataclass
class _Tables:
    settings: Settings
    lake: Lake
    upkeep: Upkeep
    written: int = 0

    def fill(self, name: str, pieces: list[pa.RecordBatch]) -> None:
        """A table with a file for each piece."""
        self.lake.ensure_table(name, _COLUMNS)
        files = PartitionFiles(self.lake.table(name))
        for piece in pieces:
            files.write([piece], _DAY)
        commit(self.lake.table(name), lambda transaction: stage_files(transaction, [files], {}))

    def compact(self, name: str) -> int:
        """Compact a table; returns its rows."""
        done = self.upkeep.compact(name, apply=True)
        if (done.files_before, done.files_after) != (_FILES, 1):
            raise UnequalWork(f"{done.files_before} files became {done.files_after}")
        return sum(part.rows for part in done.parts)

    def write_once(self, pieces: list[pa.RecordBatch]) -> int:
        """Write the rows as a compaction does, and commit them; returns how many."""
        self.written += 1
        name = f"once_{self.written}"
        self.lake.ensure_table(name, _COLUMNS)
        table = self.lake.table(name)
        files = PartitionFiles(table)
        files.plans = ColdPlans()
        files.write(pieces, _DAY)
        commit(table, lambda transaction: stage_files(transaction, [files], {}))
        return files.rows

    def watched(self, name: str, rows: int) -> int:
        """Compact a table while readers look at it; returns how often they looked."""
        context = multiprocessing.get_context("spawn")
        ended, (answers, told) = context.Event(), context.Pipe(duplex=False)
        reader = context.Process(target=_watch, args=(self.settings, name, rows, ended, told), daemon=True)
        reader.start()
        answers.recv()  # it has looked once
        self.compact(name)
        ended.set()
        looks, problem = answers.recv()
        reader.join()
        if problem:
            raise UnequalWork(problem)
        return int(looks)


@contextmanager
def _tables(folder: Path) -> Iterator[_Tables]:
    folder.chmod(0o711)  # where root runs the bench, PostgreSQL's own user passes through
    (folder / "store").mkdir()
    with EmbeddedPostgres(folder, durable=True) as address:
        settings = Settings(
            store_url=f"file://{folder / 'store'}",
            pg_host=address.host,
            pg_port=address.port,
            pg_user=address.user,
            pg_password=SecretStr(address.password),
            pg_db=address.database,
        )
        with (
            Catalog.open(settings) as catalog,
            closing(Lake(settings)) as lake,
            closing(Upkeep(settings, catalog, Buckets(settings))) as upkeep,
        ):
            yield _Tables(settings, lake, upkeep)


def _watch(settings: Settings, name: str, rows: int, ended: Event, told: Any) -> None:
    """Look at the newest rows until the compaction has ended, and three times after that."""
    looks, problem, left = 0, "", _LOOKS
    with closing(Lake(settings)) as lake:
        while left and not problem:
            left -= ended.is_set()
            counted = lake.total_rows(name)
            found = lake.table(name).scan(selected_fields=("sequence",)).to_arrow()["sequence"]
            if not counted == len(found) == pc.count_distinct(found).as_py() == rows:
                problem = f"a reader found {counted:,} rows counted and {len(found):,} read, of {rows:,}"
            looks += 1
            if looks == 1:
                told.send("looked")
    told.send((looks, problem))


def _pieces(rows: int) -> list[pa.RecordBatch]:
    """The rows of each file: some seconds of trades."""
    trades = [_trades(np.random.default_rng(number), rows) for number in range(_KINDS)]
    lines = pa.array(np.arange(1, rows + 1))
    start = np.datetime64(_DAY, "us")
    pieces = []
    for number in range(_FILES):
        known = trades[number % _KINDS]
        first = start + np.timedelta64(number * rows * 300, "us")
        pieces.append(
            pa.RecordBatch.from_pydict(
                {
                    "ts": pa.array(first + known["gaps"]).cast(pa.timestamp("us", tz="UTC")),
                    "sequence": np.arange(number * rows, (number + 1) * rows),
                    **{name: known[name] for name in ("symbol", "side", "price", "size", "venue")},
                    "_file": [f"DES-{number}"] * rows,
                    "_line": lines,
                }
            )
        )
    return pieces


def _trades(generator: np.random.Generator, rows: int) -> dict[str, Any]:
    return {
        "gaps": np.cumsum(generator.integers(1, 600, rows)).astype("timedelta64[us]"),
        "symbol": pa.array(generator.choice([f"S{symbol:03}" for symbol in range(200)], rows)),
        "side": pa.array(generator.choice(["B", "S"], rows)),
        "price": pa.array(np.round(100 + generator.normal(0, 1, rows).cumsum() / 100, 2)),
        "size": pa.array(generator.integers(1, 50, rows) * 10),
        "venue": pa.array(generator.choice(["XNYS", "XNAS", "BATS"], rows)),
    }
