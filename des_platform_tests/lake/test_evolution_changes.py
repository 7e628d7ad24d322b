"""What differs between two schemas, as JSON and back, and which of it a compatibility mode permits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.lake.evolution import Change, ChangeType, Field, diff, inverse, inverses, violations
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from des_platform.catalog.table_spec import Compatibility

ID, PRICE = Field("id", "long", field_id=2), Field("price", "float", field_id=3)


def types_of(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.type.value, change.column) for change in changes]


def test_schemas_that_are_the_same_differ_in_nothing() -> None:
    assert diff([ID, PRICE], [Field("price", "float"), Field("id", "long")]) == []
    assert diff([Field("d", "decimal(9,2)")], [Field("d", "decimal(9, 2)")]) == []


def test_each_difference_is_a_change() -> None:
    old = [ID, PRICE, Field("note", "string", field_id=4), Field("day", "date", required=True, field_id=5)]
    new = [Field("id", "long", required=True), Field("price", "double"), Field("day", "date"), Field("size", "int")]
    assert types_of(diff(old, new)) == [
        ("add_constraint", "id"),
        ("change_type", "price"),
        ("drop_constraint", "day"),
        ("add_column", "size"),
        ("drop_column", "note"),
    ]


def test_without_ids_or_a_declaration_a_new_name_is_an_addition_and_a_drop() -> None:
    assert types_of(diff([PRICE], [Field("cost", "float")])) == [("add_column", "cost"), ("drop_column", "price")]


@pytest.mark.parametrize(
    ("new", "renames"),
    [
        (Field("cost", "float", field_id=3), {}),
        (Field("cost", "float", renamed_from="price"), {}),
        (Field("cost", "float"), {"cost": "price"}),
    ],
)
def test_a_rename_is_known_by_its_field_id_or_its_declaration(new: Field, renames: dict[str, str]) -> None:
    assert types_of(diff([ID, PRICE], [ID, new], renames)) == [("rename_column", "price")]


def test_by_field_id_two_columns_may_swap_their_names() -> None:
    swapped = [Field("price", "long", field_id=2), Field("id", "float", field_id=3)]
    assert types_of(diff([ID, PRICE], swapped)) == [("rename_column", "id"), ("rename_column", "price")]


def test_a_renamed_column_may_change_otherwise_too() -> None:
    changes = diff([PRICE], [Field("cost", "double", required=True)], {"cost": "price"})
    assert types_of(changes) == [("rename_column", "price"), ("change_type", "price"), ("add_constraint", "price")]


def test_a_rename_that_has_happened_says_nothing() -> None:
    assert diff([Field("cost", "float", field_id=3)], [Field("cost", "float")], {"cost": "price"}) == []
    assert types_of(diff([], [Field("cost", "float")], {"cost": "price"})) == [("add_column", "cost")]


def test_a_column_cannot_be_renamed_and_stay() -> None:
    with pytest.raises(ConfigurationError, match="'cost' is declared as renamed from 'price'"):
        diff([PRICE], [PRICE, Field("cost", "float")], {"cost": "price"})


def test_what_compare_gives_apply_takes_as_json() -> None:
    old = [ID, PRICE, Field("gone", "string", field_id=4)]
    new = [Field("id", "long", required=True), Field("cost", "double"), Field("new", "json")]
    changes = diff(old, new, {"cost": "price"})
    assert [Change.from_json(json.loads(json.dumps(change.to_json()))) for change in changes] == changes


def test_a_change_written_by_hand_needs_only_what_is_new() -> None:
    assert Change.from_json({"type": "add_column", "column": "a", "new": {"type": "integer"}}).new == {
        "name": "a",
        "type": "int",
        "required": False,
    }
    assert Change.from_json({"type": "rename_column", "column": "a", "new": {"name": "b"}}).old == {"name": "a"}
    assert Change.from_json({"type": "add_constraint", "column": "a"}).new == {"required": True}
    assert Change.from_json({"type": "drop_column", "column": "a"}).new is None


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"type": "add_column"},
        {"type": "ADD_COLUMN", "column": "a", "new": {"type": "int"}},
        {"type": "explode", "column": "a"},
        {"type": ["add_column"], "column": "a"},
        {"type": "add_column", "column": "a"},
        {"type": "add_column", "column": "a", "new": {"type": "varchar"}},
        {"type": "add_column", "column": "_day", "new": {"type": "int"}},
        {"type": "add_column", "column": "a", "new": "int"},
        {"type": "add_column", "column": "a", "new": {"name": "b", "type": "int"}},
        {"type": "rename_column", "column": "a"},
        {"type": "rename_column", "column": "a", "new": {"name": "_file"}},
        {"type": "rename_column", "column": "a", "new": {"name": ["b"]}},
        {"type": "change_type", "column": "a", "new": {}},
        {"type": "change_type", "column": "a", "new": {"type": "null"}},
        {"type": "add_constraint", "column": "a", "new": {"required": False}},
        {"type": "drop_column", "column": "a", "old": {"field_id": "x"}},
        {"type": "drop_column", "column": "a", "old": {"name": "a\0"}},
        {"type": "drop_column", "column": "a", "old": {"more": [[[]]]}},
        {"type": "drop_column", "column": "a", "old": {"required": "yes"}},
    ],
)
def test_what_is_no_change_is_refused(document: object) -> None:
    with pytest.raises(ConfigurationError):
        Change.from_json(document)


def test_the_inverse_of_the_inverse_is_the_change() -> None:
    old = [ID, PRICE, Field("gone", "string", field_id=4)]
    for change in diff(old, [Field("id", "long", required=True), Field("cost", "double")], {"cost": "price"}):
        back = inverse(inverse(change))
        assert (back.type, back.column, back.old, back.new) == (change.type, change.column, change.old, change.new)


def test_the_inverse_of_a_list_names_columns_as_the_list_left_them() -> None:
    changes = diff([PRICE], [Field("cost", "double")], {"cost": "price"})
    assert types_of(inverses(changes)) == [("change_type", "cost"), ("rename_column", "cost")]


def change(kind: ChangeType, old: dict[str, Any] | None, new: dict[str, Any] | None) -> Change:
    return Change(kind, "a", old, new)


_FIELD = {"name": "a", "type": "int", "required": False}
_REQUIRED = {**_FIELD, "required": True}
_CASES = {
    "add optional": (change(ChangeType.ADD_COLUMN, None, _FIELD), "backward forward full none"),
    "add required": (change(ChangeType.ADD_COLUMN, None, _REQUIRED), "forward none"),
    "drop optional": (change(ChangeType.DROP_COLUMN, _FIELD, None), "backward forward full none"),
    "drop required": (change(ChangeType.DROP_COLUMN, _REQUIRED, None), "backward none"),
    "rename": (change(ChangeType.RENAME_COLUMN, {"name": "a"}, {"name": "b"}), "backward none"),
    "require": (change(ChangeType.ADD_CONSTRAINT, {"required": False}, {"required": True}), "forward none"),
    "let be null": (change(ChangeType.DROP_CONSTRAINT, {"required": True}, {"required": False}), "backward none"),
    "int to long": (change(ChangeType.CHANGE_TYPE, {"type": "int"}, {"type": "long"}), "backward none"),
    "float to double": (change(ChangeType.CHANGE_TYPE, {"type": "float"}, {"type": "double"}), "backward none"),
    "digits": (change(ChangeType.CHANGE_TYPE, {"type": "decimal(9,2)"}, {"type": "decimal(12,2)"}), "backward none"),
    "json to string": (change(ChangeType.CHANGE_TYPE, {"type": "json"}, {"type": "string"}), "backward none"),
    "long to int": (change(ChangeType.CHANGE_TYPE, {"type": "long"}, {"type": "int"}), ""),
    "string to long": (change(ChangeType.CHANGE_TYPE, {"type": "string"}, {"type": "long"}), ""),
    "scale": (change(ChangeType.CHANGE_TYPE, {"type": "decimal(9,2)"}, {"type": "decimal(12,3)"}), ""),
    "fewer digits": (change(ChangeType.CHANGE_TYPE, {"type": "decimal(9,2)"}, {"type": "decimal(8,2)"}), ""),
}


@pytest.mark.parametrize("mode", ["backward", "forward", "full", "none"])
@pytest.mark.parametrize("case", _CASES)
def test_a_mode_permits_exactly_what_it_says(case: str, mode: Compatibility) -> None:
    asked, modes = _CASES[case]
    assert (violations([asked], mode, allow_loss=True) == []) is (mode in modes.split())


@pytest.mark.parametrize("mode", ["backward", "forward", "full", "none"])
def test_a_drop_needs_an_explicit_word_in_every_mode(mode: Compatibility) -> None:
    (reason,) = violations([_CASES["drop optional"][0]], mode)
    assert "allow_loss" in reason


def test_a_refused_type_says_what_to_do_instead() -> None:
    (reason,) = violations([_CASES["string to long"][0]], "none")
    assert "add a column of type long" in reason
