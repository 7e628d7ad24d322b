from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake import files
from des_platform.lake.partitioning import parse_partition_path, partition_path
from des_platform.lake.types import TableChanged
from des_platform.settings import ConfigurationError
from des_platform_tests.lake.conftest import COLUMNS, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.lake.tables import Lake

MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)
TYPES = {
    "i": "int",
    "l": "long",
    "d": "double",
    "b": "boolean",
    "s": "string",
    "on": "date",
    "o": "time",
    "at": "timestamp",
    "wall": "timestamp_ntz",
    "raw": "binary",
    "m": "decimal(9,2)",
    "j": "json",
    "f": "float",
}
ARROW: dict[str, pa.DataType] = {
    "i": pa.int32(),
    "l": pa.int64(),
    "d": pa.float64(),
    "b": pa.bool_(),
    "s": pa.string(),
    "on": pa.date32(),
    "o": pa.time64("us"),
    "at": pa.timestamp("us", "UTC"),
    "wall": pa.timestamp("us"),
    "raw": pa.binary(),
    "m": pa.decimal128(9, 2),
    "j": pa.string(),
    "f": pa.float32(),
}
NOON = datetime(2024, 3, 5, 12, 30, tzinfo=UTC)
CASES: list[tuple[str, list[Any], dict[str | None, int]]] = [
    ("year(on)", [date(2023, 12, 31), date(2024, 1, 1), None], {"2023": 1, "2024": 1, None: 1}),
    ("month(on)", [date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2)], {"2024-01": 1, "2024-02": 2}),
    ("month(on)", [date(1969, 12, 31), date(1970, 1, 1)], {"1969-12": 1, "1970-01": 1}),
    ("day(at)", [NOON, NOON.replace(hour=0), NOON.replace(day=6)], {"2024-03-05": 2, "2024-03-06": 1}),
    ("hour(at)", [NOON, NOON.replace(minute=59), None], {"2024-03-05-12": 2, None: 1}),
    ("hour(wall)", [NOON.replace(tzinfo=None), datetime(2024, 3, 5, 13)], {"2024-03-05-12": 1, "2024-03-05-13": 1}),  # noqa: DTZ001 - a wall clock
    ("hash(i, 4)", [34, 34, None], {"3": 2, None: 1}),
    ("hash(l, 4)", [34], {"3": 1}),
    ("hash(s, 1)", ["a", "", "ü"], {"0": 3}),
    ("hash(on, 2)", [date(2017, 11, 16)], {"0": 1}),
    ("hash(m, 1)", [Decimal("14.20")], {"0": 1}),
    ("hash(raw, 1)", [b"\x00\xff"], {"0": 1}),
    ("hash(at, 1)", [NOON], {"0": 1}),
    ("hash(o, 1)", [time(1, 2, 3)], {"0": 1}),
    ("list(s)", ["a/b=c/../x", "", None, "a/b=c/../x"], {"a/b=c/../x": 2, "": 1, None: 1}),
    ("list(b)", [True, False, None], {"true": 1, "false": 1, None: 1}),
    ("list(l)", [-(2**63), 7], {str(-(2**63)): 1, "7": 1}),
    ("list(on)", [date(2024, 2, 29)], {"2024-02-29": 1}),
    ("list(m)", [Decimal("1.50"), Decimal("1.5")], {"1.50": 2}),
    ("list(o)", [time(23, 59, 59, 999999)], {"23:59:59.999999": 1}),
    ("list(at)", [NOON], {"2024-03-05T12:30:00+00:00": 1}),
    ("range(l, 0, 100)", [-1, 0, 99, 100, None], {"<0": 1, "[0,100)": 2, ">=100": 1, None: 1}),
    ("range(d, 0.5)", [0.4999, 0.5, float("inf"), float("nan")], {"<0.5": 1, ">=0.5": 2, "NaN": 1}),
    ("range(m, 1.5, 2)", [Decimal("1.49"), Decimal("1.50"), Decimal(2)], {"<1.5": 1, "[1.5,2)": 1, ">=2": 1}),
    ("range(s, b, ß)", ["", "a", "b", "z", "ß", "水"], {"<b": 2, "[b,ß)": 2, ">=ß": 2}),
    ("range(on, 2024-02-01)", [date(2024, 1, 31), date(2024, 2, 1)], {"<2024-02-01": 1, ">=2024-02-01": 1}),
    ("range(at, 2024-03-05, 2024-03-05T13:00:00+01:00)", [NOON], {">=2024-03-05T13:00:00+01:00": 1}),
    ("range(o, 12:00:00)", [time(11, 59), time(12)], {"<12:00:00": 1, ">=12:00:00": 1}),
]


def rules(*texts: str) -> list[PartitionRule]:
    return [PartitionRule.parse(text) for text in texts]


def one_column(name: str, values: list[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, ARROW[name])], names=[name])


def counted(lake: Lake, name: str) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for partition in lake.partitions(name):
        value = list(partition.values.values())[1]
        found[value] = found.get(value, 0) + partition.rows
    return found


def test_every_strategy_puts_rows_where_they_belong_and_loses_none(lake: Lake) -> None:
    for number, (rule, values, expected) in enumerate(CASES):
        name, column = f"t{number}", PartitionRule.parse(rule).column
        lake.ensure_table(name, TYPES, rules(rule))
        assert lake.partitioning(name) == tuple(rules(rule))
        for _ in range(2):
            lake.replace_day(name, MONDAY, [one_column(column, values)], properties={})
        assert counted(lake, name) == expected, rule
        assert len(lake.table(name).inspect.files()) == len(expected)
        read = lake.scan_day(name, MONDAY, 100)[column].to_pylist()
        assert sorted(map(repr, read)) == sorted(map(repr, one_column(column, values)[column].to_pylist()))


def test_readers_prune_by_the_partitions_that_the_writer_made(lake: Lake) -> None:
    lake.ensure_table("t", TYPES, rules("hash(s, 8)", "month(on)"))
    days = [date(2024, month, 1) for month in range(1, 5)]
    batch = pa.RecordBatch.from_arrays(
        [pa.array([f"s{number}" for number in range(40)]), pa.array(days * 10)], names=["s", "on"]
    )
    lake.replace_day("t", MONDAY, [batch], properties={})
    table = lake.table("t")
    everywhere = len(list(table.scan().plan_files()))
    planned = list(table.scan(row_filter="s == 's7' and on == '2024-04-01'").plan_files())
    assert len(planned) == 1 < everywhere
    assert table.scan(row_filter="s == 's7'").to_arrow()["on"].to_pylist() == [days[3]]


@pytest.mark.filterwarnings("ignore:Iceberg scan planning")
def test_a_changed_partitioning_keeps_old_days_readable_and_replaceable(ticks: Lake) -> None:
    strategies = [rules("list(symbol)"), rules("hash(id, 2)", "range(price, 1, 2)"), [], rules("range(price, 5)")]
    days = [date(2024, 1, 1 + number) for number in range(5)]
    ticks.replace_day("ticks", days[0], [rows(9)], properties={})
    for day, strategy in zip(days[1:], strategies, strict=True):
        ticks.repartition("ticks", strategy)
        assert ticks.partitioning("ticks") == tuple(strategy)
        ticks.replace_day("ticks", day, [rows(9)], properties={})
    table = ticks.table("ticks")
    assert set(table.inspect.files()["spec_id"].to_pylist()) == {0, 1, 2, 3}  # no rules at all is the first one again
    for day in days:
        assert ticks.scan_day("ticks", day, 99).sort_by("id")["price"].to_pylist() == [n / 4 for n in range(9)]
    frame = pl.scan_iceberg(table, reader_override="native").group_by("_day").len().collect()
    assert sorted(frame.rows()) == [(day, 9) for day in days]
    for day in reversed(days):
        ticks.replace_day("ticks", day, [rows(4)], properties={})
    assert {day: ticks.day_rows("ticks", day) for day in days} == dict.fromkeys(days, 4)
    assert set(ticks.table("ticks").inspect.files()["spec_id"].to_pylist()) == {table.spec().spec_id}


def test_new_bounds_hold_for_new_days(ticks: Lake) -> None:
    for day, rule in ((MONDAY, "range(price, 1)"), (TUESDAY, "range(price, 0.5, 1)")):
        ticks.repartition("ticks", rules(rule))
        ticks.replace_day("ticks", day, [rows(5)], properties={})
    found = [(partition.path, partition.rows) for partition in ticks.partitions("ticks")]
    assert found == [
        ("_day=2024-01-01/_range_price=%3C1", 4),
        ("_day=2024-01-01/_range_price=%3E%3D1", 1),
        ("_day=2024-01-02/_range_price=%3C0.5", 2),
        ("_day=2024-01-02/_range_price=%3E%3D1", 1),
        ("_day=2024-01-02/_range_price=%5B0.5%2C1%29", 2),
    ]


def test_the_day_stays_the_first_partition_whatever_the_rules(ticks: Lake) -> None:
    for strategy in (rules("list(symbol)"), rules("hash(symbol, 3)"), []):
        ticks.repartition("ticks", strategy)
        assert ticks.table("ticks").spec().fields[0].name == "_day"


def test_repartitioning_to_the_same_rules_changes_nothing(ticks: Lake) -> None:
    ticks.repartition("ticks", rules("range(price, 1)", "list(symbol)"))
    before = ticks.table("ticks").metadata_location
    ticks.repartition("ticks", rules("range(price, 1)", "list(symbol)"))
    ticks.ensure_table("ticks", {"id": "long"})
    assert ticks.table("ticks").metadata_location == before


def test_partitions_follow_a_renamed_column_and_leave_its_old_name_free(ticks: Lake) -> None:
    ticks.repartition("ticks", rules("list(symbol)", "range(price, 1)"))
    with ticks.table("ticks").update_schema() as update:
        update.rename_column("symbol", "ticker")
        update.rename_column("price", "cost")
    assert ticks.partitioning("ticks") == tuple(rules("list(ticker)", "range(cost, 1)"))
    ticks.ensure_table(
        "ticks",
        {"symbol": "string", "price": "double"},
        rules("list(symbol)", "range(price, 9)", "list(ticker)", "range(cost, 1)"),
    )
    batch = pa.RecordBatch.from_pydict({"ticker": ["A"], "symbol": ["B"], "cost": [0.5], "price": [9.5]})
    ticks.replace_day("ticks", MONDAY, [batch], properties={})
    (found,) = ticks.partitions("ticks")
    assert set(found.values.values()) == {"2024-01-01", "A", "B", "<1", ">=9"}


def test_a_column_that_takes_the_name_of_a_dropped_one_takes_its_partitions_too(ticks: Lake) -> None:
    for number, strategy in enumerate((["range(price, 1)"], ["list(symbol)"], ["range(price, 2)", "list(symbol)"])):
        ticks.repartition("ticks", rules(*strategy))
        ticks.replace_day("ticks", date(2024, 1, 1 + number), [rows(9)], properties={})
        with ticks.table("ticks").update_schema() as update:
            for name in ("price", "symbol"):
                update.rename_column(name, f"{name}_{number}")
        ticks.ensure_table("ticks", COLUMNS)
        ticks.repartition("ticks", rules(*strategy))
        assert ticks.partitioning("ticks") == tuple(rules(*strategy))
        ticks.replace_day("ticks", date(2024, 2, 1 + number), [rows(9)], properties={})
    assert ticks.total_rows("ticks") == 54


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("list(nothing)", "there is no column 'nothing'; the columns are i, l, d"),
        ("list(_file)", "there is no column '_file'"),
        ("hour(on)", "hour does not suit a column of type date"),
        ("month(s)", "month does not suit a column of type string"),
        ("hash(d, 4)", "hash does not suit a column of type double"),
        ("list(d)", "list does not suit a column of type double"),
        ("list(j)", "list does not suit a column of type json"),
        ("range(b, true)", "range does not suit a column of type boolean"),
        ("range(l, 0, a)", "bound 'a' is no value of the column's type int64"),
        ("range(l, 0, 0)", "bound '0' is not above the one before it"),
        ("range(d, 1, nan)", "bound 'nan' has no place in an order"),
        ("range(on, 2024-02-01, 2024-01-01)", "bound '2024-01-01' is not above"),
    ],
)
def test_rules_that_do_not_suit_the_columns_are_refused(lake: Lake, rule: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        lake.ensure_table("t", TYPES, rules(rule))
    assert not lake.exists("t")
    lake.ensure_table("t", TYPES, rules("list(s)"))
    before = lake.table("t").metadata_location
    with pytest.raises(ConfigurationError, match=complaint):
        lake.repartition("t", rules(rule))
    assert lake.table("t").metadata_location == before


def test_two_times_of_one_column_are_refused(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match=r"'day\(at\)': a second rule of its kind"):
        lake.ensure_table("t", TYPES, rules("month(at)", "day(at)"))


def test_a_load_that_meets_another_partitioning_changes_nothing_and_leaves_no_file(ticks: Lake, tmp_path: Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield rows(5)
        ticks.repartition("ticks", rules("list(symbol)"))

    with pytest.raises(TableChanged, match="run the load again"):
        ticks.replace_day("ticks", MONDAY, batches(), properties={})
    assert ticks.total_rows("ticks") == 0
    assert not list(tmp_path.rglob("*.parquet"))


def test_statistics_tell_rows_bytes_and_files_of_each_partition(ticks: Lake) -> None:
    ticks.repartition("ticks", rules("list(symbol)"))
    ticks.replace_day("ticks", MONDAY, [rows(2, "A"), rows(3, "B")], properties={})
    ticks.append("ticks", [rows(4, "A").append_column("_day", pa.array([MONDAY] * 4))], properties={})
    found = ticks.partitions("ticks")
    assert [(p.path, p.rows, p.files) for p in found] == [
        ("_day=2024-01-01/symbol=A", 6, 2),
        ("_day=2024-01-01/symbol=B", 3, 1),
    ]
    assert found[0].values == {"_day": "2024-01-01", "symbol": "A"}
    assert {(p.first_day, p.last_day) for p in found} == {(MONDAY, MONDAY)}
    sizes = ticks.table("ticks").inspect.files()["file_size_in_bytes"].to_pylist()
    assert sum(p.bytes for p in found) == sum(sizes)


def test_many_partitions_in_little_memory_keep_every_row_once(ticks: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ROW_GROUP_BYTES", 20_000)
    monkeypatch.setitem(files._FILES_OPEN, "file", 3)
    ticks.repartition("ticks", rules("hash(id, 16)"))
    done = ticks.replace_day("ticks", MONDAY, (rows(200) for _ in range(10)), properties={})
    assert done.rows == ticks.day_rows("ticks", MONDAY) == 2000
    ids = ticks.scan_day("ticks", MONDAY, 9999)["id"].to_pylist()
    assert sorted(ids) == sorted(list(range(200)) * 10)
    assert len(ticks.partitions("ticks")) == 16


def test_more_files_than_a_commit_may_have_are_refused(
    ticks: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "_PARTITIONS_MOST", 5)
    ticks.repartition("ticks", rules("list(id)"))
    with pytest.raises(ConfigurationError, match="more than 5 files; partition by a hash of the column"):
        ticks.replace_day("ticks", MONDAY, [rows(6)], properties={})
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.filterwarnings("ignore:Iceberg scan planning")
def test_hostile_partition_values_stay_inside_the_table(ticks: Lake, tmp_path: Path) -> None:
    ticks.repartition("ticks", rules("list(symbol)"))
    hostile = [
        "../../../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a=b",
        "\x00\n",
        "水",
        "%2F",
        "__HIVE_DEFAULT_PARTITION__",
        "x" * 5000,
    ]
    done = ticks.replace_day("ticks", MONDAY, [rows(1, symbol) for symbol in hostile], properties={})
    data = tmp_path / "des/lake/des/ticks/data/_day=2024-01-01"
    assert len(list(tmp_path.rglob("*.parquet"))) == len(list(data.glob("*/*.parquet"))) == done.files == len(hostile)
    read = pl.scan_iceberg(ticks.table("ticks"), reader_override="native").collect()
    assert set(read["symbol"]) == set(hostile)
    assert {parse_partition_path(partition.path)["symbol"] for partition in ticks.partitions("ticks")} == set(hostile)


@given(st.dictionaries(st.text(), st.none() | st.text(), max_size=4))
@example({"a/b": "c/../x", "": "", "..": ".", "k": None, "n": "__HIVE_DEFAULT_PARTITION__"})
def test_a_partition_path_is_read_back_as_it_was(values: dict[str, str | None]) -> None:
    path = partition_path(values)
    assert parse_partition_path(path) == values
    assert path.isascii()
    assert path.isprintable()
    assert len(path.split("/")) == max(len(values), 1)
    assert not {".", ".."} & set(path.split("/"))


@pytest.mark.parametrize("path", ["a", "a=1/", "/a=1", "a=1//b=2", "a=1/a=2", "a=1/../b=2"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no partition path"):
        parse_partition_path(path)
