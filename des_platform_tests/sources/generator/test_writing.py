from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import pyarrow.csv
import pyarrow.json
import pytest
import yaml

from des_platform.catalog.dataset import Dataset
from des_platform.parquet import read_rows
from des_platform.settings import ConfigurationError
from des_platform.sources.generator.rows import names
from des_platform.sources.generator.schema import SHIPPED, Schema, load_schema
from des_platform.sources.generator.writing import MAX_BYTES, MAX_ROWS, Format, Generator
from des_platform_tests.sources.generator.support import (
    DATASETS,
    DAY,
    content,
    objects,
    schema_of,
    schema_requiring,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS: tuple[Format, ...] = get_args(Format)

# Recorded once: they change only if the generator or a shipped schema does, and then every corpus made from it does.
DIGESTS = {
    ("stock_market", "csv"): "36f9f9564240062c3929a162d433afb0b50e0f80394c5bf62ff4f9e7ae03d7c1",
    ("stock_market", "jsonl"): "d0813227b2be75226df67a098985527bb07f0f2c5880434d98ee98cac7373357",
    ("weather", "json"): "87963ef44c53bb96ef46b40f1a3b4bb8e9e1acdd2eeab42792941d411560fa82",
    ("weather", "text"): "537adeba975d552a6276f47e125834cd8669b0ec189d483f61d08de0a95bc097",
}

AWKWARD = {
    "a,b": {"enum": ['say "hi"', "two\nlines", " spaces ", "", "ü=🎈", "a,b", "100%", "\u2028"]},
    "in": {
        "type": "object",
        "properties": {"x y": {"type": ["integer", "null"], "maximum": 9}, "%s": {"type": "boolean"}},
        "required": ["%s"],
        "x-des-absent": 0.3,
    },
}


def digest(schema: str, file_format: Format) -> str:
    return hashlib.sha256(content(schema, file_format, 2_000, number=7, seed=3)).hexdigest()


@pytest.mark.parametrize(("schema", "file_format"), DIGESTS)
def test_the_same_arguments_give_the_same_bytes_for_ever(schema: str, file_format: Format) -> None:
    assert digest(schema, file_format) == DIGESTS[schema, file_format]


def test_the_bytes_are_the_same_in_another_process() -> None:
    code = (
        "from des_platform_tests.sources.generator.test_writing import digest\n"
        "for name in ('stock_market', 'weather'):\n"
        "    for form in ('text', 'json', 'jsonl', 'csv'): print(digest(name, form))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    forms: tuple[Format, ...] = ("text", "json", "jsonl", "csv")
    assert run.stdout.split() == [digest(name, form) for name in SHIPPED for form in forms]


def test_day_number_and_seed_each_change_the_file() -> None:
    generator = Generator(load_schema("stock_market"), "csv")
    files = {
        generator.content(DAY, 0, rows=50),
        generator.content(DAY, 1, rows=50),
        generator.content(date(2024, 1, 3), 0, rows=50),
        generator.content(DAY, 0, rows=50, seed=1),
    }
    assert len(files) == 4


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("size", [20_000, 1_000_000])
def test_files_have_about_the_size_asked_for(name: str, file_format: Format, size: int) -> None:
    generator = Generator(load_schema(name), file_format)
    rows = generator.rows_of(size)
    for number in range(3):
        assert abs(len(generator.content(DAY, number, rows=rows)) - size) < 0.03 * size


def test_size_holds_where_rows_differ_widely() -> None:
    kinds = {
        "text": {"type": "string", "minLength": 0, "maxLength": 400},
        "list": {"type": "array", "items": {"type": "integer"}, "maxItems": 40},
    }
    generator = Generator(schema_of(kinds), "jsonl")
    assert abs(len(generator.content(DAY, 0, rows=generator.rows_of(1_000_000))) - 1_000_000) < 50_000


def test_smallest_file_has_one_row() -> None:
    assert Generator(load_schema("weather"), "csv").rows_of(1) == 1


@pytest.mark.parametrize("size", [0, -1, MAX_BYTES + 1])
def test_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"a file of {size:,} bytes is not generated")):
        Generator(load_schema("weather"), "csv").rows_of(size)


def test_file_of_too_many_rows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="rows of things, and may have 1,000,000"):
        Generator(schema_requiring({"a": {"type": "boolean"}}), "csv").rows_of(MAX_BYTES)


@pytest.mark.parametrize("rows", [-1, MAX_ROWS + 1])
def test_impossible_number_of_rows_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"rows is {rows}"):
        content("weather", "csv", rows)


def test_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="'xml', expected one of json, jsonl, csv, text"):
        Generator(load_schema("weather"), cast("Format", "xml"))


def test_no_rows_give_what_stands_around_them() -> None:
    schema = schema_requiring({"a": {"type": "boolean"}, "b": {"type": "boolean"}})
    assert content(schema, "csv", 0) == b"a,b\n"
    assert content(schema, "jsonl", 0) == content(schema, "text", 0) == b""
    assert json.loads(content(schema, "json", 0)) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_every_format_holds_the_same_values(name: str) -> None:
    lines = objects(name, 300)
    assert json.loads(content(name, "json", 300)) == lines
    texts = [{key: "" if value is None else str(value) for key, value in row.items()} for row in lines]
    read = [{key: plain(value) for key, value in row.items()} for row in table(name, 300)]
    assert read == [{key: plain(value) for key, value in row.items()} for row in texts]
    logged = [dict(pairs(line)) for line in content(name, "text", 300).decode().splitlines()]
    assert [{key: plain(value) for key, value in row.items()} for row in logged] == read


def plain(text: str) -> str:
    """Numbers have all their places in a file, and not in Python."""
    return str(float(text)) if re.fullmatch(r"-?\d+(\.\d+)?", text) else text


def pairs(line: str) -> Iterator[tuple[str, str]]:
    """The fields of a line of text."""
    string = r'"(?:[^"\\]|\\.)*"'
    token = rf'(?:{string}|[^ ="]*)'
    for name, value in re.findall(rf"({token})=({token})(?: |$)", line):
        yield tuple(json.loads(part) if part.startswith('"') else part for part in (name, value))


@pytest.mark.parametrize("name", SHIPPED)
def test_arrow_reads_tables_with_the_types_of_the_schema(name: str) -> None:
    schema = load_schema(name)
    kinds: dict[str, Any] = json.loads(schema.text)["properties"]
    wanted = {
        "string": {"string", "timestamp[ms]", "timestamp[ns, tz=UTC]"},
        "number": {"double"},
        "integer": {"int64"},
    }
    for read in (
        pyarrow.csv.read_csv(io.BytesIO(content(schema, "csv", 3_000))),
        pyarrow.json.read_json(io.BytesIO(content(schema, "jsonl", 3_000))),
    ):
        assert read.num_rows == 3_000
        assert read.column_names == list(kinds)
        for column in read.schema:
            kind = kinds[column.name]["type"]
            assert str(column.type) in wanted[kind if isinstance(kind, str) else kind[0]], column


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_table_of_the_data_set_takes_every_row(name: str, file_format: Literal["csv", "jsonl"]) -> None:
    declared = Dataset.model_validate(yaml.safe_load((DATASETS / name / "defs.yaml").read_text())["attributes"])
    assert declared.table is not None
    batches = list(read_rows([content(name, file_format, 2_000)], file_format, declared.table.columns))
    assert sum(batch.rows.num_rows for batch in batches) == 2_000
    assert not any(batch.rejected for batch in batches)


def test_awkward_texts_and_names_come_back_from_csv_and_text() -> None:
    schema = schema_of(AWKWARD, required=["a,b"])
    flat = names(schema)
    assert flat == ["a,b", "in_x y", "in_%s"]
    rows = objects(schema, 400)
    expected = [[row["a,b"], shown(row.get("in", {}).get("x y")), shown(row.get("in", {}).get("%s"))] for row in rows]
    read = list(csv.reader(io.StringIO(content(schema, "csv", 400).decode(), newline="")))
    assert read == [flat, *expected]
    logged = [list(pairs(line)) for line in content(schema, "text", 400).decode().split("\n")[:-1]]
    assert [[name for name, _ in line] for line in logged] == [flat] * 400
    assert [[value for _, value in line] for line in logged] == expected
    assert {row[0] for row in expected} == set(cast("dict[str, Any]", AWKWARD["a,b"])["enum"])
    assert {row[1] for row in expected} >= {"", "0", "9"}


def shown(value: object) -> str:
    return "" if value is None else json.dumps(value)


def test_row_of_a_single_null_is_still_a_row() -> None:
    schema = schema_requiring({"a": {"type": ["integer", "null"], "x-des-nulls": 1}})
    assert content(schema, "csv", 3) == b'a\n""\n""\n""\n'
    assert content(schema, "text", 2) == b"a=\na=\n"


@pytest.mark.parametrize("file_format", ["csv", "text"])
def test_array_has_no_place_in_a_flat_file(file_format: Format) -> None:
    inner = {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "integer"}}}}
    schema: Schema = schema_of({"in": inner})
    with pytest.raises(ConfigurationError, match=r"^test.json: /properties/in/properties/list: an array has no place"):
        Generator(schema, file_format)
    assert Generator(schema, "jsonl").content(DAY, 0, rows=3)


def test_two_columns_of_one_name_are_refused() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "integer"}}}
    with pytest.raises(
        ConfigurationError, match="/properties/a/properties/b: as a column it is called 'a_b', as /prop"
    ):
        Generator(schema_of({"a_b": {"type": "integer"}, "a": inner}), "csv")


def test_fingerprint_changes_with_all_that_changes_the_bytes() -> None:
    kinds = [{"a": {"type": "integer"}}, {"a": {"type": "integer", "maximum": 5}}]
    made = [Generator(schema_of(kind), form) for kind in kinds for form in FORMATS]
    prints = [generator.fingerprint(rows) for generator in made for rows in (1, 2)]
    assert len(set(prints)) == len(prints) == 16
    assert all(re.fullmatch("[0-9a-f]{8}", text) for text in prints)
