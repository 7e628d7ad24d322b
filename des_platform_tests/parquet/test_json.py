"""JSON documents, and what JSON lines share with them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.parquet import read_rows
from des_platform_tests.parquet.support import collect, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "data",
    [b'[{"a": 1}, {"a": 2}]', b'\xef\xbb\xbf [\n{"a":1},\r\n {"a":2}\n]\n', b'{"a":1}{"a":2}', b'{"a":1}\n{"a":2}\n'],
)
def test_arrays_and_objects_one_after_the_other_are_read(data: bytes, size: int) -> None:
    assert collect(cut(data, size), "json", {"a": "long"}) == ([{"a": 1}, {"a": 2}], [], set())


def test_a_single_object_is_a_row() -> None:
    assert collect(b'{"a": 1, "b": [2]}', "json", {"a": "long"}) == ([{"a": 1}], [], {"b"})


def test_an_empty_array_has_no_rows() -> None:
    assert collect(b" [ ] ", "json", {"a": "long"}) == ([], [], set())


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (b'{"a": bad}', "not valid JSON"),
        (b'{"a": 1 "b": 2}', "not valid JSON"),
        (b'{"a": [}', "not valid JSON"),
        (b'{"a": "stray}', "not valid JSON"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "more than 4300 digits"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b"7", "no JSON object but a number"),
        (b"[1, 2]", "no JSON object but an array"),
        (b"null", "no JSON object but null"),
        (b'{"a": 1.7}', "column 'a': 1.7 is not a long"),
        (b'{"a": {"deep": 1}}', "column 'a': {'deep': 1} is not a long"),
        (b'{"a": [1]}', "column 'a': [1] is not a long"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("size", [3, 100_000])
def test_a_bad_element_is_rejected_and_its_neighbours_survive(element: bytes, reason: str, size: int) -> None:
    data = b'[{"a": 1},\n' + element + b',\n{"a": 3}]'
    rows, [rejected], _ = collect(cut(data, size), "json", {"a": "long"})
    assert rows == [{"a": 1}, {"a": 3}]
    assert rejected.line == 2
    assert reason in rejected.reason
    assert element.decode("utf-8", "replace").startswith(rejected.text)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b'[{"a": 1}', "it was cut short"),
        (b'[{"a": 1},', "it was cut short"),
        (b'[{"a": 1},]', "a comma stands before the end"),
        (b'[{"a": 1}]]', "something follows the end"),
        (b'[{"a": 1} {"a": 2}]', "where a comma"),
        (b'[{"a": 1}, {"a": 2', "nothing closes it"),
        (b"\xff\xfe[\0", "UTF-16"),
        (b"a,b\n1,2\n", "no JSON document"),
    ],
)
def test_a_document_that_breaks_says_how(data: bytes, reason: str) -> None:
    rows, rejected, _ = collect(data, "json", {"a": "long"})
    assert rows in ([], [{"a": 1}])
    assert any(reason in row.reason for row in rejected)


def test_an_element_that_is_too_long_is_not_held() -> None:
    def chunks() -> Iterator[bytes]:
        yield b'[{"a": 1}, {"a": ["'
        for _ in range(100):
            yield b'x"], [{' + b"y" * MIB
        yield b'"]}, 5, {"a": 2}, {"a": 3}'

    rows, rejected, _ = collect(chunks(), "json", {"a": "long"}, max_line_bytes=2 * MIB)
    assert rows[0] == {"a": 1}
    assert rejected[0].line == 2
    assert len(rejected[0].text) <= 4096


def test_a_string_of_100_mib_is_passed_over() -> None:
    def chunks() -> Iterator[bytes]:
        yield b'[{"a": 1}, {"a": "'
        for _ in range(100):
            yield b"x,]}" * (MIB // 4)
        yield b'"}, {"a": 3}]'

    rows, [rejected], _ = collect(chunks(), "json", {"a": "long"}, max_line_bytes=2 * MIB)
    assert rows == [{"a": 1}, {"a": 3}]
    assert "longer than 2097152 bytes" in rejected.reason


def test_rows_come_while_the_document_is_still_being_read() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        yield b"["
        while True:
            taken += 1
            yield b'{"a": 1},' * 10_000

    batches = read_rows(chunks(), "json", {"a": "long"})
    assert next(batches).rows.num_rows == 16_384
    assert taken < 20


def test_nested_values_keep_their_digits_as_json() -> None:
    data = b'[{"a": {"x": [1.10, 1e400, 12345678901234567890], "y": "\\u00e4\\ud800"}}]'
    [row], _, _ = collect(data, "json", {"a": "json"})
    assert row["a"] == '{"x": [1.10, 1e400, 12345678901234567890], "y": "\\u00e4\\ud800"}'


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("1.10", "decimal(20,10)", Decimal("1.10")),
        ("12345678901.1234567890", "decimal(38,10)", Decimal("12345678901.1234567890")),
        ("1e3", "decimal(5,0)", Decimal(1000)),
        ("1.5E-2", "decimal(5,3)", Decimal("0.015")),
        ("7", "decimal(5,2)", Decimal(7)),
        ('"YWI="', "binary", b"ab"),
        ("7", "int", 7),
        ("1.5", "float", 1.5),
        ('"text"', "json", '"text"'),
        ("true", "json", "true"),
    ],
)
def test_values_of_the_further_types(text: str, kind: str, expected: object) -> None:
    for file_format in ("json", "jsonl"):
        assert collect(f'{{"a": {text}}}'.encode(), file_format, {"a": kind}) == ([{"a": expected}], [], set())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.25", "decimal(5,1)"),
        ("1e99999", "decimal(5,1)"),
        ('"1.5"', "decimal(5,1)"),
        ("true", "decimal(5,1)"),
        ("2147483648", "int"),
        ("1e39", "float"),
        ('"!"', "binary"),
        ('"24:00"', "time"),
        ('"2024-01-01T00:00:00Z"', "timestamp_ntz"),
    ],
)
def test_misfits_of_the_further_types(text: str, kind: str) -> None:
    rows, [rejected], _ = collect(f'{{"a": {text}}}'.encode(), "jsonl", {"a": kind})
    assert rows == []
    assert f" {kind}" in rejected.reason


@pytest.mark.parametrize("file_format", ["json", "jsonl"])
def test_rescue_keeps_the_row_and_what_did_not_fit(file_format: Any) -> None:
    data = b'{"a": 1.70, "b": "x", "more": {"k": [null]}, "none": null}\n{"a": 2, "b": "y"}\n{"a": [}\n'
    rows, rejected, extra = collect(data, file_format, {"a": "long", "b": "string"}, misfits="rescue")
    assert rows[:2] == [
        {"a": None, "b": "x", "_rescued": '{"a": 1.70, "more": {"k": [null]}}'},
        {"a": 2, "b": "y", "_rescued": None},
    ]
    assert len(rejected) == 1
    assert extra == {"more", "none"}


def test_a_key_that_is_no_column_name_stands_for_one() -> None:
    data = (
        b'{"trade price": 1}\n{"trade-price": 2}\n{"trade price": 3, "trade-price": 4}\n'
        b'{"trade_price": 5, "trade price": 6}\n'
    )
    rows, [rejected], _ = collect(data, "jsonl", {"trade_price": "long"})
    assert [row["trade_price"] for row in rows] == [1, 2, 5]
    assert "both stand for column 'trade_price'" in rejected.reason
    rows, _, _ = collect(data, "jsonl", {"trade_price": "long"}, misfits="rescue")
    assert rows[-1] == {"trade_price": 5, "_rescued": '{"trade price": 6}'}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(objects=st.lists(st.dictionaries(st.sampled_from(["a", "b"]), VALUES), max_size=6), size=st.integers(1, 40))
def test_whatever_json_writes_comes_back_from_a_json_column(objects: list[dict[str, Any]], size: int) -> None:
    for indent in (None, 1):
        rows, rejected, _ = collect(
            cut(json.dumps(objects, indent=indent).encode(), size), "json", {"a": "json", "b": "json"}
        )
        assert rejected == []
        found = [{name: json.loads(text) for name, text in row.items() if text is not None} for row in rows]
        assert found == [{name: value for name, value in one.items() if value is not None} for one in objects]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 6), garbage=st.binary(max_size=10), data=st.data(), size=st.integers(1, 30))
def test_damage_before_a_line_end_costs_what_is_on_that_line(
    count: int, garbage: bytes, data: st.DataObject, size: int
) -> None:
    line = b"?" + bytes(set(garbage) - set(b'"[]{},\n')) + b"?"
    records = [b'{"a": %d}' % index for index in range(count)]
    position = data.draw(st.integers(0, count))
    whole = b"[" + b",\n".join([*records[:position], line, *records[position:]]) + b"]"
    rows, rejected, _ = collect(cut(whole, size), "json", {"a": "long"})
    assert [row["a"] for row in rows] == list(range(count))
    assert [row.line for row in rejected] == [position + 1]
