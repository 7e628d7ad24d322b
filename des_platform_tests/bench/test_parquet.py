from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from des_platform_tests.bench import parquet, parquet_data
from des_platform_tests.bench.__main__ import main
from des_platform_tests.bench.parquet import Scale
from des_platform_tests.bench.parquet_sides import PEERS
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = {
    "parquet_bytes",
    "parquet_bytes.best_peer",
    "parquet_cpu",
    "parquet_cpu.best_peer",
    "parquet_lossy",
    "parquet_read",
}


def test_every_figure_is_measured_with_its_goal_and_told_which_tables_are_real(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parquet, "_QUICK", Scale(rows=3000, rounds=1))
    monkeypatch.setattr(parquet, "_MEASURABLE_SECONDS", 0.0)
    monkeypatch.setattr(parquet_data, "_REAL", {"airports": "vega_datasets/_data/airports.csv"})

    main(["parquet", "--quick", "--json"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {line["id"]: line for line in lines}
    assert len(found) == len(lines)
    assert {name for name, line in found.items() if line["goal"] is not None} - {
        "parquet_lossy.largest_error"
    } == FIGURES
    assert {"parquet_bytes.generated", "parquet_bytes.real", "parquet_bytes.real.airports.polars"} <= set(found)
    assert found["parquet_lossy.largest_error"]["met"]
    assert all(math.isfinite(line["value"]) and line["ratio"] > 0 for line in lines)


def test_the_tables_are_the_same_each_time() -> None:
    for make in (parquet_data.ticks, parquet_data.ohlcv, parquet_data.events):
        assert make(2000).equals(make(2000))


def test_a_file_with_other_values_is_no_result(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.0, -0.0]}), tmp_path / "a.parquet")

    parquet._check_same(pa.table({"a": [1.0, -0.0]}), tmp_path / "a.parquet")
    with pytest.raises(UnequalWork, match="other values in a"):
        parquet._check_same(pa.table({"a": [1.0, 0.0]}), tmp_path / "a.parquet")
    with pytest.raises(UnequalWork, match="another schema"):
        parquet._check_same(pa.table({"a": [1, 0]}), tmp_path / "a.parquet")


def test_only_the_downcast_is_lossy(tmp_path: Path) -> None:
    table = pa.table(
        {"exact": [1.5, 2.5, None], "close": [0.1, 0.2, None], "count": [1, 2, 3], "name": ["a", "b", None]}
    )
    for number, side in enumerate(PEERS):
        path = tmp_path / f"{number}.parquet"
        side.prepare(table)(path)
        found = pq.read_table(path)
        assert (found["close"].to_pylist() == table["close"].to_pylist()) is side.lossless
        assert found["name"].to_pylist() == table["name"].to_pylist()
