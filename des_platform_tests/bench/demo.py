"""The stages of the platform beside plain copies of the same files.

Each round has a platform of its own, with a database and a store that nothing has touched, on one PostgreSQL that is as
durable as any. A stage runs once in each round, after the stages before it; after each turn its peer does the like of
its work with plain files. Ratios far below 1 are no surprise: a copy promises nothing, while a stage records each file
exactly once, checks it, and can be killed at any moment. What they show is the price of that.

MB are millions of bytes of the original files. `compressed_objects` works on the large files alone, and `des_shards` is
counted by the small ones, whose bytes are in the archives.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform_tests.bench import plain_files as plain
from des_platform_tests.bench.fresh_platform import FreshPlatform, demo_datasets
from des_platform_tests.bench.plain_files import Size
from des_platform_tests.bench.runner import alternate, bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from des_platform.catalog.dataset import Dataset
    from des_platform.cli.demo.postgres import PostgresAddress
    from des_platform_tests.bench.plain_files import PlainFile
    from des_platform_tests.bench.results import Measurement

_FULL, _FULL_ROUNDS = Size(documents=2400, flight_days=30, stock_days=12), 5
_QUICK, _QUICK_ROUNDS = Size(documents=250, flight_days=2, stock_days=1, stock_files=6), 3


@bench
def demo(*, quick: bool) -> Iterator[Measurement]:
    """The stages of the demo beside plain copies of the same files."""
    return measure(_QUICK, _QUICK_ROUNDS) if quick else measure(_FULL, _FULL_ROUNDS)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage and its peer.

    Attributes:
        name: the stage's.
        product: the stage; takes the round's number, returns how many files or rows it did.
        peer_name: what the peer uses.
        peer: the like with plain files.
        megabytes: what both read; None where no bytes are read, or where files are what matters.
        counted: what both count.
    """

    name: str
    product: Callable[[int], int]
    peer_name: str
    peer: Callable[[int], int]
    megabytes: float | None = None
    counted: str = "files"


def measure(size: Size, rounds: int) -> Iterator[Measurement]:
    """Measure every stage, one after the other.

    Args:
        size: how many files.
        rounds: platforms to bring up, each one stage further in turn with the peer.
    """
    datasets = demo_datasets()
    with tempfile.TemporaryDirectory(prefix="des_platform_bench-") as name, ExitStack() as opened:
        folder = Path(name).resolve()
        folder.chmod(0o711)  # where root runs the bench, PostgreSQL's own user passes through
        files = plain.write_corpus(folder / "corpus", size, datasets)
        sys.stderr.write(f"{len(files):,} files, {_megabytes(files):,.1f} MB, {rounds} rounds\n")
        server = opened.enter_context(EmbeddedPostgres(folder, durable=True))
        platforms = [
            opened.enter_context(_fresh_platform(folder, server, list(datasets.values()), number))
            for number in range(rounds)
        ]
        for stage in _stages(files, platforms, folder):
            medians = alternate(stage.product, stage.peer, rounds)
            unit = f"{stage.counted}/s"
            yield medians.rate(f"{stage.name}_{stage.counted}", medians.work, unit, stage.peer_name)
            if stage.megabytes is not None:
                yield medians.rate(f"{stage.name}_mb", stage.megabytes, "MB/s", stage.peer_name)


def _stages(files: Sequence[PlainFile], platforms: Sequence[FreshPlatform], folder: Path) -> list[_Stage]:
    """Every stage, in the order in which a file meets them."""
    large = [file for file in files if file.large]
    small = [file for file in files if not file.large]
    tabular = [file for file in files if file.dataset.table is not None]
    small_by_day, tabular_by_day = plain.by_day(small), plain.by_day(tabular)

    def on(stage: Callable[[FreshPlatform], int]) -> Callable[[int], int]:
        return lambda number: stage(platforms[number])

    def into(kind: str, write: Callable[[Path], int]) -> Callable[[int], int]:
        return lambda number: write(folder / f"{kind}-{number}")

    put = on(lambda platform: platform.put(files))
    copy = into("copies", lambda to: plain.copy_each(files, to))
    walk = on(lambda platform: plain.walk(platform.landing))
    zstd = into("zst", lambda to: plain.compress_each(large, to))
    parquet = into("parquet", lambda to: plain.write_parquet(tabular_by_day, to))
    tar = into("tar", lambda to: plain.write_tars(small_by_day, to))
    every = _megabytes(files)
    return [
        _Stage("put", put, "shutil.copyfile", copy, every),
        _Stage("inbox", on(FreshPlatform.find), "os.walk + stat", walk),
        _Stage("raw_files", on(FreshPlatform.take_in), "hashlib.sha256", lambda _: plain.hash_each(files), every),
        _Stage("compressed_objects", on(FreshPlatform.compress), "zstd level 3", zstd, _megabytes(large)),
        _Stage("table", on(FreshPlatform.load), "pyarrow, zstd", parquet, _megabytes(tabular), counted="rows"),
        _Stage("des_shards", on(FreshPlatform.pack), "tarfile", tar, _megabytes(small)),
        _Stage("read_back", on(FreshPlatform.read_back), "open + read", lambda _: plain.read_each(files)),
    ]


@contextmanager
def _fresh_platform(
    folder: Path, server: PostgresAddress, datasets: Sequence[Dataset], number: int
) -> Iterator[FreshPlatform]:
    import psycopg

    address = replace(server, database=f"round_{number}")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {address.database}".encode())
    with closing(FreshPlatform(folder / f"platform-{number}", address, datasets)) as platform:
        yield platform


def _megabytes(files: Sequence[PlainFile]) -> float:
    return sum(file.size for file in files) / 1e6
