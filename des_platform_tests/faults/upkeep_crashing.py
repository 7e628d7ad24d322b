"""A night of upkeep that is killed: a process forked again and again, and SIGKILLed behind one of its steps.

Run as a program, with one JSON object on standard input: `stride`. A table with small files, replaced days and an
orphan is made, a night of upkeep on it is killed behind its first step, the rows are compared, a second night finishes,
and the table must be clean and hold the same rows. Then the same behind `stride` steps more, and so on, until a night
gets through. A step is everything that another process can see: a file made, written to, closed or removed, a commit of
the tables' catalogue, a commit of the platform's database.

The result is one JSON object: how many nights were killed, and behind which kinds of steps.

The program loads what a night needs once and forks, since importing it takes seconds; so it does nothing itself.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
import polars as pl
import pyarrow.parquet as pq
import sqlalchemy as sa
from pyiceberg.avro.file import AvroOutputFile
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from des_platform.catalog.database import Catalog
from des_platform.objectstore import Buckets
from des_platform.settings import load_settings
from des_platform_tests.lake.conftest import rows
from des_platform_tests.lake.upkeep_tables import FIRST, NAME, NOW, append_small, content, live, objects, upkeep_of
from des_platform_tests.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform.lake.tables import Lake
    from des_platform.lake.upkeep.upkeep import Upkeep

_DAYS = 2
_ORPHAN = f"lake/des/{NAME}/data/killed.parquet"
_FUTURE = timedelta(seconds=-60)  # nobody else writes here, so that an orphan needs no age
_STEPS: tuple[tuple[Any, str], ...] = (
    (PyArrowFile, "create"),
    (pq.ParquetWriter, "write_table"),
    (pq.ParquetWriter, "close"),
    (AvroOutputFile, "__exit__"),
    (PyArrowFileIO, "delete"),
    (obstore, "delete"),
    (SqlCatalog, "commit_table"),
    (sa.engine.default.DefaultDialect, "do_commit"),
)


def make(expected: Path) -> None:
    """A table that needs every job, and what a reader sees of it."""
    with _opened() as (platform, lake, upkeep):
        append_small(lake, files=8, days=_DAYS)
        for symbol in ("OLD", "NEW"):
            lake.replace_day(NAME, FIRST + timedelta(days=_DAYS), [rows(5, symbol)], properties={})
        platform.buckets.own.put(_ORPHAN, b"left behind")
        expected.write_bytes(pickle.dumps(content(upkeep)))


def night(last: int) -> None:
    """Every job once, killed behind a step."""
    with _opened() as (_, _, upkeep):
        _kill_behind(last)
        _every_job(upkeep)


def morning(expected: Path) -> None:
    """The rows are the same, and so they are after a night that gets through; then nothing is left to do."""
    with _opened() as (platform, _, upkeep):
        before = pickle.loads(expected.read_bytes())  # noqa: S301 - written above
        assert len(before) == 8 * 10 * _DAYS + 5
        assert content(upkeep) == before
        _every_job(upkeep)
        assert content(upkeep) == before
        assert len(live(upkeep)) == len(objects(platform, ".parquet")) == _DAYS + 1
        assert upkeep.compact(NAME, apply=False).parts == ()
        assert upkeep.expire(NAME, apply=False, older_than=NOW, keep=1).snapshots == 0
        assert upkeep.orphans(NAME, apply=False, older_than=_FUTURE).files_removed == 0
        table = upkeep.table(NAME)
        table.catalog.drop_table(table.name())
        shutil.rmtree(urlsplit(table.location()).path)


def _every_job(upkeep: Upkeep) -> None:
    upkeep.manifests(NAME, apply=True)
    upkeep.compact(NAME, apply=True)
    upkeep.expire(NAME, apply=True, older_than=NOW, keep=1)
    upkeep.orphans(NAME, apply=True, older_than=_FUTURE)


@contextmanager
def _opened() -> Iterator[tuple[Platform, Lake, Upkeep]]:
    settings = load_settings()
    with Catalog.open(settings) as catalog:
        platform = Platform(settings, catalog, Buckets(settings), settings.scratch)
        with upkeep_of(platform) as (lake, upkeep):
            yield platform, lake, upkeep


def _kill_behind(last: int) -> None:
    seen = 0

    def counting(original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal seen
            result = original(*arguments, **options)
            seen += 1
            if seen == last:
                os.write(2, f"{name}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    for owner, name in _STEPS:
        setattr(owner, name, counting(getattr(owner, name), name))


def _forked(work: Callable[[], None]) -> str | None:
    """Run work in a fork; returns behind which step it was killed, or None if it got through."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 2)
        try:
            work()
        except BaseException:  # noqa: BLE001 - whatever it was, the parent must not go on in the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        told = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return told.splitlines()[-1]
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{work} failed by itself:\n{told}")
    return None


def main() -> None:
    """Do what standard input asks for."""
    stride = json.load(sys.stdin)["stride"]
    expected = load_settings().scratch / "expected"
    behind: Counter[str] = Counter()
    while True:
        _forked(partial(make, expected))
        killed = _forked(partial(night, 1 + behind.total() * stride))
        _forked(partial(morning, expected))
        if killed is None:
            break
        behind[killed] += 1
    sys.stdout.write(json.dumps({"killed": behind.total(), "behind": behind}) + "\n")


if __name__ == "__main__":
    assert pl  # imported before the forks
    main()
