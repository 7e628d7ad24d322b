from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from des_platform.defs.reporting import Stopwatch, bars, numbers, stopwatch, table

HOSTILE = [
    "a|b",
    "a\\|b",
    "ends in a backslash\\",
    "<script>alert(1)</script>",
    "&lt;b&gt;",
    "![x](http://evil.example/pixel.png)",
    "[click](http://evil.example)",
    "<http://evil.example>",
    "`code` **bold** _it_ ~~gone~~",
    "two\nlines",
    "two\r\nlines\rthree",
    "line\u2028separator",
]


def cells(markdown: str | None) -> list[list[str]]:
    """The cells of a rendered table; fails where anything but text would be rendered."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown or ""):
        assert token.type.startswith(("table_", "thead_", "tbody_", "tr_", "th_", "td_")) or token.type == "inline"
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline":
            assert {child.type for child in token.children or []} <= {"text"}
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_shown_as_text_in_one_cell(name: str) -> None:
    shown = table(["file", "reason"], [[name, "why"]]).md_str

    assert cells(shown) == [["file", "reason"], [" ".join(name.split()), "why"]]


@given(st.lists(st.lists(st.text(max_size=60), min_size=2, max_size=2), min_size=1, max_size=3))
def test_any_text_keeps_the_shape_of_the_table(rows: list[list[str]]) -> None:
    shown = cells(table(["a", "b"], rows).md_str)

    assert [len(row) for row in shown] == [2] * (len(rows) + 1)


def test_hostile_label_of_a_bar_is_shown_as_text() -> None:
    assert cells(bars("kind", "files", {".<b>|": 3}).md_str)[1][:2] == [".<b>|", "3"]


def test_long_text_is_cut_without_breaking_the_row() -> None:
    (_, row) = cells(table(["file", "size"], [["a" * 199 + "||||", 1]]).md_str)

    assert row == ["a" * 199 + "|", "1"]


def test_longest_bar_belongs_to_the_largest_value_and_zero_has_none() -> None:
    shown = cells(bars("kind", "files", {"many": 1000, "half": 500, "none": 0}).md_str)[1:]

    assert [row[1] for row in shown] == ["1,000", "500", "0"]
    assert len(shown[0][2]) == 2 * len(shown[1][2]) > 0 == len(shown[2][2])


def test_bars_of_nothing_are_a_table_without_rows() -> None:
    assert cells(bars("kind", "files", {}).md_str) == [["kind", "files", ""]]


def test_numbers_of_an_empty_partition_divide_by_nothing() -> None:
    assert numbers(files=0, bytes_in=0, bytes_out=0, watch=Stopwatch()) == {
        "files": 0,
        "bytes_in": 0,
        "bytes_out": 0,
        "compression_ratio": 1.0,
        "duration_s": 0.0,
        "throughput_mb_s": 0.0,
    }


def test_throughput_is_megabytes_of_input_a_second() -> None:
    watch = Stopwatch()
    watch.seconds = 2.0

    shown = numbers(files=1, bytes_in=8_000_000, bytes_out=2_000_000, watch=watch)

    assert (shown["compression_ratio"], shown["throughput_mb_s"]) == (4.0, 4.0)


def test_stopwatch_measures_its_body() -> None:
    with stopwatch() as watch:
        sum(range(1000))

    assert watch.seconds > 0
