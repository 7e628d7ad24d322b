"""Engines that know nothing of DES: each opens the archive as the Parquet file that it is, and counts and sums."""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from des_platform.archive import DesReader
from des_platform_tests.bench import archive_data
from des_platform_tests.bench.archive_measure import counting, in_turn, remove
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow.parquet as pq

    from des_platform_tests.bench.archive_measure import CountingSource, Scale

_QUERY = "SELECT count(*) AS files, sum(size) AS bytes FROM {}"
_PREFIX_LENGTH = len("sensor/2026-01-01/obj_012345")


def sql_engines(path: Path, scale: Scale) -> Iterator[Measurement]:
    """Four engines on an archive of `many` objects, beside the same catalogue as a Parquet file of its own."""
    plain = path.with_suffix(".parquet")
    expected = (scale.many, scale.many * len(archive_data.small_object(0)))
    agreeing = [name for name, ask in _installed().items() if ask(path) == expected]
    yield Measurement("sql_engines", len(agreeing), "engines", "asked", len(_ENGINES), len(_ENGINES), absolute=True)
    _write_plain(path, plain)
    for name in agreeing:
        sides = {side: partial(_asked, _ENGINES[name], file) for side, file in (("des", path), ("plain", plain))}
        seconds = in_turn(sides, scale.rounds)
        yield Measurement(f"sql_engines.{name}", seconds["des"] * 1e3, "ms", "Parquet alone", seconds["plain"] * 1e3)
    remove(plain)
    yield _touched(path, scale.many)


def _installed() -> dict[str, Callable[[Path], tuple[int, int]]]:
    missing = [name for name in _ENGINES if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"not installed: {', '.join(missing)}\n")
    return {name: ask for name, ask in _ENGINES.items() if name not in missing}


def _touched(path: Path, count: int) -> Measurement:
    """How many row groups a listing of a hundred names by their prefix reads."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    groups = [_extent(metadata.row_group(number)) for number in range(metadata.num_row_groups)]
    middle = metadata.row_group(metadata.num_row_groups // 2).num_rows // 2  # inside a row group, as most prefixes are
    before = sum(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups // 2))
    prefix = archive_data.name(min(before + middle, count - 1))[:_PREFIX_LENGTH]
    with counting(path) as source, DesReader(source) as reader:
        listed = list(reader.list_files(prefix))
        if not listed or not all(name.startswith(prefix) for name in listed):
            raise UnequalWork(f"the prefix {prefix} gave {len(listed)} names, or others")
        touched = sum(_read_within(source, *extent) for extent in groups)
    return Measurement(
        "sql_engines.row_groups", touched, "row groups", "all", len(groups), 1, at_most=True, absolute=True
    )


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """Where a row group's bytes begin and end."""
    columns = [group.column(number) for number in range(group.num_columns)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    return min(starts), max(start + column.total_compressed_size for start, column in zip(starts, columns, strict=True))


def _read_within(source: CountingSource, start: int, end: int) -> bool:
    return any(first < end and last > start for first, last in source.ranges)


def _write_plain(path: Path, plain: Path) -> None:
    import pyarrow.parquet as pq

    catalogue = pq.ParquetFile(path)
    with pq.ParquetWriter(plain, catalogue.schema_arrow, compression="zstd") as writer:
        for number in range(catalogue.num_row_groups):
            writer.write_table(catalogue.read_row_group(number))


def _asked(ask: Callable[[Path], tuple[int, int]], path: Path) -> int:
    return sum(ask(path))


def _duckdb(path: Path) -> tuple[int, int]:
    import duckdb

    with duckdb.connect() as connection:
        return _pair(connection.execute(_QUERY.format("read_parquet(?)"), [str(path)]).fetchone())


def _polars(path: Path) -> tuple[int, int]:
    import polars as pl

    query = pl.scan_parquet(path).select(files=pl.len(), bytes=pl.col("size").sum())
    return _pair(query.collect().row(0))


def _pyarrow(path: Path) -> tuple[int, int]:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    sizes = ds.dataset(path, format="parquet").to_table(columns=["size"])["size"]
    return len(sizes), pc.sum(sizes).as_py()


def _datafusion(path: Path) -> tuple[int, int]:
    from datafusion import SessionContext

    session = SessionContext()
    session.register_parquet("archive", str(path), file_extension=path.suffix)
    (row,) = session.sql(_QUERY.format("archive")).to_pylist()
    return _pair((row["files"], row["bytes"]))


def _pair(row: Sequence[Any] | None) -> tuple[int, int]:
    files, size = map(int, row or (0, 0))
    return files, size


_ENGINES: dict[str, Callable[[Path], tuple[int, int]]] = {
    "duckdb": _duckdb,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "datafusion": _datafusion,
}
