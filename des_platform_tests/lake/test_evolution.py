"""Schemas of real tables, changed and taken back: what every row reads like afterwards, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow

from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake.evolution import (
    Change,
    ChangeType,
    Field,
    apply_changes,
    diff,
    fields_of,
    reorder,
    roll_back,
)
from des_platform.lake.tables import Lake
from des_platform.lake.types import SchemaConflict, TableChanged
from des_platform.settings import ConfigurationError
from des_platform_tests.lake.conftest import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.cli.demo.postgres import PostgresAddress

FIRST, SECOND, THIRD = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)
COLUMNS = {"id": "int", "price": "float", "symbol": "string"}


@pytest.fixture(scope="module")
def one_lake(_postgres: PostgresAddress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One lake for all tests here: a database for each would take longer than the tests."""
    address = replace(_postgres, database="evolution")
    with psycopg.connect(_postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE evolution TEMPLATE template0")
        with closing(Lake(settings_for(address, f"file://{tmp_path_factory.mktemp('evolution')}"))) as opened:
            yield opened
        connection.execute("DROP DATABASE evolution WITH (FORCE)")


@pytest.fixture
def lake(one_lake: Lake) -> Iterator[Lake]:
    """A lake whose table `trades` is gone after the test."""
    yield one_lake
    one_lake.table("trades").catalog.drop_table("des.trades")


@pytest.fixture
def trades(lake: Lake) -> Lake:
    """A lake with a table `trades` that has one row of the first day."""
    lake.ensure_table("trades", COLUMNS)
    put(lake, FIRST, id=1, price=0.5, symbol="A")
    return lake


def put(lake: Lake, day: date, **values: Any) -> None:
    """Replace a day by one row."""
    schema = schema_to_pyarrow(lake.table("trades").schema())
    columns = {name: pa.array([value], schema.field(name).type) for name, value in values.items()}
    batch = pa.record_batch(columns | {"_file": pa.array(["f"]), "_line": pa.array([1], pa.int64())})
    lake.replace_day("trades", day, [batch], properties={})


def rows(lake: Lake) -> list[dict[str, Any]]:
    found = lake.table("trades").scan().to_arrow().sort_by("_day").to_pylist()
    return [{name: value for name, value in row.items() if not name.startswith("_")} for row in found]


def to(lake: Lake, *fields: Field, **renames: str) -> list[Change]:
    """The changes that lead from the table to these fields."""
    return diff(fields_of(lake.table("trades")), fields, renames)


ID, PRICE, SYMBOL = Field("id", "int"), Field("price", "float"), Field("symbol", "string")


def test_all_changes_of_a_list_are_in_the_table_at_once(trades: Lake) -> None:
    changes = to(
        trades, Field("id", "long", required=True), Field("cost", "double"), Field("size", "long"), cost="price"
    )
    apply_changes(trades, "trades", changes, compatibility="none", allow_loss=True)
    put(trades, SECOND, id=2, cost=1.5, size=7)
    assert rows(trades) == [
        {"id": 1, "cost": 0.5, "size": None},
        {"id": 2, "cost": 1.5, "size": 7},
    ]
    assert to(trades, Field("id", "long", required=True), Field("cost", "double"), Field("size", "long")) == []


def test_new_columns_stand_before_those_that_say_where_a_row_came_from(trades: Lake) -> None:
    apply_changes(trades, "trades", to(trades, ID, PRICE, SYMBOL, Field("size", "long")))
    assert trades.table("trades").schema().column_names == ["_day", "id", "price", "symbol", "size", "_file", "_line"]


def test_a_column_that_is_added_under_a_dropped_one_s_name_does_not_show_its_values(trades: Lake) -> None:
    apply_changes(trades, "trades", to(trades, ID, PRICE), allow_loss=True)
    apply_changes(trades, "trades", to(trades, ID, PRICE, SYMBOL))
    assert rows(trades) == [{"id": 1, "price": 0.5, "symbol": None}]


def test_two_columns_may_swap_their_names(trades: Lake) -> None:
    id_, price, symbol = fields_of(trades.table("trades"))
    swapped = [Field("price", "int", field_id=id_.field_id), Field("id", "float", field_id=price.field_id), symbol]
    apply_changes(trades, "trades", to(trades, *swapped))
    assert rows(trades) == [{"price": 1, "id": 0.5, "symbol": "A"}]


def test_one_change_that_is_refused_keeps_all_the_others_out(trades: Lake) -> None:
    before = trades.table("trades").metadata
    with pytest.raises(SchemaConflict, match="'id'.*not forward compatible"):
        apply_changes(
            trades,
            "trades",
            to(trades, Field("id", "long"), PRICE, SYMBOL, Field("size", "long")),
            compatibility="forward",
        )
    assert trades.table("trades").metadata == before


@pytest.mark.parametrize(
    ("fields", "mode", "reason"),
    [
        ((ID, PRICE), "none", "allow_loss"),
        ((Field("id", "string"), PRICE, SYMBOL), "none", "files with int cannot be read as string"),
        ((Field("id", "int", required=True), PRICE, SYMBOL), "backward", "not backward compatible"),
        ((ID, PRICE, SYMBOL, Field("size", "long", required=True)), "none", "rows without a value"),
        ((ID, PRICE, SYMBOL, Field("Price", "long")), "backward", "differ in case alone"),
    ],
)
def test_what_the_mode_or_the_rows_do_not_permit_changes_nothing(
    trades: Lake, fields: tuple[Field, ...], mode: Any, reason: str
) -> None:
    before = trades.table("trades").metadata
    with pytest.raises(SchemaConflict, match=reason):
        apply_changes(trades, "trades", to(trades, *fields), compatibility=mode)
    assert trades.table("trades").metadata == before


def test_a_column_becomes_required_only_where_every_row_has_a_value(trades: Lake) -> None:
    put(trades, SECOND, id=2, price=None, symbol="B")
    require = Change.from_json({"type": "add_constraint", "column": "price"})
    with pytest.raises(SchemaConflict, match="'price'.*rows without a value"):
        apply_changes(trades, "trades", [require], compatibility="none")
    put(trades, SECOND, id=2, price=1.5, symbol="B")
    apply_changes(trades, "trades", [require], compatibility="none")
    assert [field.name for field in fields_of(trades.table("trades")) if field.required] == ["price"]


def test_rows_from_before_a_column_was_there_keep_it_from_being_required(trades: Lake) -> None:
    apply_changes(trades, "trades", to(trades, ID, PRICE, SYMBOL, Field("size", "long")))
    put(trades, SECOND, id=2, price=1.5, symbol="B", size=3)
    require = Change.from_json({"type": "add_constraint", "column": "size"})
    with pytest.raises(SchemaConflict, match="'size'.*rows without a value"):
        apply_changes(trades, "trades", [require], compatibility="none")


def test_an_empty_table_may_get_a_required_column(lake: Lake) -> None:
    lake.ensure_table("trades", COLUMNS)
    apply_changes(
        lake, "trades", to(lake, ID, PRICE, SYMBOL, Field("size", "long", required=True)), compatibility="none"
    )
    put(lake, FIRST, id=1, price=0.5, symbol="A", size=3)
    assert rows(lake) == [{"id": 1, "price": 0.5, "symbol": "A", "size": 3}]


@pytest.mark.parametrize(
    "document",
    [
        {"type": "drop_column", "column": "_day"},
        {"type": "rename_column", "column": "_file", "new": {"name": "file"}},
        {"type": "drop_column", "column": "nothing"},
        {"type": "change_type", "column": "id", "old": {"type": "string"}, "new": {"type": "long"}},
        {"type": "drop_column", "column": "id", "old": {"field_id": 99}},
        {"type": "rename_column", "column": "id", "old": {"name": "price"}, "new": {"name": "number"}},
    ],
)
def test_a_change_of_what_the_table_does_not_have_is_refused(trades: Lake, document: dict[str, Any]) -> None:
    before = trades.table("trades").metadata
    with pytest.raises(SchemaConflict):
        apply_changes(trades, "trades", [Change.from_json(document)], compatibility="none", allow_loss=True)
    assert trades.table("trades").metadata == before


@pytest.mark.parametrize(
    "documents",
    [
        [{"type": "drop_column", "column": "id"}] * 2,
        [{"type": "drop_column", "column": "id"}, {"type": "rename_column", "column": "id", "new": {"name": "n"}}],
        [{"type": "add_constraint", "column": "id"}, {"type": "drop_column", "column": "id"}],
        [{"type": "rename_column", "column": "id", "new": {"name": name}} for name in ("n", "m")],
        [{"type": "change_type", "column": "id", "new": {"type": kind}} for kind in ("long", "int")],
    ],
)
def test_changes_that_contradict_each_other_are_refused(trades: Lake, documents: list[dict[str, Any]]) -> None:
    changes = [Change.from_json(document) for document in documents]
    with pytest.raises(SchemaConflict, match="'id'.*say once"):
        apply_changes(trades, "trades", changes, compatibility="none", allow_loss=True)


def test_a_field_id_that_an_addition_claims_is_not_believed(trades: Lake) -> None:
    id_ = fields_of(trades.table("trades"))[0]
    lie = {"type": "add_column", "column": "size", "new": {"type": "long", "field_id": id_.field_id}}
    change = Change.from_json(lie)
    apply_changes(trades, "trades", [change])
    roll_back(trades, "trades", [change])
    assert rows(trades) == [{"id": 1, "price": 0.5, "symbol": "A"}]


@pytest.mark.parametrize("name", ["_day", "_hidden", "a.b", ""])
def test_no_column_takes_a_name_that_is_the_platform_s_or_nobody_s(trades: Lake, name: str) -> None:
    rename = Change(ChangeType.RENAME_COLUMN, "id", {"name": "id"}, {"name": name})
    add = Change(ChangeType.ADD_COLUMN, name, None, {"name": name, "type": "long"})
    for change in (rename, add):
        with pytest.raises(ConfigurationError, match="field"):
            apply_changes(trades, "trades", [change])


def test_a_column_that_the_table_is_partitioned_by_cannot_be_dropped(trades: Lake) -> None:
    trades.repartition("trades", [PartitionRule.parse("list(symbol)")])
    put(trades, SECOND, id=2, price=1.5, symbol="B")
    drop = to(trades, ID, PRICE)
    with pytest.raises(SchemaConflict, match=r"'symbol'.*partitioning by list\(symbol\)"):
        apply_changes(trades, "trades", drop, allow_loss=True)
    trades.repartition("trades", [])
    with pytest.raises(SchemaConflict, match="'symbol'.*files partitioned by"):
        apply_changes(trades, "trades", drop, allow_loss=True)
    put(trades, SECOND, id=2, price=1.5)
    apply_changes(trades, "trades", drop, allow_loss=True)
    assert rows(trades) == [{"id": 1, "price": 0.5}, {"id": 2, "price": 1.5}]


def test_a_column_that_the_table_is_partitioned_by_may_be_renamed_and_widened(trades: Lake) -> None:
    trades.repartition("trades", [PartitionRule.parse("hash(id, 4)"), PartitionRule.parse("range(price, 0, 1)")])
    put(trades, SECOND, id=2, price=1.5, symbol="B")
    apply_changes(
        trades, "trades", to(trades, Field("key", "long"), Field("cost", "double"), SYMBOL, key="id", cost="price")
    )
    put(trades, THIRD, key=3, cost=-0.5, symbol="C")
    assert [(row["key"], row["cost"]) for row in rows(trades)] == [(1, 0.5), (2, 1.5), (3, -0.5)]
    assert {rule.column for rule in trades.partitioning("trades")} == {"key", "cost"}


def test_many_who_change_the_schema_at_once_all_succeed(trades: Lake) -> None:
    def add(number: int) -> int:
        return apply_changes(
            trades,
            "trades",
            [Change(ChangeType.ADD_COLUMN, f"c{number}", None, {"name": f"c{number}", "type": "long"})],
        )

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(add, range(8)))
    assert len(set(ids)) == 8
    fields = fields_of(trades.table("trades"))
    assert sorted(field.name for field in fields) == sorted([*COLUMNS, *(f"c{number}" for number in range(8))])
    assert len({field.field_id for field in fields}) == len(fields)


def test_columns_are_put_into_another_order_and_read_as_before(trades: Lake) -> None:
    reorder(trades, "trades", ["symbol", "id", "price"])
    assert trades.table("trades").schema().column_names == ["_day", "symbol", "id", "price", "_file", "_line"]
    assert rows(trades) == [{"symbol": "A", "id": 1, "price": 0.5}]
    for wrong in (["symbol", "id"], ["symbol", "id", "id"], ["symbol", "id", "price", "_day"]):
        with pytest.raises(SchemaConflict, match="name each of them once"):
            reorder(trades, "trades", wrong)


def test_files_without_field_ids_are_found_by_every_name_a_column_had(trades: Lake) -> None:
    apply_changes(trades, "trades", to(trades, ID, Field("cost", "float"), SYMBOL, Field("size", "long"), cost="price"))
    mapping = trades.table("trades").name_mapping()
    assert mapping is not None
    names = {frozenset(field.names) for field in mapping.root}
    assert {frozenset({"price", "cost"}), frozenset({"size"})} <= names


class TestRollBack:
    """Changes taken back."""

    def test_a_dropped_column_comes_back_with_its_values(self, trades: Lake) -> None:
        drop = to(trades, ID, PRICE)
        apply_changes(trades, "trades", drop, allow_loss=True)
        put(trades, SECOND, id=2, price=1.5)
        roll_back(trades, "trades", drop)
        assert [row["symbol"] for row in rows(trades)] == ["A", None]
        assert to(trades, ID, PRICE, SYMBOL) == []

    def test_a_dropped_column_comes_back_though_others_changed_since(self, trades: Lake) -> None:
        drop = to(trades, ID, PRICE)
        apply_changes(trades, "trades", drop, allow_loss=True)
        apply_changes(trades, "trades", to(trades, ID, Field("cost", "double"), Field("size", "long"), cost="price"))
        roll_back(trades, "trades", drop)
        assert rows(trades) == [{"id": 1, "cost": 0.5, "size": None, "symbol": "A"}]

    def test_a_dropped_column_does_not_come_back_over_another_of_its_name(self, trades: Lake) -> None:
        drop = to(trades, ID, PRICE)
        apply_changes(trades, "trades", drop, allow_loss=True)
        apply_changes(trades, "trades", to(trades, ID, PRICE, SYMBOL))
        with pytest.raises(SchemaConflict, match="'symbol'.*another of that name"):
            roll_back(trades, "trades", drop)

    def test_an_added_column_is_hidden_again(self, trades: Lake) -> None:
        add = to(trades, ID, PRICE, SYMBOL, Field("size", "long"))
        apply_changes(trades, "trades", add)
        put(trades, SECOND, id=2, price=1.5, symbol="B", size=3)
        roll_back(trades, "trades", add)
        assert [set(row) for row in rows(trades)] == [{"id", "price", "symbol"}] * 2

    def test_a_widened_type_is_narrow_again_only_while_no_file_has_the_wide_one(self, trades: Lake) -> None:
        widen = to(trades, Field("id", "long"), Field("price", "double"), SYMBOL)
        apply_changes(trades, "trades", widen)
        roll_back(trades, "trades", widen)
        assert to(trades, ID, PRICE, SYMBOL) == []
        apply_changes(trades, "trades", widen)
        put(trades, SECOND, id=2, price=1.5, symbol="B")
        with pytest.raises(SchemaConflict, match="long in file .*replace the days"):
            roll_back(trades, "trades", widen)
        assert [row["id"] for row in rows(trades)] == [1, 2]

    def test_a_renamed_and_widened_column_is_as_it_was(self, trades: Lake) -> None:
        changes = to(trades, ID, Field("cost", "double"), SYMBOL, cost="price")
        apply_changes(trades, "trades", changes)
        roll_back(trades, "trades", changes)
        assert rows(trades) == [{"id": 1, "price": 0.5, "symbol": "A"}]

    def test_a_change_of_a_column_that_was_renamed_since_is_undone_where_the_column_is_now(self, trades: Lake) -> None:
        widen = to(trades, Field("id", "long"), PRICE, SYMBOL)
        apply_changes(trades, "trades", widen)
        apply_changes(trades, "trades", to(trades, Field("key", "long"), PRICE, SYMBOL, key="id"))
        roll_back(trades, "trades", widen)
        assert to(trades, Field("key", "int"), PRICE, SYMBOL) == []

    def test_a_requirement_comes_back_only_over_rows_that_meet_it(self, trades: Lake) -> None:
        require = to(trades, Field("id", "int", required=True), PRICE, SYMBOL)
        apply_changes(trades, "trades", require, compatibility="none")
        lift = to(trades, ID, PRICE, SYMBOL)
        apply_changes(trades, "trades", lift)
        put(trades, SECOND, price=1.5, symbol="B")
        with pytest.raises(SchemaConflict, match="'id'.*rows without a value"):
            roll_back(trades, "trades", lift)
        put(trades, SECOND, id=2, price=1.5, symbol="B")
        roll_back(trades, "trades", lift)
        assert fields_of(trades.table("trades"))[0].required

    def test_the_schema_of_before_is_the_same_schema_again(self, trades: Lake) -> None:
        before = trades.table("trades").metadata.current_schema_id
        add = to(trades, ID, PRICE, SYMBOL, Field("size", "long"))
        assert apply_changes(trades, "trades", add) != before
        assert roll_back(trades, "trades", add) == before


def test_a_load_that_began_before_a_column_became_required_changes_nothing(trades: Lake) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"id": 9, "symbol": None, "_file": "f", "_line": 1}])
        apply_changes(trades, "trades", [required("symbol")], compatibility="none")

    with pytest.raises(TableChanged, match="run the load again"):
        trades.replace_day("trades", THIRD, batches(), properties={})
    assert trades.day_rows("trades", THIRD) == 0


def test_a_load_that_began_before_a_widening_was_taken_back_changes_nothing(trades: Lake) -> None:
    wider = [Change(ChangeType.CHANGE_TYPE, "id", {"type": "int"}, {"type": "long"})]
    apply_changes(trades, "trades", wider)

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"id": 1 << 40, "_file": "f", "_line": 1}])
        roll_back(trades, "trades", wider)

    with pytest.raises(TableChanged):
        trades.replace_day("trades", THIRD, batches(), properties={})
    assert trades.day_rows("trades", THIRD) == 0


def test_a_load_that_began_before_a_column_was_added_lands(trades: Lake) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"id": 9, "_file": "f", "_line": 1}])
        apply_changes(
            trades,
            "trades",
            diff(fields_of(trades.table("trades")), [*fields_of(trades.table("trades")), Field("venue", "string")]),
        )

    assert trades.replace_day("trades", THIRD, batches(), properties={}).rows == 1


def test_a_row_without_a_required_value_is_a_conflict_that_names_the_column(trades: Lake) -> None:
    apply_changes(trades, "trades", [required("symbol")], compatibility="none")
    batch = pa.RecordBatch.from_pylist([{"id": 9, "_file": "f", "_line": 1}])
    with pytest.raises(SchemaConflict, match="'symbol': found a row without a value"):
        trades.replace_day("trades", THIRD, [batch], properties={})


def required(column: str) -> Change:
    return Change(ChangeType.ADD_CONSTRAINT, column, {"required": False}, {"required": True})
