"""A platform that has never seen a file: the demo's datasets, a new database, an empty store, and its stages."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped] # comes with Dagster
from pydantic import SecretStr

from des_platform import defs
from des_platform.catalog import files, inbox, partitions
from des_platform.catalog.database import Catalog
from des_platform.catalog.dataset import Dataset
from des_platform.compression.compress import compress_day
from des_platform.files.reader import FileReader
from des_platform.lake.load import load_days
from des_platform.lake.tables import Lake
from des_platform.objectstore import Buckets
from des_platform.packing.pack import Packer
from des_platform.settings import Settings
from des_platform.sources.intake import take_in
from des_platform.sources.listing import list_new

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from des_platform.cli.demo.postgres import PostgresAddress
    from des_platform_tests.bench.plain_files import PlainFile

LANDING = "landing"
_DAYS = 10_000  # more partitions than any bench has
_SECONDS = 3600.0  # a listing's budget: no bench runs out of it


def demo_datasets() -> dict[str, Dataset]:
    """The datasets that the platform comes with, by name."""
    folder = Path(next(iter(defs.__path__))) / "datasets"
    definitions = [yaml.safe_load(path.read_text()) for path in folder.glob("*/defs.yaml")]
    datasets = [Dataset.model_validate(definition["attributes"]) for definition in definitions]
    return {dataset.name: dataset for dataset in datasets}


class FreshPlatform:
    """Every stage is called once, in this order; each returns how many files, or rows, it has done.

    Args:
        folder: a new folder of its own.
        address: an empty database of its own.
        datasets: all of them.
    """

    def __init__(self, folder: Path, address: PostgresAddress, datasets: Sequence[Dataset]) -> None:
        (folder / "scratch").mkdir(parents=True)
        self.landing = folder / "store" / LANDING
        self._settings = Settings(
            store_url=f"file://{folder / 'store'}",
            pg_host=address.host,
            pg_port=address.port,
            pg_user=address.user,
            pg_password=SecretStr(address.password),
            pg_db=address.database,
            scratch=folder / "scratch",
        )
        self._datasets = datasets
        self._days: list[tuple[Dataset, date]] = []
        self._buckets = Buckets(self._settings)
        self._buckets.create(LANDING)
        self._catalog = Catalog.open(self._settings)
        self._lake = Lake(self._settings)
        self._reader = FileReader(self._catalog, self._buckets)

    def close(self) -> None:
        """Give the database connections back."""
        self._lake.close()
        self._catalog.close()

    def put(self, arriving: Sequence[PlainFile]) -> int:
        """Put every file into the landing bucket."""
        store = self._buckets.bucket(LANDING)
        return sum(store.put_file(file.key, file.path).size == file.size for file in arriving)

    def find(self) -> int:
        """Record by listing."""
        with self._catalog.begin() as connection:
            partitions.register_datasets(connection, list(self._datasets))
        return sum(
            list_new(self._catalog, self._buckets, dataset, self._datasets, seconds=_SECONDS).new
            for dataset in self._datasets
        )

    def take_in(self) -> int:
        """Catalogue every file of every day."""
        with self._catalog.begin() as connection:
            self._days = [
                (dataset, waiting.day)
                for dataset in self._datasets
                for waiting in inbox.backlog(connection, dataset.name, _DAYS)
            ]
        settings = self._settings
        return sum(
            take_in(
                self._catalog,
                self._buckets,
                dataset,
                day,
                name_prefix=settings.name_prefix,
                scratch=settings.scratch,
                threads=settings.threads,
            ).files
            for dataset, day in self._days
        )

    def compress(self) -> int:
        """Compress and prove every large file."""
        threads = self._settings.threads
        return sum(
            compress_day(self._catalog, self._buckets, self._reader, dataset, day, threads=threads).codecs.total()
            for dataset, day in self._days
        )

    def load(self) -> int:
        """Load every day that has a table."""
        scratch = self._settings.scratch
        return sum(
            load.rows
            for dataset, days in groupby(self._days, key=itemgetter(0))
            if dataset.table is not None
            for load in load_days(
                self._catalog,
                self._reader,
                self._lake,
                dataset,
                [day for _, day in days],
                scratch=scratch,
                properties={"run": "bench"},
            ).values()
        )

    def pack(self) -> int:
        """Publish every archive; returns the files inside them, without those that stand beside them as objects."""
        settings = self._settings
        packer = Packer(
            self._catalog, self._buckets, self._reader, settings.scratch, settings.lease_seconds, settings.threads
        )
        published = [
            packer.pack(dataset, day, shard).container for dataset, day in self._days for shard in range(dataset.shards)
        ]
        return sum(found.files - found.external_files for found in published if found is not None)

    def read_back(self) -> int:
        """Read every file from its archive; returns how many came back whole."""
        reader = FileReader(self._catalog, self._buckets)
        whole = 0
        for dataset, day in self._days:
            with self._catalog.begin() as connection:
                rows = [row for batch in files.of_day(connection, dataset.name, day) for row in batch]
            whole += sum(row.container_id is not None and len(reader.read(row)) == row.size for row in rows)
        return whole
