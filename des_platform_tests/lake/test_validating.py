from __future__ import annotations

import pytest

from des_platform.lake import validating
from des_platform.lake.validating import (
    partition_rules,
    validate_compression,
    validate_field_type,
    validate_format,
    validate_strategy,
    validate_table_name,
    validate_writable,
)


@pytest.mark.parametrize("name", ["events", "user_events", "e2", "a" * 63])
def test_a_name_that_the_lake_can_have_is_one(name: str) -> None:
    assert validate_table_name(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "no table's name"),
        ("1st", "no table's name"),
        ("_x", "no table's name"),
        ("a b", "no table's name"),
        ("a\n", "no table's name"),
        ("ä", "no table's name"),
        ("Events", "cannot be a table of the lake"),
        ("user-events", "cannot be a table of the lake"),
        ("a" * 64, "cannot be a table of the lake"),
        ("events_rejected", "could not take"),
    ],
)
def test_a_name_that_it_cannot_have_is_refused_with_the_reason(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        validate_table_name(name)


def test_the_known_words_are_known() -> None:
    assert [validate_field_type(kind) for kind in validating.FIELD_TYPES] == [
        "string", "integer", "long", "float", "double", "boolean", "bytes", "record", "array", "map", "union", "null",
    ]  # fmt: skip
    assert [validate_strategy(word) for word in validating.STRATEGIES] == ["date", "hash", "range", "list"]
    assert [validate_compression(word) for word in ("none", "snappy", "gzip", "lz4", "zstd")]
    assert validating.FORMATS == ("parquet", "avro", "json", "csv", "orc")


@pytest.mark.parametrize(
    "check", [validate_field_type, validate_strategy, validate_compression, validate_format], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("word", ["", "PARQUET", "varchar", "weekly", "rar"])
def test_another_word_is_refused_and_the_known_ones_are_named(check: object, word: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        check(word)  # type: ignore[operator]


@pytest.mark.parametrize("word", ["avro", "json", "csv", "orc"])
def test_tables_are_written_as_parquet_alone(word: str) -> None:
    assert validate_writable("parquet") == validate_format("parquet") == "parquet"
    assert validate_format(word) == word
    with pytest.raises(ValueError, match="as parquet alone"):
        validate_writable(word)


@pytest.mark.parametrize(
    ("strategy", "columns", "rules"),
    [
        ("date", [], []),
        ("date", ["day"], []),
        ("date", ["year", "month", "day", "seen"], ["day(seen)"]),
        ("hash", ["a", "b:4"], ["hash(a, 16)", "hash(b, 4)"]),
        ("list", ["a"], ["list(a)"]),
        ("range", ["a:2024-01-01,2024-07-01"], ["range(a, 2024-01-01, 2024-07-01)"]),
    ],
)
def test_a_strategy_says_which_rules_its_columns_become(strategy: str, columns: list[str], rules: list[str]) -> None:
    assert [str(rule) for rule in partition_rules(strategy, columns, ["year(z)"])] == [*rules, "year(z)"]


@pytest.mark.parametrize(
    ("strategy", "columns", "rules"),
    [
        ("range", ["a"], []),
        ("hash", ["a:x"], []),
        ("hash", ["a:0"], []),
        ("list", ["a:3"], []),
        ("date", ["a); DROP TABLE x"], []),
        ("weekly", [], []),
        ("list", ["a"], ["list(a)"]),
        ("date", [], ["month"]),
    ],
)
def test_what_is_no_partitioning_is_refused(strategy: str, columns: list[str], rules: list[str]) -> None:
    with pytest.raises(ValueError, match="expected|takes|needs|twice|no partition rule"):
        partition_rules(strategy, columns, rules)
