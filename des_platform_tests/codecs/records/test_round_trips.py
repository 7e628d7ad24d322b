"""Whatever goes in comes back byte for byte, or is refused before a byte comes out."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from des_platform.codecs.records import encoding
from des_platform_tests.bench import corpora as corpora_module
from des_platform_tests.bench.corpora import corpora
from des_platform_tests.codecs.records.support import json_lines, round_trip, trades

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ODD_LINES = (
    b"",
    b" ",
    b"\xff\xfe\x00",
    b"\x00",
    b"{}",
    b"[]",
    b"null",
    b'{"a"',
    b'{"a": }',
    b'{"a": 1,}',
    b'{"id": 1, "id": 2}',
    b'{"id":10000}',
    b'{"id": "\\"", "at": "\\\\"}',
    b'{"id": "' + b"x" * 5000 + b'"}',
    b"\xef\xbb\xbf" + b'{"id": 1}',
    b'"unclosed',
    b'a,b,"c\nd",e',
    b"2026-13-45 25:61:61,000 INFO x=1",
    b"9" * 40,
)
_NUMBERS = (b"0", b"-0", b"-0.0", b"1.0", b"1", b"01", b"1e5", b"1E-5", b"1.50", b".5", b"5.", b"-", b"NaN", b"+1", b"")
_LONG_NUMBERS = (b"9223372036854775807", b"9223372036854775808", b"123456789012345678", b"-999999999999999999.5")
_VALUES = (
    *_NUMBERS,
    *_LONG_NUMBERS,
    b"true",
    b"null",
    b'"x"',
    b'"\\u00e9"',
    '"é"'.encode(),
    b'"',
    b"[1,[2]]",
    b'{"x":{}}',
)

_MADE = ("stock_market.jsonl", "weather.jsonl", "stock_market.csv", "application.log", "stock_market.log")

_settings = settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)


@pytest.fixture(autouse=True, scope="module")
def every_file_is_worth_it() -> Iterator[None]:
    """Small files become Parquet, too, however large that is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "WORTH", 1e9)
        yield


@given(
    lines=st.lists(st.sampled_from(_ODD_LINES), max_size=12),
    ends=st.sampled_from((b"\n", b"\r\n", b"\r")),
    seed=st.integers(0, 999),
)
@_settings
def test_odd_lines_between_records_come_back(lines: list[bytes], ends: bytes, seed: int) -> None:
    records = json_lines(60, seed).split(b"\n")
    draw = random.Random(seed)  # noqa: S311 - the same each time
    for line in lines:
        records.insert(draw.randint(0, len(records)), line)
    data = ends.join(records)
    assert round_trip(data, piece=997) in {data, None}


@given(data=st.data(), separator=st.sampled_from((b",", b";", b"\t", b"|")), header=st.booleans())
@_settings
def test_odd_values_in_csv_come_back(data: st.DataObject, separator: bytes, header: bool) -> None:
    cell = st.one_of(st.sampled_from(_VALUES), st.binary(max_size=6))
    rows = data.draw(st.lists(st.lists(cell, min_size=3, max_size=3), min_size=1, max_size=30))
    usual = [[b"%d" % number, b"%.2f" % (number / 7), b"name%d" % (number % 5)] for number in range(200)]
    lines = [separator.join(row) for row in usual[:100] + rows + usual[100:]]
    text = b"\n".join([separator.join((b"id", b"price", b"name"))] * header + lines)
    assert round_trip(text) in {text, None}


@given(data=st.data())
@_settings
def test_odd_values_in_json_come_back(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(("number", "decimal", "text", "any")), min_size=1, max_size=5))
    simple = {"number": b"%d", "decimal": b"%d.25", "text": b'"word %d"', "any": b"[%d]"}
    odd = st.one_of(st.sampled_from(_VALUES), st.binary(max_size=4))
    lines = []
    for number in range(150):
        values = [simple[kind] % (number * 37 % 101) for kind in kinds]
        if data.draw(st.integers(0, 30)) == 0:
            values[data.draw(st.integers(0, len(kinds) - 1))] = data.draw(odd)
        lines.append(b"{" + b",".join(b'"k%d":%s' % pair for pair in enumerate(values)) + b"}\n")
    text = b"".join(lines)
    assert round_trip(text) in {text, None}


@given(st.binary(max_size=400))
@_settings
def test_any_bytes_come_back_or_are_no_records(data: bytes) -> None:
    assert round_trip(data) in {data, None}


@given(st.lists(st.text(alphabet="ab1 =:,.-[]\"'0\n", max_size=40), max_size=80))
@_settings
def test_any_lines_of_a_log_come_back(lines: list[str]) -> None:
    data = "\n".join(lines).encode()
    assert round_trip(data) in {data, None}


@pytest.mark.parametrize("text", [b"", b"\n", b"\n\n\n", b"x", b"a,b\n", b"\xef\xbb\xbf", b"\0" * 100, b"{}\n{}\n"])
def test_a_file_without_records_is_refused_or_comes_back(text: bytes) -> None:
    assert round_trip(text) in {text, None}


@pytest.mark.parametrize("text", [b"a,b\n1,2", b"a,b\r\n1,2\r\n3,4\r\n", b'\xef\xbb\xbfa,b\n"1",2\n"3",4\n'])
def test_the_ends_of_lines_stay_as_they_are(text: bytes) -> None:
    text = text + b"".join(b"%d,%d\n" % (n, n * n) for n in range(500))
    assert round_trip(text) == text


def test_a_log_that_names_a_value_as_the_codec_would_another_comes_back() -> None:
    log = b"".join(b"INFO message1_1=%d %d took %d ms\n" % (n * 7919 % 1000, n, n * n % 977) for n in range(3000))
    assert round_trip(log) == log


def test_a_line_longer_than_a_block_comes_back() -> None:
    long = b'{"id": 1, "text": "' + b"long " * 2_500_000 + b'"}'
    data = json_lines(2000) + long + b"\n" + json_lines(2000, 2) + long[:3_000_000]
    assert round_trip(data, piece=1 << 20) == data


def test_keys_in_another_order_or_absent_have_templates_of_their_own() -> None:
    records = trades(3000)
    turned = [dict(reversed(record.items())) if number % 2 else record for number, record in enumerate(records)]
    data = "".join(json.dumps(record) + "\n" for record in turned).encode()
    assert round_trip(data) == data


def test_a_relation_that_breaks_later_costs_lines_not_bytes() -> None:
    lines = [b"%s,%s,%d,%d\n" % (symbol, sector, n, n + 5) for n in range(120_000) for symbol, sector in [(b"A", b"x")]]
    lines = [b"symbol,sector,a,b\n", *(line if n % 2 else line.replace(b"A,x", b"B,y") for n, line in enumerate(lines))]
    lines[100_000] = b"A,y,7,9\n"
    lines[100_001] = b"C,z,7,9223372036854775807\n"
    data = b"".join(lines)
    assert round_trip(data, piece=1 << 20) == data


def test_every_corpus_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora_module, "QUICK_BYTES", 300_000)
    back = {
        corpus.name: round_trip(data := corpus.path.read_bytes()) == data for corpus in corpora(tmp_path, quick=True)
    }
    assert sum(back.values()) >= len(_MADE), back
    assert all(back[name] for name in _MADE)
