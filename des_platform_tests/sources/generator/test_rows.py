from __future__ import annotations

import json
import uuid
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from itertools import pairwise
from statistics import mean, pstdev
from typing import Any

import jsonschema
import pytest

from des_platform.settings import ConfigurationError
from des_platform.sources.generator.schema import SHIPPED, Schema, load_schema
from des_platform_tests.sources.generator.support import DAY, content, objects, schema_of, schema_requiring, table

EVERYTHING: dict[str, Any] = {
    "name": {"type": "string", "minLength": 3, "maxLength": 30},
    "short": {"type": "string", "maxLength": 0},
    "nothing": {"type": "null"},
    "constant": {"const": "50% \"off\", 'today'\n"},
    "grade": {"enum": ["a", 1, 2.50, True, None, "ü, 🎈"]},
    "flag": {"type": "boolean"},
    "count": {"type": "integer", "minimum": -20, "maximum": 20, "multipleOf": 7},
    "share": {"type": "number", "minimum": -1, "maximum": 1},
    "tiny": {"type": "number", "minimum": 1e-7, "maximum": 2e-6, "multipleOf": 1e-7},
    "at": {"type": "string", "format": "date-time"},
    "on": {"type": "string", "format": "date"},
    "id": {"type": "string", "format": "uuid"},
    "from": {"type": "string", "format": "ipv4"},
    "maybe": {"type": ["integer", "null"]},
    "place": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "number"}}, "required": ["y"]},
    "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 1, "maxItems": 3},
    "trips": {"type": "array", "items": {"type": "object", "properties": {"to": {"type": "string"}}}},
    "matrix": {"type": "array", "maxItems": 2, "items": {"type": "array", "items": {"type": "integer"}}},
}


def check_all(schema: Schema, rows: int) -> list[dict[str, Any]]:
    """Every row is valid under the schema as a validator reads it that is not ours; numbers exactly."""
    validator = jsonschema.Draft202012Validator(
        json.loads(schema.text, parse_float=Decimal), format_checker=jsonschema.FormatChecker()
    )
    lines = content(schema, "jsonl", rows).decode().splitlines()
    found = [json.loads(line, parse_float=Decimal) for line in lines]
    assert len(found) == rows
    for row in found:
        validator.validate(row)
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_rows_of_a_shipped_schema_are_valid_under_it(name: str) -> None:
    check_all(load_schema(name), 400)


@pytest.mark.parametrize("required", [[], ["name"], ["flag"], ["matrix"], [*EVERYTHING]], ids=len)
def test_rows_of_every_kind_are_valid_whatever_may_be_absent(required: list[str]) -> None:
    rows = check_all(schema_of(EVERYTHING, required=required, additionalProperties=False), 300)
    assert {tuple(row) for row in rows} == {tuple(EVERYTHING)} or len(required) < len(EVERYTHING)
    for name in set(EVERYTHING) - set(required):
        assert 0 < sum(name not in row for row in rows) < 90


def test_absent_and_null_come_as_often_as_the_schema_says() -> None:
    kind = {"type": ["integer", "null"], "x-des-nulls": 0.3, "x-des-absent": 0.5}
    rows = objects(schema_of({"a": kind, "never": {"type": ["integer", "null"], "x-des-nulls": 0}}), 4_000)
    present = [row for row in rows if "a" in row]
    assert 0.45 < len(present) / 4_000 < 0.55
    assert 0.25 < sum(row["a"] is None for row in present) / len(present) < 0.35
    assert all(row.get("never", 0) is not None for row in rows)


def test_weights_of_an_enum_roughly_hold_and_zero_is_never() -> None:
    schema = schema_requiring({"a": {"enum": ["often", "rare", "never"], "x-des-weights": [90, 10, 0]}})
    found = Counter(row["a"] for row in objects(schema, 5_000))
    assert 0.87 < found["often"] / 5_000 < 0.93
    assert set(found) == {"often", "rare"}


def test_numbers_reach_both_ends_of_their_range_in_every_step() -> None:
    schema = schema_requiring({"a": {"type": "number", "minimum": -0.51, "maximum": 0.5, "multipleOf": 0.25}})
    texts = Counter(row["a"] for row in table(schema, 2_000))
    assert set(texts) == {"-0.50", "-0.25", "0.00", "0.25", "0.50"}
    assert all(300 < count < 500 for count in texts.values())


def test_skew_crowds_numbers_at_their_minimum() -> None:
    schema = schema_requiring(
        {"a": {"type": "integer", "maximum": 1000}, "b": {"type": "integer", "maximum": 1000, "x-des-skew": 4}}
    )
    rows = objects(schema, 3_000)
    assert 450 < mean(row["a"] for row in rows) < 550
    assert 160 < mean(row["b"] for row in rows) < 240
    assert max(row["b"] for row in rows) > 900


def test_large_numbers_are_exact() -> None:
    schema = schema_requiring({"a": {"type": "number", "minimum": 9.9e12, "maximum": 9.99e12, "multipleOf": 0.01}})
    for row in table(schema, 2_000):
        assert Decimal("9.9e12") <= Decimal(row["a"]) <= Decimal("9.99e12")
        assert len(row["a"].split(".")[1]) == 2


@pytest.mark.parametrize("rows", [1, 2, 9_000, 100_000])
def test_times_of_a_session_increase_strictly_from_its_start_to_its_end(rows: int) -> None:
    stamps = [row["ts"] for row in table("stock_market", rows, number=1)]
    assert len(stamps) == rows
    assert all(len(stamp) == 24 and stamp.endswith("Z") for stamp in stamps)
    assert all(earlier < later for earlier, later in pairwise(stamps))
    assert stamps[0] >= "2024-01-02T14:30:00.000Z"
    assert stamps[-1] < "2024-01-02T21:00:00.000Z"
    assert datetime.fromisoformat(stamps[0]).tzinfo == UTC


def test_session_may_be_filled_to_the_last_millisecond_and_no_further() -> None:
    clock = {"type": "string", "format": "date-time", "x-des-increasing": {"from": "23:59:59", "to": "24:00:00"}}
    stamps = [row["t"] for row in objects(schema_requiring({"t": clock}), 1_000)]
    assert stamps == [f"2024-01-02T23:59:59.{ms:03d}Z" for ms in range(1_000)]
    with pytest.raises(ConfigurationError, match=r"/properties/t: 1,001 rows do not fit into 1,000 milliseconds"):
        content(schema_requiring({"t": clock}), "csv", 1_001)


def test_dates_times_and_identifiers_are_what_their_format_says() -> None:
    rows = objects(schema_requiring(EVERYTHING), 500)
    for row in rows:
        assert datetime.fromisoformat(row["at"]).date() == DAY
        assert DAY - timedelta(days=365) < date.fromisoformat(row["on"]) <= DAY
        assert uuid.UUID(row["id"]).version == 4
        assert uuid.UUID(row["id"]).variant == uuid.RFC_4122
        assert IPv4Address(row["from"]).is_private
        assert 3 <= len(row["name"]) <= 30
        assert row["name"].replace(" ", "").isalpha()
    assert len({row["id"] for row in rows}) == 500
    assert len({len(row["name"]) for row in rows}) == 28


def test_prices_walk_in_small_steps_between_bid_and_ask() -> None:
    last: dict[str, float] = {}
    listed: dict[str, set[tuple[str, str]]] = {}
    moved = 0
    for row in table("stock_market", 9_000):
        price = float(row["price"])
        assert 0 < float(row["bid"]) < price < float(row["ask"]) < price + 0.04
        assert int(row["volume"]) > 0
        before = last.get(row["symbol"], price)
        assert abs(price - before) <= 0.01 * before
        moved += price != before
        last[row["symbol"]] = price
        listed.setdefault(row["symbol"], set()).add((row["exchange"], row["sector"]))
    assert moved > 3_000
    assert len(listed) > 20
    assert all(len(places) == 1 for places in listed.values())


def test_files_of_a_day_differ_but_begin_at_the_same_values() -> None:
    first, second = (table("stock_market", 5_000, number=number) for number in (0, 1))
    assert first != second
    opening = [next(float(row["price"]) for row in rows if row["symbol"] == "AAPL") for rows in (first, second)]
    assert abs(opening[0] - opening[1]) < 0.01 * opening[0]
    seeds = {next(row["price"] for row in table("stock_market", 500, seed=seed)) for seed in range(5)}
    assert len(seeds) == 5


def test_walk_has_the_deviation_it_was_given_and_never_leaves_its_range() -> None:
    walk = {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1e6, "x-des-walk": {"start": 5e5, "step": 2}}
    values = [row["a"] for row in objects(schema_requiring({"a": walk}), 5_000)]
    assert 1.9 < pstdev([later - earlier for earlier, later in pairwise(values)]) < 2.1
    tight = {"type": "integer", "minimum": -3, "maximum": 3, "x-des-walk": {"start": 0, "step": 2, "vary": 3}}
    values = [row["a"] for row in objects(schema_requiring({"a": tight}), 1_000)]
    assert set(values) == set(range(-3, 4))


def test_one_start_serves_every_walk_and_each_value_walks_alone() -> None:
    walk = {"type": "integer", "x-des-walk": {"by": "who", "start": 1000, "step": 5, "vary": 900}}
    rows = objects(schema_requiring({"level": walk, "who": {"enum": ["a", "b", "c"]}}), 600)
    for who in "abc":
        levels = [row["level"] for row in rows if row["who"] == who]
        assert all(abs(later - earlier) <= 15 for earlier, later in pairwise(levels))
    assert len({next(row["level"] for row in rows if row["who"] == who) for who in "abc"}) == 3


def test_near_holds_in_finer_units_too() -> None:
    near = {"type": "number", "multipleOf": 0.001, "x-des-near": {"of": "a", "least": -0.002, "most": 0.002}}
    schema = schema_requiring({"b": near, "a": {"type": "number", "multipleOf": 0.1, "minimum": -5, "maximum": 5}})
    apart = {round(row["b"] - row["a"], 6) for row in objects(schema, 500)}
    assert apart == {-0.002, -0.001, 0, 0.001, 0.002}


def test_new_property_leaves_the_values_of_the_others_as_they_were() -> None:
    kinds = {"a": {"type": "integer"}, "b": {"type": "string", "format": "uuid"}}
    before = objects(schema_requiring(kinds), 50)
    after = objects(schema_requiring({"first": {"type": "boolean"}} | kinds), 50)
    assert [{"a": row["a"], "b": row["b"]} for row in after] == before
