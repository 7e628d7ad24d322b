from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform_tests.parquet.support import collect, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

S, L, D, B = "string", "long", "double", "boolean"
ALL = {"s": S, "l": L, "d": D, "b": B, "day": "date", "at": "timestamp"}
MIB = 1 << 20


def test_every_type_is_read() -> None:
    data = (
        b'{"s": "x", "l": 1, "d": 1.5, "b": true, "day": "2024-02-29", "at": "2024-02-29 01:00:00+01:00"}\n'
        b'{"at": null, "l": null, "s": ""}\n{}\n'
    )
    rows, rejected, extra = collect(data, "jsonl", ALL)
    assert (rejected, extra) == ([], set())
    assert rows == [
        {"s": "x", "l": 1, "d": 1.5, "b": True, "day": date(2024, 2, 29), "at": datetime(2024, 2, 29, tzinfo=UTC)},
        {**dict.fromkeys(ALL), "s": ""},
        dict.fromkeys(ALL),
    ]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n \t\r\n"])
@pytest.mark.parametrize("final", [True, False])
def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(bom: bytes, end: bytes, final: bool) -> None:
    data = bom + b'{"l": 1}' + end + b' {"l": 2} ' + (end if final else b"")
    for size in (1, 3, 100):
        assert collect(cut(data, size), "jsonl", {"l": L}) == ([{"l": 1}, {"l": 2}], [], set())


def test_an_empty_file_has_no_rows() -> None:
    assert collect(b"", "jsonl", ALL) == ([], [], set())
    assert collect(b"\n\n", "jsonl", ALL) == ([], [], set())


def test_extra_keys_are_reported() -> None:
    rows, _, extra = collect(b'{"l": 1, "more": [1, {"deep": 2}]}\n{"other": 1}\n', "jsonl", {"l": L})
    assert rows == [{"l": 1}, {"l": None}]
    assert extra == {"more", "other"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"l": 1', "not valid JSON: Expecting ',' delimiter at character 8"),
        (b"nonsense", "not valid JSON"),
        (b'{"l": 1} {"l": 2}', "not valid JSON: Extra data"),
        (b'{"l": NaN}', "NaN is no JSON number"),
        (b'{"d": -Infinity}', "-Infinity is no JSON number"),
        (b'{"x": Infinity}', "Infinity is no JSON number"),
        (b"[1, 2]", "no JSON object but an array"),
        (b'"text"', "no JSON object but a string"),
        (b"5", "no JSON object but a number"),
        (b"null", "no JSON object but null"),
        (b'{"l": "\xff"}', "not valid UTF-8"),
        (b'{"l": 1, "l": 2}', "the key 'l' twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"l": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"l": "5"}', "column 'l': '5' is not a long"),
        (b'{"l": 1.5}', "column 'l': 1.5 is not a long"),
        (b'{"l": 9223372036854775808}', "column 'l': 9223372036854775808 is not a long"),
        (b'{"l": 9007199254740993.0}', "column 'l': 9007199254740992.0 is not a long"),
        (b'{"l": true}', "column 'l': True is not a long"),
        (b'{"l": [1]}', "column 'l': [1] is not a long"),
        (b'{"d": "1.5"}', "column 'd': '1.5' is not a double"),
        (b'{"d": 1e999}', "column 'd': inf is not a double"),
        (b'{"d": true}', "column 'd': True is not a double"),
        (b'{"b": 1}', "column 'b': 1 is not a boolean"),
        (b'{"b": "true"}', "column 'b': 'true' is not a boolean"),
        (b'{"s": 5}', "column 's': 5 is not a string"),
        (b'{"s": {"a": 1}}', "column 's': {'a': 1} is not a string"),
        (b'{"s": "\\ud800"}', "column 's': '\\ud800' is not a string of valid Unicode"),
        (b'{"day": "2024-13-01"}', "column 'day': '2024-13-01' is not a date"),
        (b'{"day": ""}', "column 'day': '' is not a date"),
        (b'{"day": 20240101}', "column 'day': 20240101 is not a date"),
        (b'{"at": 1700000000}', "column 'at': 1700000000 is not a timestamp"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_bad_line_is_rejected_with_its_reason_and_its_neighbours_survive(line: bytes, reason: str) -> None:
    rows, rejected, _ = collect(b'{"l": 1}\n\n' + line + b'\r\n{"l": 2}\n', "jsonl", ALL)
    assert [row["l"] for row in rows] == [1, 2]
    assert [row.line for row in rejected] == [3]
    assert reason in rejected[0].reason
    assert rejected[0].text == line.decode("utf-8", "replace")[:4096]


def test_numbers_keep_their_precision() -> None:
    rows, rejected, _ = collect(
        b'{"l": 9223372036854775807, "d": 0.1}\n{"l": -9223372036854775808, "d": 1}\n{"l": 5.0, "d": 1e2}\n'
        b'{"l": 1e3, "d": 100000000000000000000}\n',
        "jsonl",
        {"l": L, "d": D},
    )
    assert rejected == []
    assert [(row["l"], row["d"]) for row in rows] == [(2**63 - 1, 0.1), (-(2**63), 1.0), (5, 100.0), (1000, 1e20)]


def test_a_key_with_a_lone_surrogate_can_still_be_named() -> None:
    _, rejected, extra = collect(b'{"l": 1, "\\ud800": 2}\n', "jsonl", {"l": L})
    assert rejected == []
    assert extra == {"?"}


def test_a_line_that_is_too_long_is_rejected_without_being_held() -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"l": 1}\n{"l": "'
        for _ in range(300):
            yield b"x" * MIB
        yield b'"}\n{"l": 3}\n'

    rows, [row], _ = collect(chunks(), "jsonl", {"l": L}, max_line_bytes=MIB)
    assert [row["l"] for row in rows] == [1, 3]
    assert row.line == 2
    assert row.text.startswith('{"l": "xxx')
    assert "longer than" in row.reason


def test_many_rows_come_in_bounded_batches_and_in_order() -> None:
    data = b"".join(b'{"l": %d}\n' % i for i in range(150_000))
    rows, rejected, _ = collect(cut(data, 100_003), "jsonl", {"l": L})
    assert [row["l"] for row in rows] == list(range(150_000))
    assert rejected == []


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)
OBJECTS = st.dictionaries(st.sampled_from(["s", "l", "d", "b", "extra"]), VALUES)


def fits(value: object, column_type: str) -> bool:
    if value is None:
        return True
    if column_type is L:
        return (type(value) is int and -(2**63) <= value < 2**63) or (
            type(value) is float and value.is_integer() and abs(value) < 2**53
        )
    if column_type is D:
        return type(value) in (int, float)
    return type(value) is {S: str, B: bool}[column_type]


@settings(max_examples=80, deadline=None)
@given(objects=st.lists(OBJECTS, max_size=10), size=st.integers(1, 60))
def test_rows_and_rejected_rows_are_the_records(objects: list[dict[str, object]], size: int) -> None:
    columns = {"s": S, "l": L, "d": D, "b": B}
    texts = [json.dumps(value) for value in objects]
    good = [
        value
        for value, text in zip(objects, texts, strict=True)
        if "NaN" not in text
        and "Infinity" not in text
        and all(fits(value.get(name), column_type) for name, column_type in columns.items())
    ]
    rows, rejected, _ = collect(cut("\n".join(texts).encode(), size), "jsonl", columns)
    assert rows == [{name: value.get(name) for name in columns} for value in good]
    assert len(rows) + len(rejected) == len(objects)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 8), garbage=st.binary(min_size=1, max_size=12), data=st.data())
def test_a_garbage_line_anywhere_changes_nothing_else(count: int, garbage: bytes, data: st.DataObject) -> None:
    line = b"?" + garbage.replace(b"\n", b"")
    records = [b'{"l": %d, "s": "\xc3\xa4"}' % index for index in range(count)]
    position = data.draw(st.integers(0, count))
    whole = b"\n".join([*records[:position], line, *records[position:]])
    rows, rejected, _ = collect(whole, "jsonl", ALL)
    assert [(row["l"], row["s"]) for row in rows] == [(index, "\u00e4") for index in range(count)]
    assert [row.line for row in rejected] == [position + 1]
