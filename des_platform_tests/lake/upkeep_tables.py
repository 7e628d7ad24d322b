"""Tables that need upkeep, and what a reader sees of them."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa

from des_platform.lake.tables import Lake
from des_platform.lake.upkeep.upkeep import Upkeep
from des_platform_tests.lake.conftest import COLUMNS, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.manifest import DataFile

    from des_platform_tests.platform import Platform

NAME = "ticks"
FIRST = date(2026, 3, 1)
NOW = timedelta(0)
Rows = list[tuple[object, ...]]


@contextmanager
def upkeep_of(platform: Platform) -> Iterator[tuple[Lake, Upkeep]]:
    """A lake with the empty table `ticks`, and its upkeep."""
    lake = Lake(platform.settings)
    upkeep = Upkeep(platform.settings, platform.catalog, platform.buckets)
    try:
        lake.ensure_table(NAME, COLUMNS)
        yield lake, upkeep
    finally:
        upkeep.close()
        lake.close()


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=number) for number in range(count)]


def fill_days(lake: Lake, count: int, each: int = 10) -> None:
    """So many days, each with one file, by a commit of its own."""
    for number, day in enumerate(days(count)):
        lake.replace_day(NAME, day, [rows(each, f"S{number}")], properties={})


def content(upkeep: Upkeep, name: str = NAME) -> Rows:
    """Every row that a reader of the newest snapshot sees, in one order."""
    found = upkeep.table(name).scan().to_arrow()
    columns = sorted(found.column_names)
    return sorted(zip(*(found[column].to_pylist() for column in columns), strict=True), key=repr)


def objects(platform: Platform, ending: str = "") -> set[str]:
    """The keys of the table's files."""
    return {info.key for info in platform.buckets.own.list(f"lake/des/{NAME}/") if info.key.endswith(ending)}


def age(platform: Platform, days_ago: float) -> None:
    """Make every file of a folder's bucket look as if it had been written so long ago."""
    moment = time.time() - days_ago * 86_400
    root = Path(urlsplit(platform.settings.store_url).path) / platform.settings.bucket
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (moment, moment))


def append_small(lake: Lake, *, files: int, days: int = 1, each: int = 10, name: str = NAME) -> None:
    """So many small files in each of the first days, by a commit of its own for each."""
    for number in range(files):
        batch = rows(each, f"S{number}")
        batches = [batch.append_column("_day", pa.array([FIRST + timedelta(days=day)] * each)) for day in range(days)]
        lake.append(name, batches, properties={"dagster-run-id": f"run-{number}"})


def live(upkeep: Upkeep, name: str = NAME) -> list[DataFile]:
    """The data files of the newest snapshot."""
    return [task.file for task in upkeep.table(name).scan().plan_files()]
