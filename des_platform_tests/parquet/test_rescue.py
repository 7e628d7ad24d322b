"""CSV with rescue, the types that text may have beside the plain ones, and streams that break."""

from __future__ import annotations

import json
from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.parquet import BrokenStream
from des_platform_tests.parquet.support import collect

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_value_that_does_not_fit_is_rescued_and_its_row_kept() -> None:
    data = b'id,name,more\n1,a,\n1.7,b,"x""y"\n,c,z\n2\n'
    rows, [rejected], extra = collect(data, "csv", {"id": "long", "name": "string"}, misfits="rescue")
    assert rows == [
        {"id": 1, "name": "a", "_rescued": None},
        {"id": None, "name": "b", "_rescued": '{"id": "1.7", "more": "x\\"y"}'},
        {"id": None, "name": "c", "_rescued": '{"more": "z"}'},
    ]
    assert (rejected.line, extra) == (5, {"more"})


def test_names_in_the_rescue_column_are_escaped() -> None:
    [row], _, _ = collect(b'id,"a""b\\"\n1,2\n', "csv", {"id": "long"}, misfits="rescue")
    assert json.loads(row["_rescued"]) == {'a"b\\': "2"}


def test_the_rescue_column_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="'_rescued' is the reader's own"):
        collect(b"", "csv", {"_rescued": "string"})


def test_names_are_found_whatever_their_case_and_signs() -> None:
    data = "ID,Trade Price ($),Gr\u00f6\u00dfe\n1,2,3\n".encode()
    rows, _, extra = collect(data, "csv", {"id": "long", "Trade_Price": "double", "Groe": "long"})
    assert (rows, extra) == ([{"id": 1, "Trade_Price": 2.0, "Groe": 3}], set())


def test_names_that_stand_for_one_column_make_a_header_unusable() -> None:
    rows, [rejected], _ = collect(b"a b,a-b\n1,2\n", "csv", {"a_b": "long"})
    assert rows == []
    assert "'a b' and 'a-b' both stand for column 'a_b'" in rejected.reason


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("2147483647", "int", 2**31 - 1),
        ("0.1", "float", 0.10000000149011612),
        ("12:30", "time", time(12, 30)),
        ("23:59:59.999999000", "time", time(23, 59, 59, 999_999)),
        ("2024-01-01 10:00", "timestamp_ntz", datetime(2024, 1, 1, 10)),  # noqa: DTZ001
        ("0001-01-01", "timestamp_ntz", datetime(1, 1, 1)),  # noqa: DTZ001
        ("YWI=", "binary", b"ab"),
        ('"{""a"": [1.0]}"', "json", '{"a": [1.0]}'),
        ("1.5", "decimal(3,2)", Decimal("1.50")),
        ("-.5", "decimal(3,2)", Decimal("-0.50")),
        ("+007.500", "decimal(3,2)", Decimal("7.50")),
        ("0", "decimal(2,2)", Decimal(0)),
        ("12.", "decimal(3,0)", Decimal(12)),
        ("9" * 38, "decimal(38,0)", Decimal("9" * 38)),
    ],
)
def test_text_of_the_further_types(text: str, kind: str, expected: object) -> None:
    assert collect(f"a\n{text}\n".encode(), "csv", {"a": kind}) == ([{"a": expected}], [], set())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2147483648", "int"),
        ("1.7", "int"),
        ("1e39", "float"),
        ("24:00", "time"),
        ("12:30:00.0000001", "time"),
        ("2024-01-01T00:00:00Z", "timestamp_ntz"),
        ("2024-01-01T00:00:00.1234567Z", "timestamp"),
        ("2024-02-30", "timestamp_ntz"),
        ("YWI", "binary"),
        ("{broken", "json"),
        ('"{""a"":1,""a"":2}"', "json"),
        ("NaN", "json"),
        ("1.005", "decimal(3,2)"),
        ("12", "decimal(3,2)"),
        (".", "decimal(3,2)"),
        ("-", "decimal(3,2)"),
        ("1e2", "decimal(5,0)"),
    ],
)
def test_text_that_is_none_of_the_further_types(text: str, kind: str) -> None:
    rows, [rejected], _ = collect(f"a\n{text}\n".encode(), "csv", {"a": kind})
    assert rows == []
    assert f" {kind}" in rejected.reason


@pytest.mark.parametrize("kind", ["decimal(39,0)", "decimal(2,3)", "decimal", "varchar", "LONG"])
def test_a_type_that_there_is_not_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=kind.replace("(", r"\(").replace(")", r"\)")):
        collect(b"", "csv", {"a": kind})


def broken(data: bytes) -> Iterator[bytes]:
    yield data
    raise BrokenStream("bytes 7 to 9 are gone")


@pytest.mark.parametrize(
    ("file_format", "data", "line"),
    [
        ("csv", b"a\n1\n2\n34", 4),
        ("csv", b"a\n1\n2\n", 4),
        ("jsonl", b'{"a": 1}\n{"a": 2}\n{"a": 34', 3),
        ("json", b'[{"a": 1}, {"a": 2}, {"a": 34', 3),
        ("json", b'[{"a": 1}, {"a": 2}', 3),
    ],
)
def test_the_record_in_which_a_stream_breaks_is_no_row(file_format: Any, data: bytes, line: int) -> None:
    rows, [rejected], _ = collect(broken(data), file_format, {"a": "long"})
    assert rows == [{"a": 1}, {"a": 2}]
    assert rejected.line == line
    assert "damaged from here on" in rejected.reason
    assert "bytes 7 to 9 are gone" in rejected.reason


def test_a_stream_that_breaks_in_the_header_rejects_the_file() -> None:
    rows, [rejected], _ = collect(broken(b"a,b"), "csv", {"a": "long"})
    assert rows == []
    assert "bytes 7 to 9 are gone" in rejected.reason


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_utf_16_is_named(file_format: Any) -> None:
    data = "a\n1\n".encode("utf-16") if file_format == "csv" else '{"a": 1}\n'.encode("utf-16")
    rows, rejected, _ = collect(data, file_format, {"a": "long"})
    assert rows == []
    assert "UTF-16" in rejected[0].reason


def test_latin_1_within_utf_8_costs_its_line() -> None:
    rows, rejected, _ = collect("a,b\n1,\u00e4\n".encode() + b"2,\xe4\n3,c\n", "csv", {"a": "long", "b": "string"})
    assert [row["a"] for row in rows] == [1, 3]
    assert [row.line for row in rejected] == [3]
