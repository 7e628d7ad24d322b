"""What is compressed is a table, to any reader of Parquet; with the file's own SQL, the whole one."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from des_platform.codecs.records import looks_like_records, table_query
from des_platform_tests.codecs.records.support import json_lines, pack, trades

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = 4000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "it's.parquet"
    path.write_bytes(pack(json_lines(_ROWS)))
    return path


def _whole(path: Path) -> list[dict[str, Any]]:
    query = table_query(pq.ParquetFile(path).metadata.metadata, str(path))
    return duckdb.sql(query).to_arrow_table().to_pylist()


def test_readers_see_fields_with_their_names_and_types(file: Path) -> None:
    with duckdb.connect() as connection:
        types = {
            name: kind for name, kind, *_ in connection.execute("describe from read_parquet(?)", [str(file)]).fetchall()
        }
    assert types["symbol"] == "VARCHAR"
    assert types["open"] == "BOOLEAN"
    assert types["where.port"] == "BIGINT"
    assert pl.read_parquet(file)["symbol"].to_list() == [record["symbol"] for record in trades(_ROWS)]
    assert pq.read_table(file)["day"].to_pylist()[0] == dt.date.fromisoformat(str(trades(1)[0]["day"]))


def test_the_files_own_sql_gives_every_value(file: Path) -> None:
    rows = _whole(file)
    assert len(rows) == _ROWS
    for row, record in zip(rows, trades(_ROWS), strict=True):
        assert row["id"] == record["id"]
        assert row["at"] == dt.datetime.fromisoformat(str(record["at"]))
        assert (row["symbol"], row["sector"]) == (record["symbol"], record["sector"])
        assert (row["price"], row["bid"]) == (Decimal(str(record["price"])), Decimal(str(record["bid"])))
        assert row["volume"] == record.get("volume")
        assert json.loads(row["tags"]) == record["tags"]


def test_columns_that_follow_from_others_are_not_stored(file: Path) -> None:
    names = set(pq.ParquetFile(file).schema_arrow.names)
    assert "sector" not in names
    assert "des:rest:bid" in names or "des:rest:price" in names


def test_csv_has_typed_columns_and_nulls(tmp_path: Path) -> None:
    lines = [f'{n},{n / 8:.3f},"name {n % 7}",{"" if n % 5 else n},2026-01-{n % 28 + 1:02d}\n' for n in range(3000)]
    path = tmp_path / "x.parquet"
    path.write_bytes(pack(("id,weight,name,rare,day\n" + "".join(lines)).encode()))
    row = _whole(path)[1]
    assert row == {
        "id": 1,
        "weight": Decimal("0.125"),
        "name": "name 1",
        "rare": None,
        "day": dt.date(2026, 1, 2),
    }


def test_a_log_is_a_table_too(tmp_path: Path) -> None:
    lines = [
        f"2026-01-05 00:{n // 60 % 60:02d}:{n % 60:02d},{n % 1000:03d} INFO user {n * 37 % 101}"
        f" took={n % 90}.5ms status={200 + n % 3}\n"
        for n in range(3000)
    ]
    path = tmp_path / "x.parquet"
    path.write_bytes(pack("".join(lines).encode()))
    row = _whole(path)[61]
    assert row["time"] == dt.datetime(2026, 1, 5, 0, 1, 1, 61_000)  # noqa: DTZ001 - the log names no zone
    assert (row["took"], row["status"]) == (Decimal("61.5"), 201)


@pytest.mark.parametrize(
    ("start", "records"), [(json_lines(50), True), (b"a,b\n" * 50, True), (b"\0" * 99, False), (b"", False)]
)
def test_a_look_tells_what_may_be_records(start: bytes, records: bool) -> None:
    assert looks_like_records(start) is records
