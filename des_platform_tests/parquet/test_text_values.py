from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.parquet import arrow_schema
from des_platform.parquet.columns import arrow_type
from des_platform.parquet.text_values import from_text

KINDS = ["string", "long", "double", "boolean", "date", "timestamp"]
ODD_CHARACTERS = "0123456789+-.eE_ xT:Z\u0663\uff11"


def one(text: str, column_type: str) -> object:
    array = from_text([text], column_type)
    assert array.type == arrow_type(column_type)
    return array.to_pylist()[0]


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_the_schema_keeps_the_order_and_makes_every_column_nullable() -> None:
    columns = dict(zip("fedcba", KINDS, strict=True))
    schema = arrow_schema(columns)
    assert schema.names == list("fedcba")
    assert all(field.nullable for field in schema)
    assert schema.types == [
        pa.string(),
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("us", tz="UTC"),
    ]


def test_a_schema_without_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="no columns"):
        arrow_schema({})


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="decimal"):
        arrow_schema({"a": "decimal"})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("+5", 5),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0" * 60 + "1", 1),
    ],
)
def test_a_long_is_read(text: str, expected: int) -> None:
    assert one(text, "long") == expected


@pytest.mark.parametrize(
    "text",
    ["1.7", "1.0", "1e3", "abc", " 5", "5 ", "1_000", "1,000", "0x10", "--1", "+", "9223372036854775808", "\u0663"],
)
def test_what_is_no_long_is_null(text: str) -> None:
    assert one(text, "long") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1.0), ("-0.5", -0.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("+1.5E-3", 0.0015), ("1e-400", 0.0)],
)
def test_a_double_is_read(text: str, expected: float) -> None:
    assert one(text, "double") == expected


@pytest.mark.parametrize(
    "text", ["abc", "nan", "NaN", "inf", "-Infinity", "1e999", ".", "e5", "1e", "1,5", " 1", "0x1p3"]
)
def test_what_is_no_finite_double_is_null(text: str) -> None:
    assert one(text, "double") is None


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("FALSE", False), ("True", True), ("1", True), ("0", False)]
)
def test_a_boolean_is_read(text: str, expected: bool) -> None:
    assert one(text, "boolean") is expected


@pytest.mark.parametrize("text", ["yes", "t", "2", "01", "true ", "null"])
def test_what_is_no_boolean_is_null(text: str) -> None:
    assert one(text, "boolean") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2024-02-29", date(2024, 2, 29)), ("0001-01-01", date(1, 1, 1)), ("9999-12-31", date(9999, 12, 31))],
)
def test_a_date_is_read(text: str, expected: date) -> None:
    assert one(text, "date") == expected


@pytest.mark.parametrize(
    "text",
    [
        "2024-13-01",
        "2023-02-29",
        "2024-1-1",
        "20240101",
        "01/02/2024",
        "0000-01-01",
        "2024-01-01T00:00",
        "2024-01-01\n",
    ],
)
def test_what_is_no_date_is_null(text: str) -> None:
    assert one(text, "date") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-06T07:08:09Z", moment(2024, 5, 6, 7, 8, 9)),
        ("2024-05-06 07:08:09", moment(2024, 5, 6, 7, 8, 9)),
        ("2024-05-06T07:08:09.5", moment(2024, 5, 6, 7, 8, 9, 500_000)),
        ("2024-05-06T07:08:09.123456000Z", moment(2024, 5, 6, 7, 8, 9, 123_456)),
        ("2024-05-06T07:08", moment(2024, 5, 6, 7, 8)),
        ("2024-05-06", moment(2024, 5, 6)),
        ("2024-01-01T00:30:00+01:00", moment(2023, 12, 31, 23, 30)),
        ("2024-01-01T00:30:00-0130", moment(2024, 1, 1, 2, 0)),
        ("1969-12-31T23:59:59.999999Z", moment(1969, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_a_timestamp_is_read_as_utc(text: str, expected: datetime) -> None:
    assert one(text, "timestamp") == expected


@pytest.mark.parametrize(
    "text",
    [
        "2024-13-01T00:00:00Z",
        "2024-02-30 00:00:00",
        "2024-01-01T24:00:00",
        "2024-01-01T23:59:60Z",
        "2024-01-01T23:60:00Z",
        "2024-01-01T",
        "2024-01-01T10:00:00+24:00",
        "2024-01-01T10:00:00 Z",
        "2024-01-01Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:30:00-01:00",
        "1700000000",
        "yesterday",
    ],
)
def test_what_is_no_timestamp_is_null(text: str) -> None:
    assert one(text, "timestamp") is None


@pytest.mark.parametrize("column_type", KINDS)
def test_nulls_and_nothing_convert(column_type: str) -> None:
    assert from_text([], column_type).to_pylist() == []
    assert from_text([None, None], column_type).to_pylist() == [None, None]
    assert from_text([None, None], column_type).type == arrow_type(column_type)


@pytest.mark.parametrize("column_type", KINDS[1:])
def test_a_bad_value_leaves_its_neighbours_alone(column_type: str) -> None:
    good = {
        "long": "1",
        "double": "1.5",
        "boolean": "true",
        "date": "2024-01-01",
        "timestamp": "2024-01-01T01:02:03.4+01:00",
    }[column_type]
    found = from_text([good, "?", None, "", good], column_type).to_pylist()
    assert found[0] == found[4]
    assert found[0] is not None
    assert found[1:4] == [None, None, None]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(ODD_CHARACTERS, max_size=12) | st.integers(-(2**65), 2**65).map(str)))
def test_longs_agree_with_a_plain_definition(texts: list[str]) -> None:
    expected = [
        int(text) if re.fullmatch(r"[+-]?[0-9]+", text) and -(2**63) <= int(text) < 2**63 else None for text in texts
    ]
    assert from_text(texts, "long").to_pylist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(ODD_CHARACTERS, max_size=12) | st.floats(allow_nan=False).map(repr)))
def test_doubles_agree_with_python_bit_for_bit(texts: list[str]) -> None:
    def plain(text: str) -> float | None:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            return None
        return float(text) if math.isfinite(float(text)) else None

    assert list(map(repr, from_text(texts, "double").to_pylist())) == [repr(plain(text)) for text in texts]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.datetimes(
            min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29),  # noqa: DTZ001  # hypothesis wants naive bounds
            timezones=st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
        )
    ),
    st.sampled_from("T "),
)  # fmt: skip
def test_timestamps_agree_with_python(moments: list[datetime], separator: str) -> None:
    texts = [moment.isoformat(separator) for moment in moments]
    expected = [moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments]
    assert from_text(texts, "timestamp").to_pylist() == expected
