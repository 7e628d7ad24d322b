from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake import export as exports
from des_platform_tests.lake.conftest import rows

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform.lake.tables import Lake

MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)


@pytest.fixture
def by_symbol(ticks: Lake) -> Lake:
    """Two days, the second one by symbol."""
    ticks.replace_day("ticks", MONDAY, [rows(3)], properties={})
    ticks.repartition("ticks", [PartitionRule.parse("list(symbol)")])
    ticks.replace_day("ticks", TUESDAY, [rows(2, "A"), rows(4, "a/b=c/../x"), rows(1, "x" * 999)], properties={})
    return ticks


def test_every_row_comes_out_below_the_folder_of_its_partition(by_symbol: Lake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = list(by_symbol.export("ticks", str(out)))
    found = {str(path.relative_to(out)): path for path in out.rglob("*.parquet")}
    assert {path.rpartition("/")[0] for path in found} >= {
        "_day=2024-01-01",
        "_day=2024-01-02/symbol=A",
        "_day=2024-01-02/symbol=a%2Fb%3Dc%2F..%2Fx",
    }
    assert len(found) == len(done) == 4
    assert sum(one.rows for one in done) == 10
    assert {one.bytes for one in done} == {path.stat().st_size for path in found.values()}
    exported = pa.concat_tables(pq.ParquetFile(path).read() for path in found.values())
    wanted = by_symbol.table("ticks").scan().to_arrow()
    key = [(name, "ascending") for name in ("_day", "symbol", "id")]
    assert exported.sort_by(key).to_pylist() == wanted.select(exported.column_names).sort_by(key).to_pylist()


def test_readers_of_such_folders_find_days_and_values(by_symbol: Lake, tmp_path: Path) -> None:
    list(by_symbol.export("ticks", f"file://{tmp_path}/out", [TUESDAY]))
    query = f"SELECT count(*) FROM read_parquet('{tmp_path}/out/**/*.parquet', hive_partitioning = true)"  # noqa: S608 - a path of ours
    assert duckdb.sql(f"{query} WHERE symbol = 'a/b=c/../x' AND _day = '2024-01-02'").fetchall() == [(4,)]
    frame = pl.scan_parquet(tmp_path / "out/**/*.parquet", hive_partitioning=True)
    assert frame.filter(pl.col("symbol") == "A").select(pl.len()).collect().item() == 2
    assert frame.select(pl.len()).collect().item() == 7


def test_an_export_never_overwrites_and_leaves_nothing_of_a_failure(by_symbol: Lake, tmp_path: Path) -> None:
    (tmp_path / "out/_day=2024-01-02/symbol=A").mkdir(parents=True)
    theirs = tmp_path / "out/_day=2024-01-02/symbol=A/part-00000.parquet"
    theirs.write_text("not ours")
    with pytest.raises(FileExistsError):
        list(by_symbol.export("ticks", str(tmp_path / "out")))
    assert list((tmp_path / "out").rglob("*.parquet")) == [theirs]
    assert theirs.read_text() == "not ours"


def test_a_large_partition_comes_out_as_several_files(
    ticks: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(300_000)], properties={})
    monkeypatch.setattr(exports, "_FILE_BYTES", 1000)
    done = list(ticks.export("ticks", str(tmp_path / "out")))
    assert [one.rows for one in done] == [131_072, 131_072, 37_856]


def test_an_empty_table_exports_nothing(ticks: Lake, tmp_path: Path) -> None:
    assert list(ticks.export("ticks", str(tmp_path / "out"))) == []
