from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from des_platform.lake.tables import Lake
from des_platform.lake.types import SchemaConflict
from des_platform.settings import ConfigurationError
from des_platform_tests.lake.conftest import COLUMNS, rows

if TYPE_CHECKING:
    from des_platform.settings import Settings

MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)


def test_a_table_has_the_day_the_declared_columns_and_the_lineage(lake: Lake) -> None:
    every_type = {"s": "string", "l": "long", "d": "double", "b": "boolean", "on": "date", "at": "timestamp"}
    lake.ensure_table("everything", every_type)
    assert lake.schema_of("everything") == [
        ("_day", "date"),
        *every_type.items(),
        ("_file", "string"),
        ("_line", "long"),
    ]
    assert lake.uri("everything").endswith("/des/lake/des/everything")
    assert lake.total_rows("everything") == 0


def test_a_table_has_columns_of_every_type_and_one_for_rescued_values(lake: Lake) -> None:
    columns = {
        "i": "int",
        "f": "float",
        "at": "time",
        "wall": "timestamp_ntz",
        "raw": "binary",
        "j": "json",
        "m": "decimal(12, 2)",
    }
    lake.ensure_table("more", columns, rescue=True)
    assert lake.schema_of("more") == [
        ("_day", "date"),
        *{**columns, "m": "decimal(12,2)"}.items(),
        ("_rescued", "json"),
        ("_file", "string"),
        ("_line", "long"),
    ]
    before = lake.table("more").metadata_location
    lake.ensure_table("more", columns, rescue=True)
    lake.ensure_table("more", columns)
    assert lake.table("more").metadata_location == before
    row = {
        "i": -(2**31),
        "f": 1.5,
        "at": time(23, 59, 59, 999999),
        "wall": datetime(1, 1, 1, 0, 0, 0, 1),  # noqa: DTZ001 - a wall clock
        "raw": b"\x00\xff",
        "j": '{"a": [1]}',
        "m": Decimal("-9999999999.99"),
        "_rescued": '{"i": "x"}',
    }
    types = {"i": pa.int32(), "f": pa.float32(), "at": pa.time64("us"), "wall": pa.timestamp("us")}
    types |= {"raw": pa.binary(), "j": pa.string(), "m": pa.decimal128(12, 2), "_rescued": pa.string()}
    batch = pa.RecordBatch.from_arrays([pa.array([row[name]], kind) for name, kind in types.items()], names=list(types))
    lake.replace_day("more", MONDAY, [batch], properties={})
    assert lake.scan_day("more", MONDAY, 5).select(list(row)).to_pylist() == [row]


def test_a_column_widens_and_never_narrows(lake: Lake) -> None:
    lake.ensure_table("t", {"i": "int", "f": "float", "m": "decimal(5,2)"})
    narrow = pa.RecordBatch.from_arrays(
        [pa.array([7], pa.int32()), pa.array([0.5], pa.float32()), pa.array([Decimal("1.25")], pa.decimal128(5, 2))],
        names=["i", "f", "m"],
    )
    lake.replace_day("t", MONDAY, [narrow], properties={})
    wide = {"i": "long", "f": "double", "m": "decimal(9,2)"}
    lake.ensure_table("t", wide)
    lake.replace_day("t", TUESDAY, [narrow], properties={})
    for day in (MONDAY, TUESDAY):
        assert lake.scan_day("t", day, 5).select(["i", "f", "m"]).to_pylist() == [
            {"i": 7, "f": 0.5, "m": Decimal("1.25")}
        ]
    for column, kind in (("i", "int"), ("f", "float"), ("m", "decimal(5,2)"), ("m", "decimal(9,3)"), ("i", "string")):
        with pytest.raises(SchemaConflict, match=f"column '{column}'"):
            lake.ensure_table("t", {**wide, column: kind})
    lake.replace_day("t", MONDAY, [], properties={})
    assert lake.total_rows("t") == 1


def test_json_may_become_text_and_text_not_json(lake: Lake) -> None:
    lake.ensure_table("t", {"a": "string", "b": "json"})
    with pytest.raises(SchemaConflict):
        lake.ensure_table("t", {"a": "json"})
    lake.ensure_table("t", {"b": "string"})
    assert dict(lake.schema_of("t"))["b"] == "string"


def test_ensuring_a_table_again_changes_nothing(ticks: Lake) -> None:
    before = ticks.table("ticks").metadata_location
    ticks.ensure_table("ticks", COLUMNS)
    assert ticks.table("ticks").metadata_location == before


def test_an_added_column_reads_null_for_the_days_before_it(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(2)], properties={})
    ticks.ensure_table("ticks", {**COLUMNS, "venue": "string"})
    ticks.replace_day("ticks", TUESDAY, [pa.RecordBatch.from_pydict({"id": [7], "venue": ["XNYS"]})], properties={})
    assert ticks.scan_day("ticks", MONDAY, 10)["venue"].to_pylist() == [None, None]
    assert ticks.scan_day("ticks", MONDAY, 10)["id"].to_pylist() == [0, 1]
    assert ticks.scan_day("ticks", TUESDAY, 10)["venue"].to_pylist() == ["XNYS"]


def test_the_name_mapping_follows_an_added_column(ticks: Lake) -> None:
    ticks.ensure_table("ticks", {**COLUMNS, "venue": "string"})
    table = ticks.table("ticks")
    assert table.name_mapping() == table.schema().name_mapping


def test_a_column_no_longer_declared_keeps_its_old_values_and_is_null_from_now_on(ticks: Lake) -> None:
    ticks.replace_day("ticks", MONDAY, [rows(1, "AAA")], properties={})
    ticks.ensure_table("ticks", {"id": "long"})
    ticks.replace_day("ticks", TUESDAY, [pa.RecordBatch.from_pydict({"id": [1]})], properties={})
    assert ticks.scan_day("ticks", MONDAY, 1)["symbol"].to_pylist() == ["AAA"]
    assert ticks.scan_day("ticks", TUESDAY, 1)["symbol"].to_pylist() == [None]


def test_a_changed_type_is_refused_and_nothing_else_of_the_declaration_is_applied(ticks: Lake) -> None:
    before = ticks.schema_of("ticks")
    with pytest.raises(SchemaConflict, match=r"'ticks', column 'price': found double, declared string; ") as caught:
        ticks.ensure_table("ticks", {**COLUMNS, "price": "string", "venue": "string"})
    assert (caught.value.column, caught.value.found, caught.value.declared) == ("price", "double", "string")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own
    assert ticks.schema_of("ticks") == before


def test_a_new_column_that_differs_from_an_old_one_in_case_alone_is_refused(ticks: Lake) -> None:
    with pytest.raises(SchemaConflict, match="'Price': found column 'price'"):
        ticks.ensure_table("ticks", {"Price": "double"})


def test_hostile_table_names_are_refused(lake: Lake) -> None:
    long = "t" * 64
    for name in ("", "Ticks", "1t", "_ticks", "ti-cks", "ti.cks", "../ticks", "ticks/x", "ticks\n", long, "tícks"):
        with pytest.raises(ConfigurationError, match="expected a letter"):
            lake.ensure_table(name, COLUMNS)
        with pytest.raises(ConfigurationError, match="expected a letter"):
            lake.day_rows(name, MONDAY)
    lake.ensure_table(long[1:], COLUMNS)


def test_declarations_that_no_table_could_have_are_refused(lake: Lake) -> None:
    wrong = [
        ({"price": "decimal"}, "unknown type 'decimal', expected one of string, int, long"),
        ({"price": "decimal(39,2)"}, "at most 38 digits"),
        ({"price": "decimal(3,4)"}, "unknown type"),
        ({"_day": "long"}, "reserved"),
        ({"_rescued": "json"}, "reserved"),
        ({"_range_price": "string"}, "reserved"),
        ({"_FILE": "string"}, "reserved"),
        ({"price": "double", "Price": "double"}, "in case alone"),
        ({"a.b": "long"}, "no dot"),
        ({"": "long"}, "1 to 128"),
        ({"a\x00": "long"}, "printable"),
        ({" a": "long"}, "no space around"),
    ]
    for columns, complaint in wrong:
        with pytest.raises(ConfigurationError, match=complaint):
            lake.ensure_table("ticks", columns)
    with pytest.raises(LookupError, match="no table 'ticks'; ensure_table"):
        lake.table("ticks")


def test_column_names_may_have_spaces_quotes_and_accents(lake: Lake) -> None:
    columns = {"unit price": "long", "température": "long", 'q"u/o=te': "long"}
    lake.ensure_table("odd", columns)
    lake.replace_day("odd", MONDAY, [pa.RecordBatch.from_pydict({name: [3] for name in columns})], properties={})
    assert lake.scan_day("odd", MONDAY, 5).select(list(columns)).to_pylist() == [dict.fromkeys(columns, 3)]


def test_writers_that_open_an_empty_database_and_create_one_table_at_once_all_succeed(settings: Settings) -> None:
    start = threading.Barrier(4)

    def open_and_create(number: int) -> list[tuple[str, str]]:
        start.wait(10)
        with closing(Lake(settings)) as lake:
            lake.ensure_table("ticks", {**COLUMNS, f"extra_{number}": "long"})
            return lake.schema_of("ticks")

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(open_and_create, range(4)))
    for number, columns in enumerate(seen):
        assert (f"extra_{number}", "long") in columns
    assert sorted(name for name, _ in max(seen, key=len)) == sorted(
        ["_day", *COLUMNS, *(f"extra_{number}" for number in range(4)), "_file", "_line"]
    )


def test_the_password_stays_out_of_what_readers_get(ticks: Lake, settings: Settings) -> None:
    table = ticks.table("ticks")
    held = f"{table.io.properties} {table.properties} {table.catalog.properties}"
    assert "postgresql" not in held
    assert settings.catalog_url not in held


def test_values_of_the_same_family_take_the_declared_type(lake: Lake) -> None:
    fitting: list[tuple[str, pa.Array[Any], list[object]]] = [
        ("long", pa.array([1, None], pa.int8()), [1, None]),
        ("double", pa.array([1, 2], pa.int32()), [1.0, 2.0]),
        ("string", pa.array(["a", None]).dictionary_encode(), ["a", None]),
        ("string", pa.nulls(1), [None]),
        ("date", pa.array([MONDAY], pa.date64()), [MONDAY]),
        ("timestamp", pa.array([1], pa.timestamp("s")), [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]),
        ("timestamp", pa.array([5000], pa.timestamp("ns", "Europe/Paris")), [datetime(1970, 1, 1, 0, 0, 0, 5, UTC)]),
    ]
    for number, (declared, values, read) in enumerate(fitting):
        lake.ensure_table(f"t{number}", {"c": declared})
        batch = pa.RecordBatch.from_arrays([values], names=["c"])
        lake.replace_day(f"t{number}", MONDAY, [batch], properties={})
        assert lake.scan_day(f"t{number}", MONDAY, 5)["c"].to_pylist() == read


def test_values_that_the_declared_type_does_not_hold_are_refused(lake: Lake) -> None:
    unfit: list[tuple[str, pa.Array[Any], str]] = [
        ("long", pa.array(["1"]), "string"),
        ("long", pa.array([1.5]), "double"),
        ("long", pa.array([2**63], pa.uint64()), "uint64 that do not fit"),
        ("double", pa.array([2**53 + 1]), "int64 that do not fit"),
        ("string", pa.array([1]), "int64"),
        ("boolean", pa.array([1]), "int64"),
        ("date", pa.array([1], pa.timestamp("us", "UTC")), "timestamp"),
        ("timestamp_ntz", pa.array([1], pa.timestamp("us", "UTC")), "timestamp"),
        ("float", pa.array([0.1]), "double"),
        ("int", pa.array([2**31]), "int64 that do not fit"),
        ("decimal(3,1)", pa.array([Decimal("1.25")]), r"decimal128\(3, 2\) that do not fit"),
        ("time", pa.array([1], pa.time64("ns")), r"time64\[ns\] that do not fit"),
        ("binary", pa.array(["a"]), "string"),
        ("timestamp", pa.array([1], pa.timestamp("ns")), r"timestamp\[ns\] that do not fit"),
    ]
    for number, (declared, values, found) in enumerate(unfit):
        lake.ensure_table(f"t{number}", {"c": declared})
        batch = pa.RecordBatch.from_arrays([values], names=["c"])
        with pytest.raises(SchemaConflict, match=f"table 't{number}', column 'c': found values of type {found}"):
            lake.replace_day(f"t{number}", MONDAY, [batch], properties={})
        assert lake.total_rows(f"t{number}") == 0


def test_a_column_that_would_get_lost_is_refused(ticks: Lake) -> None:
    lost = [
        (["id", "venue"], "'venue': found values of type int64, declared nothing"),
        (["id", "id"], "'id': found values of type int64, declared once already"),
        (["id", "_day"], "'_day': found values of type int64, declared once, for the lake to fill"),
    ]
    for names, complaint in lost:
        batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=names)
        with pytest.raises(SchemaConflict, match=complaint):
            ticks.replace_day("ticks", MONDAY, [batch], properties={})
    assert ticks.total_rows("ticks") == 0
