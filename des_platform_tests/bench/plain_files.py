"""The demo bench's data, real files on disk, and its peers: what one would write in an afternoon without a platform."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

import zstandard

from des_platform.cli.demo import corpus
from des_platform.parquet.columns import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from des_platform.catalog.dataset import Dataset

_FIRST_STOCK_DAY = date(2026, 10, 5)


@dataclass(frozen=True, slots=True)
class Size:
    """How much to feed: most documents, days of flights, days of stock-market files and files a day."""

    documents: int
    flight_days: int
    stock_days: int
    stock_files: int = 12


@dataclass(frozen=True, slots=True)
class PlainFile:
    """A file on disk, and the partition that it will belong to; its size in bytes."""

    key: str
    path: Path
    size: int
    dataset: Dataset
    day: date

    @property
    def large(self) -> bool:
        """Whether it becomes a compressed object of its own."""
        return self.size > self.dataset.small_bytes

    def content(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()


def write_corpus(folder: Path, size: Size, datasets: Mapping[str, Dataset]) -> list[PlainFile]:
    """Write what `des demo` feeds, each file once."""
    trading = [_FIRST_STOCK_DAY + timedelta(days=number) for number in range(size.stock_days)]
    fed = chain(
        corpus.stock_market(trading, size.stock_files),
        corpus.flights(size.flight_days),
        corpus.documents(limit=size.documents),
    )
    now = datetime.now(UTC)
    written = []
    for file in fed:
        path = folder / file.key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            target.writelines(file.open_chunks())
        dataset = datasets[file.dataset]
        written.append(PlainFile(file.key, path, path.stat().st_size, dataset, dataset.day_of(file.key, now)))
    return written


def by_day(files: Iterable[PlainFile]) -> list[list[PlainFile]]:
    """The files of each dataset and day."""
    days = defaultdict(list)
    for file in files:
        days[file.dataset.name, file.day].append(file)
    return list(days.values())


def copy_each(files: Sequence[PlainFile], folder: Path) -> int:
    """Copy every file; returns how many."""
    targets = [folder / file.key for file in files]
    for parent in {target.parent for target in targets}:
        parent.mkdir(parents=True, exist_ok=True)
    for file, target in zip(files, targets, strict=True):
        shutil.copyfile(file.path, target)
    return len(files)


def walk(folder: Path) -> int:
    """Look at every file of a folder; returns how many there are."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            os.stat(f"{place}/{name}")  # noqa: PTH116 - a plain loop needs no Path
            found += 1
    return found


def hash_each(files: Sequence[PlainFile]) -> int:
    """Read and hash every file; returns how many."""
    for file in files:
        with file.path.open("rb") as stream:
            hashlib.file_digest(stream, "sha256")
    return len(files)


def compress_each(files: Sequence[PlainFile], folder: Path) -> int:
    """Compress every file on its own, and read it back; returns how many came back as they were."""
    folder.mkdir()
    equal = 0
    for number, file in enumerate(files):
        target = folder / f"{number}.zst"
        content = file.content()
        target.write_bytes(zstandard.ZstdCompressor(level=3).compress(content))
        equal += zstandard.ZstdDecompressor().decompress(target.read_bytes()) == content
    return equal


def write_parquet(days: Iterable[Sequence[PlainFile]], folder: Path) -> int:
    """Write one Parquet file a day from its CSV and JSON files, compressed as the lake compresses; returns the rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    rows = 0
    for number, files in enumerate(days):
        table = pa.concat_tables([_table(file) for file in files])
        pq.write_table(table, folder / f"{number}.parquet", compression="zstd", compression_level=3)
        rows += table.num_rows
    return rows


def _table(file: PlainFile) -> pa.Table:
    from pyarrow import csv, json

    spec = file.dataset.table
    schema = arrow_schema(spec.columns if spec else {})
    if file.path.suffix == ".csv":
        return csv.read_csv(file.path, convert_options=csv.ConvertOptions(column_types=schema))
    return json.read_json(file.path, parse_options=json.ParseOptions(explicit_schema=schema))


def write_tars(days: Iterable[Sequence[PlainFile]], folder: Path) -> int:
    """Write one tar a day; returns how many files are in them."""
    folder.mkdir()
    packed = 0
    for number, files in enumerate(days):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for file in files:
                archive.add(file.path, file.key)
        packed += len(files)
    return packed


def read_each(files: Sequence[PlainFile]) -> int:
    """Open and read every file; returns how many had the size they should have."""
    return sum(len(file.content()) == file.size for file in files)
