"""DuckDB, Polars and pyarrow read a table as it is now, by field id, wherever its files are."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from des_platform.lake.engines import arrow_reader, duckdb_relation, duckdb_sql, polars_frame, polars_storage_options
from des_platform.lake.evolution import Change, Field, apply_changes, diff, fields_of
from des_platform.lake.tables import Lake
from des_platform_tests.lake.conftest import COLUMNS, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.table import Table

    from des_platform_tests.platform import Platform

DAY = date(2026, 3, 1)


def by_duckdb(table: Table) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        relation = duckdb_relation(table, connection)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def by_polars(table: Table) -> list[dict[str, Any]]:
    return polars_frame(table).collect().to_dicts()


def by_pyarrow(table: Table) -> list[dict[str, Any]]:
    return arrow_reader(table).read_all().to_pylist()


each_engine = pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pyarrow])


@each_engine
def test_an_empty_table_has_its_columns_and_no_rows(ticks: Lake, read: Callable[[Table], list[dict[str, Any]]]) -> None:
    assert read(ticks.table("ticks")) == []
    with duckdb.connect() as connection:
        relation = connection.sql(duckdb_sql(ticks.table("ticks")))
        assert relation.columns == ticks.table("ticks").schema().column_names


@each_engine
def test_old_files_read_right_under_new_names_and_types(
    lake: Lake, read: Callable[[Table], list[dict[str, Any]]]
) -> None:
    hostile = 'it\'s "x"; DROP TABLE t; --'
    lake.ensure_table("ticks", {"id": "int", "price": "float", "symbol": "string"})
    old = rows(1).set_column(1, "price", pa.array([0.0], pa.float32()))
    lake.replace_day("ticks", DAY, [old], properties={})
    new = [Field("id", "long"), Field(hostile, "double")]
    changes = diff(fields_of(lake.table("ticks")), new, {hostile: "price"})
    apply_changes(lake, "ticks", changes, allow_loss=True)
    reused = diff(fields_of(lake.table("ticks")), [*new, Field("price", "string")])
    apply_changes(lake, "ticks", reused)
    assert read(lake.table("ticks")) == [
        {"_day": DAY, "id": 0, hostile: 0.0, "price": None, "_file": "DES-1", "_line": 1}
    ]


def test_a_table_on_an_s3_server_reads_without_an_extension(s3_platform: Platform, moto_endpoint: str) -> None:
    with closing(Lake(s3_platform.settings)) as lake:
        lake.ensure_table("ticks", COLUMNS)
        lake.replace_day("ticks", DAY, [rows(3)], properties={})
        table = lake.table("ticks")
        for read in (by_duckdb, by_polars, by_pyarrow):
            assert [row["id"] for row in read(table)] == [0, 1, 2]
        options = polars_storage_options(table)
        assert (options["aws_endpoint_url"], options["aws_allow_http"]) == (moto_endpoint, "true")
        handed_out = duckdb_sql(table) + repr(options) + repr(table.io.properties)
        assert s3_platform.settings.pg_password.get_secret_value() not in handed_out


def test_a_local_table_needs_no_options(ticks: Lake) -> None:
    assert "aws_endpoint_url" not in polars_storage_options(ticks.table("ticks"))


def test_a_view_over_the_query_can_be_filtered_and_joined(ticks: Lake) -> None:
    ticks.replace_day("ticks", DAY, [rows(10)], properties={})
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW ticks AS {duckdb_sql(ticks.table('ticks'))}")
        assert connection.sql("SELECT count(*) FROM ticks WHERE id >= 5").fetchall() == [(5,)]


def test_polars_pushes_a_filter_on_the_day_and_on_columns(ticks: Lake) -> None:
    ticks.replace_day("ticks", DAY, [rows(10)], properties={})
    frame = polars_frame(ticks.table("ticks"))
    assert frame.filter(pl.col("_day") == DAY, pl.col("id") > 7).select(pl.len()).collect().item() == 2


def test_folders_that_look_like_partitions_are_no_columns_to_duckdb(lake: Lake) -> None:
    from des_platform.catalog.table_spec import PartitionRule

    lake.ensure_table("ticks", COLUMNS, [PartitionRule.parse("list(symbol)")])
    lake.replace_day("ticks", DAY, [rows(1, symbol="a=b/*?[c]")], properties={})
    (row,) = by_duckdb(lake.table("ticks"))
    assert row == {"_day": DAY, "id": 0, "price": 0.0, "symbol": "a=b/*?[c]", "_file": "DES-1", "_line": 1}


def test_rows_that_another_program_deleted_one_by_one_are_not_shown_by_duckdb(
    ticks: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg.table import DataScan, FileScanTask

    ticks.replace_day("ticks", DAY, [rows(1)], properties={})
    table = ticks.table("ticks")
    # pyiceberg writes no position deletes: the plan is what a table of Spark's would give.
    (task,) = table.scan().plan_files()
    monkeypatch.setattr(DataScan, "plan_files", lambda _: [FileScanTask(task.file, delete_files={task.file})])
    with pytest.raises(ValueError, match="'ticks'.*deleted rows"):
        duckdb_sql(table)


def test_what_was_handed_out_stays_the_snapshot_that_it_was(ticks: Lake) -> None:
    ticks.replace_day("ticks", DAY, [rows(2)], properties={})
    query = duckdb_sql(ticks.table("ticks"))
    ticks.replace_day("ticks", DAY, [rows(5)], properties={})
    apply_changes(ticks, "ticks", [Change.from_json({"type": "rename_column", "column": "id", "new": {"name": "n"}})])
    with duckdb.connect() as connection:
        assert connection.sql(query).count("id").fetchall() == [(2,)]
