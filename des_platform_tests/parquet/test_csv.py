from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.parquet import read_rows
from des_platform.parquet.csv_records import LOOK_AHEAD_CHARACTERS, LOOK_AHEAD_LINES
from des_platform_tests.parquet.support import collect, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

S, L, D, B = "string", "long", "double", "boolean"
PAIR = {"id": L, "name": S}
MIB = 1 << 20


def names(data: bytes) -> list[object]:
    rows, rejected, _ = collect(b"id,name\n" + data, "csv", PAIR)
    assert rejected == []
    return [row["name"] for row in rows]


def test_every_type_is_read() -> None:
    columns = {"s": S, "l": L, "d": D, "b": B, "day": "date", "at": "timestamp"}
    data = b"s,l,d,b,day,at\nx,1,1.5,true,2024-02-29,2024-02-29T01:00:00+01:00\n,,,,,\n"
    rows, rejected, extra = collect(data, "csv", columns)
    assert (rejected, extra) == ([], set())
    assert rows == [
        {"s": "x", "l": 1, "d": 1.5, "b": True, "day": date(2024, 2, 29), "at": datetime(2024, 2, 29, tzinfo=UTC)},
        dict.fromkeys(columns),
    ]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("final", [True, False])
def test_byte_order_mark_and_line_ends_do_not_matter(bom: bytes, end: bytes, final: bool) -> None:
    data = bom + end.join([b"id,name", b"1,one", b'2,"two"']) + (end if final else b"")
    for size in (1, 3, 100):
        rows, rejected, extra = collect(cut(data, size), "csv", PAIR)
        assert rows == [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
        assert (rejected, extra) == ([], set())


def test_columns_are_found_by_name() -> None:
    rows, _, extra = collect(b"z,name,y,id\n1,a,2,3\n", "csv", {"id": L, "name": S, "missing": D})
    assert rows == [{"id": 3, "name": "a", "missing": None}]
    assert extra == {"y", "z"}


def test_extra_columns_of_a_file_without_rows_are_known() -> None:
    assert collect(b"id,name,more", "csv", PAIR) == ([], [], {"more"})


def test_quoted_fields_hold_anything() -> None:
    assert names(b'1,"a,b"\n2,"say ""hi"""\n3,"two\nlines"\n4,"crlf\r\nstays"\r\n5,"\n"\n6,"""\n,"""\n') == [
        "a,b",
        'say "hi"',
        "two\nlines",
        "crlf\r\nstays",
        "\n",
        '"\n,"',
    ]


def test_a_quote_inside_an_unquoted_field_is_a_character() -> None:
    assert names(b'1,5" pipe\n2,a""b\n') == ['5" pipe', 'a""b']


@pytest.mark.parametrize("other", [b"2,x\n", b'2,"x"\n'])
def test_an_empty_field_is_null_and_a_quoted_one_an_empty_string(other: bytes) -> None:
    assert names(b"1,\n" + other) == [None, "x"]
    assert names(b'1,""\n' + other) == ["", "x"]


def test_a_quoted_empty_number_is_null() -> None:
    assert collect(b'id,name\n"",x\n', "csv", PAIR)[0] == [{"id": None, "name": "x"}]


@pytest.mark.parametrize("quote", [b"", b'9,"q"\n'])
def test_empty_lines_are_no_records_and_count_as_lines(quote: bytes) -> None:
    rows, rejected, _ = collect(b"\nid,name\n\n1,a\r\n\r\nx,b\n\n" + quote, "csv", PAIR)
    assert rows[0] == {"id": 1, "name": "a"}
    assert [(row.line, row.text) for row in rejected] == [(6, "x,b")]


@pytest.mark.parametrize("quote", [b"", b'9,"q"\n'])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1.7,a", "column 'id': '1.7' is not a long"),
        (b"1", "has 1 fields, the header has 2"),
        (b"1,a,b", "has 3 fields, the header has 2"),
        (b"1,a,,,,", "has 6 fields, the header has 2"),
        (b"1,\xff\xfe", "not valid UTF-8"),
        (b'1,"a', "a quote opens"),
        (b'1,"a"b', "after a closing quote"),
    ],
)
def test_a_bad_line_is_rejected_with_its_reason_and_its_neighbours_survive(
    line: bytes, reason: str, quote: bytes
) -> None:
    rows, rejected, _ = collect(b"id,name\n1,a\n" + line + b"\n2,b\n" + quote, "csv", PAIR)
    assert rows[:2] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert [row.line for row in rejected] == [3]
    assert reason in rejected[0].reason
    assert rejected[0].text == line.decode("utf-8", "replace")


def test_every_bad_value_of_a_row_is_named() -> None:
    columns = {"d": D, "b": B, "day": "date", "at": "timestamp"}
    _, [row], _ = collect(b"d,b,day,at\nabc,maybe,2024-13-01,noon\n", "csv", columns)
    for part in ("'d': 'abc' is not a double", "'b': 'maybe' is", "'day': '2024-13-01' is", "'at': 'noon' is"):
        assert part in row.reason


def test_a_long_bad_value_is_cut() -> None:
    _, [row], _ = collect(b"id,name\n" + b"x" * 100_000 + b",a\n", "csv", PAIR)
    assert len(row.text) == 4096
    assert len(row.reason) < 300


def test_a_bad_value_in_a_record_of_several_lines_is_one_rejected_row_at_its_start() -> None:
    rows, rejected, _ = collect(b'id,name\n1,a\nx,"b\nc"\n2,d\n', "csv", PAIR)
    assert [row["id"] for row in rows] == [1, 2]
    assert [(row.line, row.text) for row in rejected] == [(3, 'x,"b\nc"')]


def test_invalid_utf8_in_a_record_of_several_lines_is_one_rejected_row() -> None:
    rows, rejected, _ = collect(b'id,name\n1,a\n2,"b\n\xff"\n3,"\xc3\xa4"\n', "csv", PAIR)
    assert [row["name"] for row in rows] == ["a", "\u00e4"]
    assert [(row.line, row.text) for row in rejected] == [(3, '2,"b\n\ufffd"')]


def test_a_stray_quote_costs_one_line_even_before_quoted_lines() -> None:
    data = b'id,name\n1,"a\n2,"b"\n3,"c, d"\n4,e\n5,"f\ng"\n'
    rows, rejected, _ = collect(data, "csv", PAIR)
    assert [row["name"] for row in rows] == ["b", "c, d", "e", "f\ng"]
    assert [(row.line, row.text) for row in rejected] == [(2, '1,"a')]


@pytest.mark.parametrize("count", [5, LOOK_AHEAD_LINES + 5, 20_000, 200_000])
def test_an_unclosed_quote_costs_one_line_however_much_follows(count: int) -> None:
    data = b'id,name\n0,"open\n' + b"".join(b"%d,x\n" % i for i in range(count))
    rows, rejected, _ = collect(cut(data, 1 << 16), "csv", PAIR)
    assert [row["id"] for row in rows] == list(range(count))
    assert [row.line for row in rejected] == [2]


def test_a_quoted_field_reaches_as_far_as_the_look_ahead() -> None:
    lines = "\n" * LOOK_AHEAD_LINES
    text = ("y" * 60 + "\n") * 1000
    assert len(text) < LOOK_AHEAD_CHARACTERS
    data = f'1,"{lines}"\n2,"{text}"\n'.encode()
    assert names(data) == [lines, text]
    _, rejected, _ = collect(f'id,name\n1,"{lines}\n"\n'.encode(), "csv", PAIR)
    assert rejected[0].line == 2
    _, rejected, _ = collect(
        f'id,name\n1,"{"z" * LOOK_AHEAD_CHARACTERS}\n{"z" * LOOK_AHEAD_CHARACTERS}"\n'.encode(), "csv", PAIR
    )
    assert rejected[0].line == 2


def test_records_of_several_lines_survive_block_and_batch_borders() -> None:
    record = b'%d,"first\nsecond, ""quoted""\n\nlast"\n'
    data = b"id,name\n" + b"".join(record % i for i in range(60_000))
    assert len(data) > 2 * MIB
    batches = list(read_rows(cut(data, 99_991), "csv", PAIR))
    assert sum(len(batch.rejected) for batch in batches) == 0
    assert [i for batch in batches for i in batch.rows["id"].to_pylist()] == list(range(60_000))
    assert {name for batch in batches for name in batch.rows["name"].to_pylist()} == {'first\nsecond, "quoted"\n\nlast'}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"a,b\n1,2\n", "none of the declared columns (id, name)"),
        (b"1,2\n3,4\n", "none of the declared columns"),
        (b"\xff\xfei\x00d\x00\n\x00", "UTF-8"),
        (b'id,"name\n1,2\n', "a quote opens"),
        (b"id,name,id\n1,2,3\n", "'id' twice"),
    ],
)
def test_a_file_without_a_usable_header_is_one_rejected_row(data: bytes, reason: str) -> None:
    rows, [row], _ = collect(data, "csv", PAIR)
    assert rows == []
    assert row.line == 1
    assert row.reason.startswith("the whole file is rejected, its header is unusable")
    assert reason in row.reason


def test_a_rejected_file_is_not_read_to_its_end() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a,b\n" + b"1,2\n" * MIB
        raise AssertionError("read on")

    rows, [row], _ = collect(chunks(), "csv", PAIR)
    assert (rows, row.text) == ([], "a,b")


def test_a_quoted_header_may_span_lines() -> None:
    rows, _, extra = collect(b'"id","name","a\nb"\n1,"x",2\n', "csv", PAIR)
    assert (rows, extra) == ([{"id": 1, "name": "x"}], {"a\nb"})


def test_a_line_that_is_too_long_is_rejected_and_its_neighbours_survive() -> None:
    data = b"id,name\n1,a\n2," + b"x" * 300 + b'\n3,b\n4,"open\n5,' + b"y" * 300 + b"\n6,c\n"
    for size in (1, 7, 64, 1000):
        rows, rejected, _ = collect(cut(data, size), "csv", PAIR, max_line_bytes=64)
        assert [row["id"] for row in rows] == [1, 3, 6]
        assert [row.line for row in rejected] == [3, 5, 6]
        assert "longer than 64 bytes" in rejected[0].reason
        assert rejected[0].text.startswith("2,xxx")
        assert rejected[1].text == '4,"open'


def test_a_line_of_exactly_the_limit_is_read() -> None:
    data = b"id,name\n1," + b"x" * 62 + b"\n2," + b"x" * 63 + b"\n3," + b"x" * 62
    rows, rejected, _ = collect(data, "csv", PAIR, max_line_bytes=64)
    assert [row["id"] for row in rows] == [1, 3]
    assert [row.line for row in rejected] == [3]


def test_a_header_that_is_too_long_rejects_the_file() -> None:
    rows, [row], _ = collect(b"id,name," + b"x" * 100 + b"\n1,a,b\n", "csv", PAIR, max_line_bytes=64)
    assert (rows, row.line) == ([], 1)
    assert "longer than 64 bytes" in row.reason


def test_an_endless_line_is_not_held() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"id,name\n1,a\n2,"
        for _ in range(300):
            yield bytes(MIB)
        yield b"\n3,b\n"

    rows, rejected, _ = collect(chunks(), "csv", PAIR, max_line_bytes=2 * MIB)
    assert [row["id"] for row in rows] == [1, 3]
    assert [row.line for row in rejected] == [3]


def test_batches_come_while_the_file_is_still_being_read() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        yield b"id,name\n"
        for _ in range(100):
            taken += 1
            yield b"1,x\n" * (MIB // 4)

    batches = read_rows(chunks(), "csv", PAIR)
    first = next(batches)
    assert first.rows.num_rows == 16_384
    assert taken <= 2


def test_a_single_column_is_read() -> None:
    rows, rejected, _ = collect(b'name\na\n\n""\nb,c\n', "csv", {"name": S})
    assert rows == [{"name": "a"}, {"name": ""}]
    assert [row.line for row in rejected] == [5]


def test_arguments_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match=r"'xml'.*csv, json, jsonl"):
        read_rows([], "xml", PAIR)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no columns"):
        read_rows([], "csv", {})
    with pytest.raises(ValueError, match="max_line_bytes is 3"):
        read_rows([], "csv", PAIR, max_line_bytes=3)


FIELDS = st.text(st.sampled_from('ab,"\n\r 1\u00e4'), max_size=6)


@settings(max_examples=60, deadline=None)
@given(records=st.lists(st.tuples(st.integers(), FIELDS), max_size=12), size=st.integers(1, 40))
def test_whatever_the_csv_module_writes_is_read(records: list[tuple[int, str]], size: int) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("id", "name"), *records])
    rows, rejected, _ = collect(cut(buffer.getvalue().encode(), size), "csv", PAIR)
    fitting = [(number, name) for number, name in records if -(2**63) <= number < 2**63]
    assert [(row["id"], row["name"]) for row in rows] == fitting
    assert len(rows) + len(rejected) == len(records)


# A field that begins with a line end, or is made of a comma, can be read inside out: see csv_records.
NEIGHBOUR = st.one_of(
    st.text("abc \u00e4", max_size=5),
    st.builds(
        lambda start, rest: f'"{start}{rest}"', st.sampled_from("abc "), st.sampled_from(["", ",b", '""c', "\nd,e"])
    ),
)
GARBAGE = st.one_of(
    st.sampled_from([b'"', b'1,"', b'"x', b'1,"a"b', b"1,2,3", b"x,y", b"1"]),
    st.sampled_from([b"\xff,\xff", b'1,"\xff', b'"""', b'1,2,"', b"1\x00,2"]),
    st.binary(min_size=1, max_size=10).map(lambda data: b"?" + data.replace(b"\n", b"").replace(b"\r", b"") + b"?"),
)


@settings(max_examples=200, deadline=None)
@given(fields=st.lists(NEIGHBOUR, max_size=12), garbage=GARBAGE, data=st.data())
def test_a_garbage_line_anywhere_changes_nothing_else(fields: list[str], garbage: bytes, data: st.DataObject) -> None:
    records = [f"{index},{field}\n".encode() for index, field in enumerate(fields)]
    before, nothing, _ = collect(b"id,name\n" + b"".join(records), "csv", PAIR)
    assert (len(before), nothing) == (len(fields), [])
    position = data.draw(st.integers(0, len(records)))
    whole = b"".join([*records[:position], garbage, b"\n", *records[position:]])
    rows, rejected, _ = collect(b"id,name\n" + whole, "csv", PAIR)
    assert rows == before
    assert [row.line for row in rejected] == [2 + b"".join(records[:position]).count(b"\n")]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), size=st.integers(1, 50))
def test_lines_without_quotes_are_rows_or_rejected(data: bytes, size: int) -> None:
    lines = [line.removesuffix(b"\r") for line in data.replace(b'"', b"").split(b"\n")]
    rows, rejected, _ = collect(cut(b"id,name\n" + b"\n".join(lines), size), "csv", PAIR)
    assert len(rows) + len(rejected) == sum(1 for line in lines if line.removesuffix(b"\r"))


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from('a1,"\n\r'), max_size=60), size=st.integers(1, 50))
def test_chunks_do_not_matter(text: str, size: int) -> None:
    data = b"id,name\n" + text.encode()
    assert collect(cut(data, size), "csv", PAIR, 40) == collect(data, "csv", PAIR, 40)


def test_each_row_knows_the_line_it_starts_at() -> None:
    content = b'id,note\n1,a\nbroken,b\n3,"two\nlines"\n4,d\n'

    batches = list(read_rows([content], "csv", {"id": "long", "note": "string"}))

    found = [
        pair for batch in batches for pair in zip(batch.rows["id"].to_pylist(), batch.lines.to_pylist(), strict=True)
    ]
    assert found == [(1, 2), (3, 4), (4, 6)]
