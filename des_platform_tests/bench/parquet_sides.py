"""Who writes Parquet in the bench: we, and what everybody has, each as it comes unless its name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from des_platform.parquet.plan import WritePlan, choose_plan
from des_platform.parquet.writing import ROW_GROUP_ROWS, open_writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    Write = Callable[[Path], None]

_CLOSE = 1e-5


class Prepare(Protocol):
    """Gets a table ready, which nobody measures, and gives what writes it to a file."""

    def __call__(self, table: pa.Table, /) -> Write: ...


@dataclass(frozen=True, slots=True)
class Side:
    """Somebody who writes Parquet.

    Attributes:
        name: what it is called in the rows.
        prepare: see there.
        lossless: whether what is read is what was written.
    """

    name: str
    prepare: Prepare
    lossless: bool = True


def write_planned(table: pa.Table, plan: WritePlan, path: Path) -> None:
    """Write a table by a plan."""
    with open_writer(str(path), table.schema, plan) as writer:
        writer.write_table(table, ROW_GROUP_ROWS)


def _planned(table: pa.Table) -> Write:
    plan = choose_plan(table)
    return lambda path: write_planned(table, plan, path)


def _arrow(compression: str, level: int | None = None) -> Prepare:
    def prepare(table: pa.Table) -> Write:
        return lambda path: pq.write_table(table, path, compression=compression, compression_level=level)

    return prepare


def _downcast(table: pa.Table) -> Write:
    frame = table.to_pandas()

    def write(path: Path) -> None:
        smaller = frame.copy(deep=False)
        for name in smaller.columns:
            smaller[name] = _smaller(smaller[name])
        smaller.to_parquet(path, compression="snappy", row_group_size=50_000, index=False)

    return write


def _smaller(values: pd.Series) -> pd.Series:
    if values.dtype == np.float64:
        single = values.astype(np.float32)
        return single if np.allclose(values, single, rtol=_CLOSE, equal_nan=True) else values
    if values.dtype == np.int64:
        half = values.astype(np.int32)
        return half if (half == values).all() else values
    return values.astype("category") if values.dtype == object or str(values.dtype) == "str" else values


def _polars(table: pa.Table) -> Write:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.write_parquet


def _duckdb(options: str) -> Prepare:
    def prepare(table: pa.Table) -> Write:
        connection = duckdb.connect()
        connection.register("rows", table)
        return lambda path: _copy(connection, path, options)

    return prepare


def _copy(connection: duckdb.DuckDBPyConnection, path: Path, options: str) -> None:
    connection.execute(f"copy rows to '{path}' (format parquet, compression zstd{options})")


OURS = Side("plan", _planned)
BASELINE = Side("pyarrow snappy", _arrow("snappy"))
PEERS = (
    Side("pyarrow zstd", _arrow("zstd")),
    Side("pyarrow zstd-3", _arrow("zstd", 3)),
    Side("polars", _polars),
    Side("duckdb zstd", _duckdb("")),
    Side("duckdb zstd, v2 pages", _duckdb(", parquet_version v2")),
    Side("float32 where close, snappy", _downcast, lossless=False),
)
