"""A platform for tests: a fresh catalogue and a fresh store, and the few verbs that most tests begin with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from des_platform.catalog import files, partitions
from des_platform.catalog.dataset import Dataset
from des_platform.compression.compress import CompressionReport, compress_day
from des_platform.files.reader import FileReader
from des_platform.packing.pack import Packer, PackReport
from des_platform.sources.intake import IntakeReport, take_in
from des_platform.sources.listing import list_new

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.objectstore import Buckets
    from des_platform.settings import Settings

LANDING = "landing"
DAY = date(2026, 3, 1)
# Takes the day from the key, so that tests choose it; four shards; what is above 1,000 bytes is large.
DATASET = Dataset(
    name="things",
    bucket=LANDING,
    prefix="things/",
    start=date(2026, 1, 1),
    day_in_key=True,
    shard_bits=2,
    small_bytes=1000,
)


@dataclass
class Platform:
    """Everything that the stages need; files arrive by `put`."""

    settings: Settings
    catalog: Catalog
    buckets: Buckets
    scratch: Path
    dataset: Dataset = DATASET

    @cached_property
    def reader(self) -> FileReader:
        return FileReader(self.catalog, self.buckets)

    @cached_property
    def packer(self) -> Packer:
        return Packer(self.catalog, self.buckets, self.reader, self.scratch, lease_seconds=2, threads=4)

    def put(self, name: str, content: bytes, day: date = DAY) -> str:
        """Put a file into the landing bucket; returns its key."""
        key = f"{self.dataset.prefix}{day}/{name}"
        self.buckets.bucket(LANDING).put(key, content)
        return key

    def find(self) -> int:
        """Record by listing what was put; returns how many files were new."""
        with self.catalog.begin() as connection:
            partitions.register_datasets(connection, [self.dataset])
        return list_new(self.catalog, self.buckets, self.dataset, [self.dataset], seconds=30).new

    def take_in(self, day: date = DAY) -> IntakeReport:
        return take_in(
            self.catalog, self.buckets, self.dataset, day, name_prefix="DES", scratch=self.scratch, threads=4
        )

    def compress(self, day: date = DAY) -> CompressionReport:
        return compress_day(self.catalog, self.buckets, self.reader, self.dataset, day, threads=4)

    def pack(self, day: date = DAY) -> list[PackReport]:
        return [self.packer.pack(self.dataset, day, shard) for shard in range(self.dataset.shards)]

    def run_all(self, day: date = DAY) -> None:
        """Find, take in, compress and pack."""
        self.find()
        self.take_in(day)
        self.compress(day)
        self.pack(day)

    def rows(self, day: date = DAY) -> dict[str, FileRow]:
        """The catalogued files of a day by the last part of their keys."""
        with self.catalog.begin() as connection:
            found = [row for batch in files.of_day(connection, self.dataset.name, day) for row in batch]
        return {row.key.rsplit("/", 1)[1]: row for row in found}


def noon(day: date = DAY) -> datetime:
    """An arrival time on a day."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
