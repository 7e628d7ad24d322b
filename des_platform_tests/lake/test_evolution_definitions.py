"""Schema documents: what is read, what is refused, what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.lake.evolution import Field, parse_definition, to_definition
from des_platform.settings import ConfigurationError


def one(**field: object) -> Field:
    (found,) = parse_definition({"fields": [{"name": "a", **field}]})
    return found


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("string", "string"),
        ("integer", "int"),
        ("int", "int"),
        ("long", "long"),
        ("float", "float"),
        ("double", "double"),
        ("boolean", "boolean"),
        ("bytes", "binary"),
        ("record", "json"),
        ("array", "json"),
        ("map", "json"),
        ("union", "json"),
        ("timestamp_ntz", "timestamp_ntz"),
        ("decimal(9, 2)", "decimal(9,2)"),
        (["null", "long"], "long"),
        (["string", "long"], "json"),
        ({"type": "array", "items": "string"}, "json"),
        ({"type": "long", "logicalType": "timestamp-micros"}, "timestamp"),
        ({"type": "int", "logicalType": "date"}, "date"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "decimal(9,2)"),
    ],
)
def test_each_word_for_a_type_is_read_as_ours(word: object, kind: str) -> None:
    assert one(type=word) == Field("a", kind)


def test_a_field_is_optional_unless_it_says_otherwise() -> None:
    assert not one(type="long").required
    assert one(type="long", required=True).required
    assert one(type="long", nullable=False).required
    assert not one(type=["null", "long"]).required


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "fields",
        {},
        {"fields": {}},
        {"fields": []},
        {"fields": ["a"]},
        {"fields": [{"type": "long"}]},
    ],
)
def test_what_is_no_list_of_fields_is_refused(document: object) -> None:
    with pytest.raises(ConfigurationError, match="field"):
        parse_definition(document)


@pytest.mark.parametrize(
    "field",
    [
        {"type": "null"},
        {"type": ["null"]},
        {"type": "varchar"},
        {"type": "lo ng"},
        {"type": [["long"]]},
        {"type": 7},
        {"type": None},
        {"type": {"logicalType": "date-ish"}},
        {"type": "decimal(39,2)"},
        {"type": "decimal(3,5)"},
        {"type": "long", "required": "yes"},
        {"type": "long", "required": True, "nullable": True},
        {"type": ["null", "long"], "required": True},
        {"type": "long", "requierd": True},
        {"type": "long", "field_id": 0},
        {"type": "long", "field_id": True},
        {"type": "long", "field_id": "7"},
        {"type": "long", "description": 7},
        {"type": "long", "description": "a\0b"},
        {"type": "long", "renamed_from": ["b"]},
    ],
)
def test_a_field_that_lies_is_refused_by_its_name(field: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="'lying'"):
        parse_definition({"fields": [{"name": "fine", "type": "long"}, {"name": "lying", **field}]})


@pytest.mark.parametrize("name", ["", " a", "a.b", "a\nb", "x" * 129, "_day", "_file", "_line", "_rescued", "_range_a"])
def test_a_name_that_no_column_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="field"):
        parse_definition({"fields": [{"name": name, "type": "long"}]})


@pytest.mark.parametrize("second", ["price", "Price", "PRICE"])
def test_names_that_are_the_same_but_for_case_are_refused(second: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{second!r}"):
        parse_definition({"fields": [{"name": "price", "type": "long"}, {"name": second, "type": "long"}]})


def test_a_document_that_nests_without_end_is_refused() -> None:
    nested: Any = "long"
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ConfigurationError, match="'a'"):
        one(type=nested)


def test_one_field_id_for_two_fields_is_refused() -> None:
    fields = [{"name": name, "type": "long", "field_id": 3} for name in "ab"]
    with pytest.raises(ConfigurationError, match="'a'.*field_id 3"):
        parse_definition({"fields": fields})


def test_thousands_of_fields_are_refused() -> None:
    fields = [{"name": f"c{number}", "type": "long"} for number in range(3000)]
    with pytest.raises(ConfigurationError, match="1 to 1000 fields, found 3000"):
        parse_definition({"fields": fields})


_NAMES = st.text(st.characters(categories=["L", "Nd"], include_characters="'\"; -"), min_size=1, max_size=20).filter(
    lambda name: name == name.strip() and name.isprintable()
)
_FIELDS = st.builds(
    Field,
    name=_NAMES,
    type=st.sampled_from(["string", "int", "decimal(9,2)", "json", "timestamp"]),
    required=st.booleans(),
    description=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)


@settings(max_examples=50)
@given(st.lists(_FIELDS, min_size=1, max_size=8, unique_by=lambda field: field.name.lower()))
def test_every_definition_reads_back_through_json(fields: list[Field]) -> None:
    assert parse_definition(json.loads(json.dumps(to_definition(fields)))) == tuple(fields)
