from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.parquet import NoColumns, arrow_type, infer_columns, merge_columns, read_rows, type_of
from des_platform.parquet.names import COLUMN_NAME, column_name, column_names, match_names
from des_platform_tests.parquet.support import arrow_bytes, collect, parquet_bytes


def of_csv(*values: str) -> str:
    text = "c,other\n" + "".join(f"{value},x\n" for value in values)
    return infer_columns([text.encode()], "csv")["c"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-5", "", "0"], "long"),
        (["9223372036854775807"], "long"),
        (["9223372036854775808"], "string"),
        (["007", "1"], "string"),
        (["+5"], "string"),
        (["1", "1.5", "-0.25", "1e-7"], "double"),
        (["0.30000000000000004"], "double"),
        (["0.12345678901234567890"], "string"),
        (["12345678901234567", "1.5"], "string"),
        (["1e999"], "string"),
        (["true", "False", ""], "boolean"),
        (["1", "0"], "long"),
        (["true", "yes"], "string"),
        (["2024-01-01", "2024-02-29"], "date"),
        (["2024-02-30"], "string"),
        (["2024-01-01", "2024-01-01 10:00:00"], "timestamp_ntz"),
        (["2024-01-01T10:00:00Z", "2024-01-01", "2024-01-01T10:00:00.5+02:00"], "timestamp"),
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:00"], "string"),
        (["2024-01-01T10:00:00.123456789Z"], "string"),
        (["", ""], "string"),
        (["abc"], "string"),
        ([" 1"], "string"),
    ],
)
def test_a_csv_column_has_the_type_that_every_value_fits(values: list[str], kind: str) -> None:
    assert of_csv(*values) == kind


def test_any_header_gives_columns_and_a_name_that_stands_twice_gives_none() -> None:
    data = b'id,"first name",,id2,id2\n1,"",x,1,2\n'
    assert infer_columns([data], "csv") == {"id": "long", "first_name": "string", column_name(""): "string"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2**62], "long"),
        ([2**64], "json"),
        ([1, 1.5], "double"),
        ([True, False, None], "boolean"),
        ([True, 1], "json"),
        (["1"], "string"),
        (["a", 1], "json"),
        (["2024-01-01"], "date"),
        (["2024-01-01T00:00:00Z"], "timestamp"),
        (["2024-01-01T00:00:00"], "timestamp_ntz"),
        ([{"a": 1}], "json"),
        ([[1], None], "json"),
        ([None], "json"),
    ],
)
@pytest.mark.parametrize("file_format", ["json", "jsonl"])
def test_a_json_column_has_the_type_that_every_value_fits(values: list[Any], kind: str, file_format: Any) -> None:
    data = "\n".join(json.dumps({"c": value}) for value in values).encode()
    columns = infer_columns([data], file_format)
    assert columns == {"c": kind}
    assert collect(data, file_format, columns)[1] == []


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (pa.int8(), "int"),
        (pa.uint16(), "int"),
        (pa.uint32(), "long"),
        (pa.uint64(), "decimal(20,0)"),
        (pa.float16(), "float"),
        (pa.float64(), "double"),
        (pa.timestamp("ns", "UTC"), "timestamp"),
        (pa.timestamp("ms"), "timestamp_ntz"),
        (pa.date64(), "date"),
        (pa.time32("s"), "time"),
        (pa.duration("ns"), "long"),
        (pa.dictionary(pa.int8(), pa.large_string()), "string"),
        (pa.decimal128(10, 2), "decimal(10,2)"),
        (pa.decimal128(10, -2), "decimal(12,0)"),
        (pa.decimal256(60, 2), "json"),
        (pa.binary(4), "binary"),
        (pa.list_(pa.int8()), "json"),
        (pa.struct([("a", pa.int8())]), "json"),
        (pa.null(), "string"),
        (pa.bool_(), "boolean"),
    ],
    ids=str,
)
def test_every_arrow_type_has_a_column_type(dtype: pa.DataType, kind: str) -> None:
    assert type_of(dtype) == kind
    assert arrow_type(kind)


def test_typed_files_are_read_as_they_are_inferred() -> None:
    table = pa.table({
        "a": pa.array([1], pa.int8()), "b": [[1]], "c": pa.array([1_700_000_000_000_000_001], pa.timestamp("ns")),
        "d": pa.array([1_700_000_000_000_000_000], pa.timestamp("ns")), "e": pa.array([2**64 - 1], pa.uint64()),
    })  # fmt: skip
    expected = {"a": "int", "b": "json", "c": "long", "d": "timestamp_ntz", "e": "decimal(20,0)"}
    for file_format, data in (("parquet", parquet_bytes(table)), ("arrow", arrow_bytes(table))):
        columns = infer_columns(io.BytesIO(data), file_format)  # type: ignore[arg-type]  # names of formats
        assert columns == expected
        assert len(collect(data, file_format, columns)[0]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("file_format", ["csv", "json", "jsonl", "parquet", "arrow", "avro", "dbn"])
def test_an_empty_file_has_no_columns(file_format: Any) -> None:
    source: Any = io.BytesIO(b"") if file_format in ("parquet", "arrow", "avro", "dbn") else [b""]
    with pytest.raises(NoColumns):
        infer_columns(source, file_format)


def test_a_sample_that_ends_within_a_record_does_not_count_that_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("des_platform.parquet.inference.MAX_SAMPLE_BYTES", 100)
    data = b"c\n" + b"2024-01-01\n" * 8 + b"2024-01-02T00:00:00Z\n"
    assert infer_columns([data[:100], data[100:]], "csv") == {"c": "date"}


@pytest.mark.parametrize(
    ("one", "other", "csv", "others"),
    [
        ("int", "long", "long", "long"),
        ("long", "double", "double", "double"),
        ("int", "float", "double", "double"),
        ("long", "decimal(10,2)", "decimal(21,2)", "decimal(21,2)"),
        ("decimal(38,0)", "decimal(10,2)", "string", "json"),
        ("decimal(5,1)", "decimal(5,3)", "decimal(7,3)", "decimal(7,3)"),
        ("date", "timestamp", "timestamp", "timestamp"),
        ("date", "timestamp_ntz", "timestamp_ntz", "timestamp_ntz"),
        ("timestamp", "timestamp_ntz", "string", "json"),
        ("boolean", "long", "string", "json"),
        ("string", "json", "json", "json"),
        ("double", "decimal(5,1)", "string", "json"),
    ],
)
def test_types_are_only_ever_widened(one: str, other: str, csv: str, others: str) -> None:
    for left, right in ((one, other), (other, one)):
        assert merge_columns({"c": left}, {"c": right}) == {"c": csv}
        assert merge_columns({"c": left}, {"c": right}, fallback="json") == {"c": others}


def test_columns_of_both_are_kept_in_order() -> None:
    assert merge_columns({"b": "int", "A": "date"}, {"c": "long", "a": "date", "b": "int"}) == {
        "b": "int",
        "A": "date",
        "c": "long",
    }


HOSTILE = st.text(max_size=70) | st.sampled_from(["", "_day", "a b", "a-b", "A_b", "1", "x" * 100, "\ud800", "__"])


@settings(max_examples=200, deadline=None)
@given(st.lists(HOSTILE, unique=True, max_size=8))
def test_any_names_become_columns_that_find_them_again(names: list[str]) -> None:
    columns = column_names(names)
    assert all(COLUMN_NAME.fullmatch(column) for column in columns.values())
    assert len({column.lower() for column in columns.values()}) == len(names)
    assert column_names(names[::-1]) == columns
    assert match_names(names, dict.fromkeys(columns.values())) == {column: name for name, column in columns.items()}


FIELDS = (
    st.text(st.sampled_from("0123456789.-eTZ:truefals \u00e4"), max_size=12)
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.dates().map(str)
    | st.datetimes().map(str)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=5))
def test_what_is_inferred_reads_every_row_of_the_sample(values: list[str]) -> None:
    data = ("c,d\n" + "".join(f"{value},x\n" for value in values)).encode()
    columns = infer_columns([data], "csv")
    rows = sum(batch.rows.num_rows for batch in read_rows([data], "csv", columns))
    assert rows == len(values)
