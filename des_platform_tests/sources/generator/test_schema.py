from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from des_platform.catalog.dataset import Dataset
from des_platform.settings import ConfigurationError
from des_platform.sources.generator.rows import names
from des_platform.sources.generator.schema import SHIPPED, load_schema, parse_schema
from des_platform_tests.sources.generator.support import DATASETS, schema_of

if TYPE_CHECKING:
    from pathlib import Path

SYMBOL = {"enum": ["A", "B"]}
PRICE = {"type": "number", "multipleOf": 0.01, "minimum": 1, "maximum": 9, "x-des-walk": {"start": 5, "step": 0.1}}


def complaint(properties: object, **keywords: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        schema_of(properties, **keywords)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_schema_is_json_schema_and_has_the_columns_of_its_data_set(name: str) -> None:
    schema = load_schema(name)
    whole = json.loads(schema.text, parse_float=Decimal)
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.text))
    declared = Dataset.model_validate(yaml.safe_load((DATASETS / name / "defs.yaml").read_text())["attributes"])
    assert schema.dataset == declared.name == name
    assert declared.table is not None
    assert names(schema) == list(declared.table.columns)
    types = {"string": {"string", "timestamp"}, "number": {"double"}, "integer": {"long"}}
    for column, kind in declared.table.columns.items():
        found = whole["properties"][column]["type"]
        assert kind in types[found if isinstance(found, str) else found[0]]


def test_schema_of_a_file_is_called_after_the_file_or_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "clicks.json"
    path.write_text(json.dumps({"type": "object", "properties": {"a": SYMBOL}}))
    assert load_schema(str(path)).dataset == "clicks"
    path.write_text(json.dumps({"type": "object", "properties": {"a": SYMBOL}, "x-des-dataset": "views"}))
    assert load_schema(str(path)).dataset == "views"


@pytest.mark.parametrize("name", ["missing.json", "", "a\0b"])
def test_schema_that_cannot_be_read_is_named_with_what_there_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read.*stock_market or weather"):
        load_schema(str(tmp_path / name))


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"\xff')
    with pytest.raises(ConfigurationError, match="no text in UTF-8: byte 2"):
        load_schema(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no JSON"),
        ("[1]", "/: expected an object, found an array"),
        ('{"a": 1, "a": 2}', "the field 'a' twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": 1e9999999999999999999}', "a number beyond all bounds"),
        (f'{{"a": {"9" * 5000}}}', "is no JSON: Exceeds the limit"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('"' + "x" * (1 << 20) + '"', "larger than 1,048,576 bytes"),
        (r'{"type": "object", "properties": {"a": {"enum": ["\ud800"]}}}', "half of a surrogate pair"),
        ('{"type": "object", "properties": {"a": {"enum": ["x"]}}, "x-des-dataset": "No"}', "cannot be called 'No'"),
        ('{"type": "array", "properties": {"a": {"enum": ["x"]}}}', "expected the schema of an object"),
        ('{"type": ["object", "null"], "properties": {"a": {"enum": ["x"]}}}', "expected the schema of an object"),
        ('{"type": "object"}', "expected properties, at least one"),
        ('{"type": "object", "properties": {}}', "expected properties, at least one"),
        ('{"type": "object", "properties": {"a": {"enum": ["x"]}}, "oneOf": []}', "/oneOf: is not understood here"),
    ],
)
def test_document_that_is_no_schema_of_rows_is_refused_in_one_line(text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(expected)) as caught:
        parse_schema(text, "hostile.json", "hostile")
    assert str(caught.value).startswith("hostile.json: /")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("property_", "expected"),
    [
        (5, "/properties/p: expected an object, found 5"),
        ({}, "/properties/p: expected a type, one of string"),
        ({"type": "text"}, "/properties/p/type: 'text' is no type"),
        ({"type": ["string", "integer"]}, "/properties/p/type: expected one type, or one and null"),
        ({"type": "string", "pattern": "a"}, "/properties/p/pattern: is not understood here"),
        ({"type": "string", "format": "email"}, "/properties/p/format: 'email' is not generated"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "/properties/p/maxLength: is below minLength, which is 5"),
        ({"type": "string", "maxLength": 10**9}, "/properties/p/maxLength: expected a whole number from 0 to 10,000"),
        ({"type": "integer", "mimimum": 1}, "/properties/p/mimimum: is not understood here"),
        ({"type": "integer", "minimum": "1"}, "/properties/p/minimum: expected a number, found '1'"),
        ({"type": "integer", "minimum": True}, "/properties/p/minimum: expected a number, found true"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "/properties/p/maximum: there is no multiple of 1 from 3"),
        ({"type": "integer", "multipleOf": 0.5}, "/properties/p/multipleOf: expected a whole number above 0"),
        ({"type": "number", "multipleOf": 0}, "/properties/p/multipleOf: expected a number above 0"),
        ({"type": "number", "multipleOf": 1e-9, "maximum": 10**14}, "have more than 15 digits"),
        ({"type": "number", "maximum": 10**20}, "/properties/p/maximum: has more than 15 digits"),
        ({"type": "integer", "x-des-skew": 9}, "/properties/p/x-des-skew: expected a whole number from 2 to 8"),
        ({"enum": []}, "/properties/p/enum: has 0 items"),
        ({"enum": [{}]}, "/properties/p/enum/0: expected a string, number, boolean or null, found an object"),
        ({"type": "integer", "enum": [1, 2.5]}, "/properties/p/enum/1: expected a value of type integer"),
        ({"type": "string", "enum": ["a", None]}, "/properties/p/enum/1: expected a value of type string, found null"),
        ({"enum": ["a", "b"], "x-des-weights": [1]}, "/properties/p/x-des-weights: has 1 items, and enum has 2"),
        ({"enum": ["a", "b"], "x-des-weights": [0, 0]}, "at least one weight must be above 0"),
        ({"enum": ["a", "b"], "x-des-weights": [1, -1]}, "/properties/p/x-des-weights/1: expected a whole number"),
        ({"enum": ["a", "b"], "x-des-weights": [999_999, 1]}, "the weights add up to 1,000,000"),
        ({"type": "string", "x-des-nulls": 0.5}, "/properties/p/x-des-nulls: the property is never null"),
        ({"type": ["string", "null"], "x-des-nulls": 2}, "/properties/p/x-des-nulls: expected a number from 0 to 1"),
        ({"type": "string", "x-des-absent": 0.5}, "/properties/p/x-des-absent: the property is required"),
        ({"type": "string", "format": "date", "x-des-increasing": {}}, "goes with the format date-time alone"),
        (
            {"type": "string", "format": "date-time", "x-des-increasing": {"from": "9:00", "to": "10:00:00"}},
            "/properties/p/x-des-increasing/from: expected HH:MM:SS up to 24:00:00, found '9:00'",
        ),
        (
            {"type": "string", "format": "date-time", "x-des-increasing": {"from": "10:00:00", "to": "10:00:00"}},
            "/properties/p/x-des-increasing/to: must be later than from",
        ),
        ({"type": "array"}, "/properties/p: expected items"),
        (
            {"type": "array", "items": {"type": ["integer", "null"]}},
            "/properties/p/items: an item of an array is never",
        ),
        ({"type": "array", "items": SYMBOL, "maxItems": 10**6}, "/properties/p/maxItems: expected a whole number"),
        (
            {"type": ["object", "null"], "properties": {"a": SYMBOL}},
            "/properties/p/type: an object or an array is never",
        ),
        ({"type": "object", "properties": {}}, "/properties/p: expected properties, at least one"),
    ],
)
def test_mistake_in_a_property_is_one_line_that_names_its_place(property_: object, expected: str) -> None:
    assert expected in complaint({"p": property_}, required=["p"])


@pytest.mark.parametrize(
    ("property_", "expected"),
    [
        ({"x-des-with": {"of": "price", "values": {}}}, "/properties/p/x-des-with/of: 'price' is no property beside"),
        ({"x-des-with": {"of": "symbol", "values": {"A": 1}}}, "/properties/p/x-des-with/values: has nothing for 'B'"),
        ({"x-des-with": {"of": "symbol"}}, "/properties/p/x-des-with: expected the field 'values'"),
        (
            {"type": "integer", "x-des-with": {"of": "symbol", "values": {"A": 1, "B": "b"}}},
            "/values/B: expected a value",
        ),
        ({"type": "number", "x-des-walk": {"step": 1}}, "/properties/p/x-des-walk: expected the field 'start'"),
        ({"type": "number", "x-des-walk": {"start": 1, "step": 1, "by": "no"}}, "/x-des-walk/by: 'no' is no property"),
        (
            {"type": "number", "x-des-walk": {"start": {"A": 1}, "step": 1, "by": "symbol"}},
            "/properties/p/x-des-walk/start: has nothing for 'B'",
        ),
        (
            {"type": "integer", "minimum": 5, "x-des-walk": {"start": 1, "step": 1}},
            "1 is none of the property's numbers",
        ),
        ({"type": "number", "x-des-walk": {"start": 0.0001, "step": 1}}, "/start: is no number of 3 places"),
        ({"type": "number", "x-des-walk": {"start": 1, "step": 1e-9}}, "the walk would stand still"),
        ({"type": "number", "x-des-walk": {"start": 1, "step": -1}}, "/x-des-walk/step: expected a number from 0"),
        ({"type": "number", "x-des-near": {"of": "symbol", "least": 0, "most": 1}}, "'symbol' is no property beside"),
        ({"type": "number", "x-des-near": {"of": "p", "least": 0, "most": 1}}, "'p' is no property beside"),
        ({"type": "integer", "x-des-near": {"of": "price", "least": 0, "most": 1}}, "0 places after the point, and"),
        ({"type": "number", "x-des-near": {"of": "price", "least": 1, "most": 0}}, "expected a number from least on"),
        (
            {"type": "number", "minimum": 1, "x-des-near": {"of": "price", "least": -1, "most": 0}},
            "/properties/p/x-des-near: would give numbers outside minimum and maximum",
        ),
        (
            {"type": "number", "multipleOf": 0.025, "x-des-near": {"of": "price", "least": 0, "most": 1}},
            "would give numbers that are not a multiple",
        ),
        ({"type": "number", "x-des-skew": 2, "x-des-walk": {"start": 1, "step": 1}}, "cannot stand beside x-des-walk"),
    ],
)
def test_mistake_in_what_belongs_together_names_its_place(property_: object, expected: str) -> None:
    assert expected in complaint({"symbol": SYMBOL, "price": PRICE, "p": property_})


def test_required_names_properties() -> None:
    assert "/required/0: 'b' is no property" in complaint({"a": SYMBOL}, required=["b"])


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = SYMBOL
    for _ in range(depth):
        inner = {"type": "object", "properties": {"a": inner}}
    return {"a": inner}


def test_what_would_exhaust_memory_or_stack_is_refused() -> None:
    schema_of(nested(5))
    assert "is nested more than 6 deep" in complaint(nested(6))
    assert "is nested more than 6 deep" in complaint(nested(150))
    assert "more than 256 properties" in complaint({f"p{number}": SYMBOL for number in range(257)})
    thousand: dict[str, Any] = {"type": "array", "items": {"type": "boolean"}, "maxItems": 1000}
    schema_of({"a": thousand})
    assert "a row could have" in complaint({"a": thousand | {"items": thousand}})
    assert "a row could have" in complaint({f"t{n}": {"type": "string", "maxLength": 10_000} for n in range(7)})
    assert "1 to 10,000" in complaint({"a": {"enum": list(range(10_001))}})


def test_names_from_outside_cannot_steer_a_terminal() -> None:
    assert complaint({"a\x1b[2J": SYMBOL}).isprintable()
    with pytest.raises(ConfigurationError) as caught:
        parse_schema("{", "a\x1b[2J\n.json", "a")
    assert str(caught.value).isprintable()
