from __future__ import annotations

import random
from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import boto3
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from des_platform.lake import commit, files
from des_platform.lake.tables import Lake
from des_platform.lake.types import SchemaConflict
from des_platform.parquet.plan import WritePlan
from des_platform_tests.lake.conftest import COLUMNS, rows, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.cli.demo.postgres import PostgresAddress

MONDAY, TUESDAY, FRIDAY = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 5)


def data_files(lake: Lake, name: str = "ticks") -> set[str]:
    return set(lake.table(name).inspect.files()["file_path"].to_pylist())


def parquet_in(folder: Path) -> set[str]:
    return {f"file://{path}" for path in folder.rglob("*.parquet")}


def test_the_rows_of_a_day_come_back_with_their_day_and_lineage(ticks: Lake) -> None:
    done = ticks.replace_day("ticks", MONDAY, [rows(2, "AAA"), rows(1, "BBB")], properties={"run": "r-1"})
    assert (done.rows, done.files) == (3, 1)
    assert ticks.scan_day("ticks", MONDAY, 10).to_pylist() == [
        {"_day": MONDAY, "id": 0, "price": 0.0, "symbol": "AAA", "_file": "DES-1", "_line": 1},
        {"_day": MONDAY, "id": 1, "price": 0.25, "symbol": "AAA", "_file": "DES-1", "_line": 2},
        {"_day": MONDAY, "id": 0, "price": 0.0, "symbol": "BBB", "_file": "DES-1", "_line": 1},
    ]
    snapshot = ticks.table("ticks").current_snapshot()
    assert snapshot is not None
    assert snapshot.snapshot_id == done.snapshot_id
    assert snapshot.summary is not None
    assert snapshot.summary["run"] == "r-1"


def test_replacing_again_leaves_the_same_rows(ticks: Lake) -> None:
    for _ in range(3):
        ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    assert ticks.day_rows("ticks", MONDAY) == ticks.total_rows("ticks") == 5
    assert ticks.scan_day("ticks", MONDAY, 100)["id"].to_pylist() == [0, 1, 2, 3, 4]


def test_other_days_stay_untouched_file_by_file(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    mondays = data_files(ticks)
    ticks.replace_day("ticks", TUESDAY, [rows(3)], properties={})
    ticks.replace_day("ticks", TUESDAY, [rows(2)], properties={})
    assert mondays < data_files(ticks)
    assert (ticks.day_rows("ticks", MONDAY), ticks.day_rows("ticks", TUESDAY)) == (5, 2)


def test_no_rows_empty_the_day_and_only_it(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    ticks.replace_day("ticks", TUESDAY, [rows(3)], properties={})
    done = ticks.replace_day("ticks", MONDAY, [rows(0)], properties={})
    assert (done.rows, done.files, done.bytes) == (0, 0, 0)
    assert (ticks.day_rows("ticks", MONDAY), ticks.total_rows("ticks")) == (0, 3)
    assert ticks.scan_day("ticks", MONDAY, 10).num_rows == 0


def test_emptying_an_empty_day_commits_nothing(ticks: Lake) -> None:
    before = ticks.table("ticks").metadata_location
    assert ticks.replace_day("ticks", MONDAY, [], properties={}).snapshot_id is None
    assert ticks.table("ticks").metadata_location == before


def test_data_files_lie_below_their_day_and_are_as_big_as_reported(ticks: Lake, tmp_path: Path) -> None:
    done = ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    (path,) = (tmp_path / "des/lake/des/ticks/data/_day=2024-01-01").iterdir()
    assert path.stat().st_size == done.bytes
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_a_preview_is_no_longer_than_its_limit(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(50)], properties={})
    assert ticks.scan_day("ticks", MONDAY, 7).num_rows == 7


def test_a_failure_midway_leaves_the_table_and_the_bucket_as_they_were(ticks: Lake, tmp_path: Path) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    before = (ticks.table("ticks").metadata_location, parquet_in(tmp_path))
    opened: list[set[str]] = []

    def broken() -> Iterator[pa.RecordBatch]:
        yield rows(150_000)
        yield rows(150_000)
        opened.append(parquet_in(tmp_path) - before[1])
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        ticks.replace_day("ticks", MONDAY, broken(), properties={})
    assert len(opened[0]) == 1
    assert (ticks.table("ticks").metadata_location, parquet_in(tmp_path)) == before
    assert ticks.day_rows("ticks", MONDAY) == 5


def test_a_large_batch_becomes_row_groups_of_bounded_size(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(300_000)], properties={})
    (path,) = data_files(ticks)
    metadata = pq.ParquetFile(urlparse(path).path).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [131072, 131072, 37856]
    assert ticks.day_rows("ticks", MONDAY) == 300_000


def test_many_tiny_batches_become_one_row_group_in_their_order(ticks: Lake) -> None:
    whole = rows(1500)
    ticks.replace_day("ticks", MONDAY, (whole.slice(start, 1) for start in range(1500)), properties={})
    (path,) = data_files(ticks)
    assert pq.ParquetFile(urlparse(path).path).metadata.num_row_groups == 1
    assert ticks.scan_day("ticks", MONDAY, 1500)["id"].to_pylist() == list(range(1500))


def test_wide_rows_are_written_before_they_fill_the_memory(ticks: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ROW_GROUP_BYTES", 5000)  # two batches weigh more
    ticks.replace_day("ticks", MONDAY, (rows(20, "x" * 100) for _ in range(4)), properties={})
    (path,) = data_files(ticks)
    assert pq.ParquetFile(urlparse(path).path).metadata.num_row_groups == 2


def test_a_long_day_becomes_several_files(ticks: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_FILE_BYTES", 1000)
    done = ticks.replace_day("ticks", MONDAY, [rows(300_000)], properties={})
    assert done.files == len(data_files(ticks)) == 3
    assert done.bytes == sum(ticks.table("ticks").inspect.files()["file_size_in_bytes"].to_pylist())
    assert ticks.day_rows("ticks", MONDAY) == 300_000
    ticks.replace_day("ticks", MONDAY, [rows(4)], properties={})
    assert ticks.total_rows("ticks") == 4


def test_history_and_manifests_stay_bounded(ticks: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_SNAPSHOTS_MOST", 6)
    monkeypatch.setattr(commit, "_SNAPSHOTS_KEPT", 3)
    for count in range(1, 11):
        ticks.replace_day("ticks", MONDAY, [rows(count)], properties={})
        assert len(ticks.table("ticks").metadata.snapshots) <= 6
    table = ticks.table("ticks")
    current = table.current_snapshot()
    assert current is not None
    assert len(current.manifests(table.io)) == 1
    assert ticks.total_rows("ticks") == 10


def test_foreign_files_that_cannot_be_dropped_whole_are_not_doubled(ticks: Lake) -> None:
    table = ticks.table("ticks")
    with table.transaction() as transaction:
        transaction.set_properties({"write.metadata.metrics.column._day": "none"})
    table.append(pa.table({"_day": pa.array([MONDAY]), "id": [1]}))
    with pytest.raises(RuntimeError, match=r"day 2024-01-01: another program wrote files without bounds"):
        ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    assert ticks.total_rows("ticks") == 1


@pytest.mark.filterwarnings("ignore:Iceberg scan planning")
def test_polars_reads_the_table_natively(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(5)], properties={})
    ticks.ensure_table("ticks", {**COLUMNS, "venue": "string"})
    ticks.replace_day("ticks", TUESDAY, [rows(2)], properties={})
    ticks.replace_day("ticks", TUESDAY, [rows(3)], properties={})
    frame = pl.scan_iceberg(ticks.table("ticks"), reader_override="native")
    per_day = frame.group_by("_day").agg(pl.len().alias("rows"), pl.col("venue").null_count()).sort("_day").collect()
    assert per_day.rows() == [(MONDAY, 5, 5), (TUESDAY, 3, 3)]


@pytest.mark.filterwarnings("ignore:Iceberg scan planning")
def test_the_same_on_s3(postgres_address: PostgresAddress, moto_endpoint: str) -> None:
    store = boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")
    store.create_bucket(Bucket="des")
    lake = Lake(settings_for(postgres_address, "s3://", s3_endpoint=moto_endpoint))
    lake.ensure_table("ticks", COLUMNS)
    for count in (5, 4):
        lake.replace_day("ticks", MONDAY, [rows(count)], properties={})
    lake.replace_day("ticks", TUESDAY, [rows(2)], properties={})
    assert lake.uri("ticks") == "s3://des/lake/des/ticks"
    assert (lake.day_rows("ticks", MONDAY), lake.total_rows("ticks")) == (4, 6)
    assert lake.scan_day("ticks", MONDAY, 10)["_line"].to_pylist() == [1, 2, 3, 4]
    assert pl.scan_iceberg(lake.table("ticks"), reader_override="native").select(pl.len()).collect().item() == 6

    def data_keys() -> list[str]:
        listed = store.list_objects_v2(Bucket="des", Prefix="lake/des/ticks/data/_day=2024-01-01/")["Contents"]
        return [found["Key"] for found in listed if found["Key"].endswith(".parquet")]

    keys = data_keys()

    def broken() -> Iterator[pa.RecordBatch]:
        yield rows(150_000)
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        lake.replace_day("ticks", MONDAY, broken(), properties={})
    assert len(keys) == 2
    assert data_keys() == keys
    assert not store.list_multipart_uploads(Bucket="des").get("Uploads")
    lake.close()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=5))
@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_replacements_leaves_each_day_as_its_last_one(
    lake: Lake, replacements: list[tuple[int, int]]
) -> None:
    name = f"t{len(lake._catalog.list_tables('des'))}"
    lake.ensure_table(name, COLUMNS)
    expected: dict[date, int] = {}
    for offset, count in replacements:
        day = MONDAY + timedelta(days=offset)
        lake.replace_day(name, day, [rows(count)], properties={})
        expected[day] = count
    assert {day: lake.day_rows(name, day) for day in expected} == expected
    assert lake.total_rows(name) == sum(expected.values())


def test_several_days_are_replaced_in_one_commit_and_each_tells_its_own(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(9)], properties={})
    before = len(ticks.table("ticks").metadata.metadata_log)
    done = ticks.replace_days(
        "ticks", {MONDAY: [rows(2), rows(1)], TUESDAY: [rows(5)], FRIDAY: []}, properties={"run": "r-7"}
    )
    assert {day: (one.rows, one.files) for day, one in done.items()} == {
        MONDAY: (3, 1),
        TUESDAY: (5, 1),
        FRIDAY: (0, 0),
    }
    table = ticks.table("ticks")
    assert len(table.metadata.metadata_log) == before + 1
    assert sum(one.bytes for one in done.values()) == sum(table.inspect.files()["file_size_in_bytes"].to_pylist())
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert {one.snapshot_id for one in done.values()} == {snapshot.snapshot_id}
    assert snapshot.summary is not None
    assert (snapshot.summary["run"], snapshot.summary["des.days"]) == ("r-7", "2024-01-01..2024-01-02,2024-01-05")


def test_more_days_than_a_set_of_values_may_have_are_replaced_at_once(ticks: Lake) -> None:
    days = [MONDAY + timedelta(days=number) for number in range(230)]
    for count in (1, 2):
        ticks.replace_days("ticks", ((day, [rows(count)]) for day in days), properties={})
    assert ticks.total_rows("ticks") == 460
    ticks.replace_day("ticks", MONDAY, [], properties={})
    assert ticks.total_rows("ticks") == 458


def test_of_several_days_none_is_replaced_if_one_fails(ticks: Lake, tmp_path: Path) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(9)], properties={})
    before = parquet_in(tmp_path)

    def days() -> Iterator[tuple[date, list[pa.RecordBatch]]]:
        yield MONDAY, [rows(2)]
        yield TUESDAY, [pa.RecordBatch.from_pydict({"id": ["text"]})]

    with pytest.raises(SchemaConflict):
        ticks.replace_days("ticks", days(), properties={})
    with pytest.raises(ValueError, match="day 2024-01-01 comes twice"):
        ticks.replace_days("ticks", [(MONDAY, [rows(1)]), (MONDAY, [rows(2)])], properties={})
    assert (parquet_in(tmp_path), ticks.total_rows("ticks")) == (before, 9)


def test_a_row_leads_to_its_run_even_when_the_snapshot_is_forgotten(
    ticks: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_SNAPSHOTS_MOST", 2)
    monkeypatch.setattr(commit, "_SNAPSHOTS_KEPT", 1)
    done = ticks.replace_days("ticks", {MONDAY: [rows(2)], TUESDAY: [rows(3)]}, properties={"run": "first"})
    for _ in range(4):
        ticks.replace_day("ticks", TUESDAY, [rows(1)], properties={"run": "second"})
    snapshot_id = done[MONDAY].snapshot_id
    assert snapshot_id is not None
    assert ticks.table("ticks").snapshot_by_id(snapshot_id) is None
    (monday,), (tuesday,) = ticks.origins("ticks", MONDAY), ticks.origins("ticks", TUESDAY)
    assert (monday.properties, monday.rows, monday.snapshot_id) == ({"run": "first"}, 2, snapshot_id)
    assert (tuesday.properties, tuesday.rows) == ({"run": "second"}, 1)
    assert ticks.origins("ticks", FRIDAY) == []


def lines(day: date, source: str, count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"_day": [day] * count, "id": list(range(count)), "_file": [source] * count, "_line": list(range(count))}
    )


def sources(lake: Lake) -> dict[str, int]:
    found = lake.table("ticks").scan().to_arrow()["_file"].to_pylist()
    return {name: found.count(name) for name in sorted(set(found))}


def test_appended_rows_go_to_their_days_beside_what_is_there(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(2)], properties={})
    done = ticks.append("ticks", [lines(MONDAY, "a", 3), lines(TUESDAY, "a", 1)], properties={"job": "1"})
    assert (done.rows, done.files) == (4, 2)
    assert (ticks.day_rows("ticks", MONDAY), ticks.day_rows("ticks", TUESDAY)) == (5, 1)
    assert [(origin.properties, origin.rows) for origin in ticks.origins("ticks", MONDAY)] == [
        ({"job": "1"}, 3),
        ({}, 2),
    ]


def test_rows_of_a_file_that_is_read_again_are_replaced_wherever_they_lie(ticks: Lake, tmp_path: Path) -> None:
    ticks.append(
        "ticks", [lines(MONDAY, "a", 3), lines(MONDAY, "b", 2), lines(TUESDAY, "a", 1)], properties={"job": "1"}
    )
    ticks.append("ticks", [lines(MONDAY, "c", 5)], properties={"job": "2"})
    for _ in range(2):
        done = ticks.append(
            "ticks", [lines(MONDAY, "a", 4)], replacing_files=["a", "never seen"], properties={"job": "3"}
        )
        assert done.rows == 4
        assert sources(ticks) == {"a": 4, "b": 2, "c": 5}
    assert {origin.properties["job"]: origin.rows for origin in ticks.origins("ticks", MONDAY)} == {
        "1": 2,
        "2": 5,
        "3": 4,
    }
    ticks.append("ticks", [], replacing_files=["a", "b"], properties={})
    assert sources(ticks) == {"c": 5}
    live = data_files(ticks)
    assert len(live) == 1
    assert live < parquet_in(tmp_path)


def test_rows_of_names_that_begin_alike_are_told_apart(ticks: Lake) -> None:
    names = [f"s3://landing/a-long-prefix-of-all/{number}.csv" for number in range(3)]
    ticks.append("ticks", [lines(MONDAY, name, 1) for name in names], properties={})
    ticks.append("ticks", [lines(MONDAY, names[1], 2)], replacing_files=[names[1]], properties={})
    assert sources(ticks) == {names[0]: 1, names[1]: 2, names[2]: 1}


def test_appended_rows_without_a_day_are_refused(ticks: Lake) -> None:
    for days in ([None, MONDAY], None):
        batch = pa.RecordBatch.from_pydict({"id": [1, 2]} | ({"_day": days} if days else {}))
        with pytest.raises(SchemaConflict, match="rows without a day"):
            ticks.append("ticks", [batch], properties={})
    assert ticks.total_rows("ticks") == 0


def test_the_write_plan_is_chosen_once_and_anew_when_columns_or_values_change(ticks: Lake) -> None:
    def plan() -> str:
        return ticks.table("ticks").properties.get("des.write-plan", "")

    ticks.replace_day("ticks", MONDAY, [rows(10)], properties={})
    assert plan() == ""
    ticks.replace_day("ticks", MONDAY, [rows(50_000)], properties={})
    first = plan()
    assert "symbol" in first
    ticks.replace_day("ticks", TUESDAY, [rows(50_000)], properties={})
    assert plan() == first
    ticks.ensure_table("ticks", {"venue": "string"})
    ticks.replace_day("ticks", TUESDAY, [rows(50_000)], properties={})
    assert "venue" in plan()
    source = random.Random(1)  # noqa: S311 - the same noise each time
    noise = pa.array([source.random() for _ in range(50_000)])
    ticks.replace_day("ticks", TUESDAY, [rows(50_000).set_column(1, "price", noise)], properties={})
    ticks.replace_day("ticks", TUESDAY, [rows(50_000).set_column(1, "price", noise)], properties={})
    assert WritePlan.from_json(plan()).columns["price"].bytes_per_row == pytest.approx(8, abs=2)
    with ticks.table("ticks").transaction() as transaction:
        transaction.set_properties({"des.write-plan": "{not a plan"})
    ticks.replace_day("ticks", TUESDAY, [rows(50_000)], properties={})
    assert WritePlan.from_json(plan()).columns


def test_doubles_are_rounded_only_where_a_tolerance_is_declared(ticks: Lake) -> None:
    exact = [1 / 3, 2 / 3, 1e300 / 3]
    batch = pa.RecordBatch.from_pydict({"id": [0, 1, 2], "price": exact})
    ticks.replace_day("ticks", MONDAY, [batch], properties={})
    assert ticks.scan_day("ticks", MONDAY, 9)["price"].to_pylist() == exact
    ticks.replace_day("ticks", MONDAY, [batch], properties={}, tolerance={"price": 1e-4})
    rounded = ticks.scan_day("ticks", MONDAY, 9)["price"].to_pylist()
    assert rounded != exact
    assert rounded == [pytest.approx(value, rel=1e-4) for value in exact]
