from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest

from des_platform.sources.generator import MAX_ROWS, STOCK_COLUMNS, stock_file

DAY = date(2024, 1, 2)


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_csv_has_a_header_and_as_many_rows_as_asked_for() -> None:
    content = stock_file(DAY, 0, "csv", rows=1_500)
    lines = content.decode().splitlines()
    assert lines[0] == ",".join(STOCK_COLUMNS)
    assert len(lines) == 1_501
    assert content.endswith(b"\n")
    assert 90_000 < len(content) < 130_000


def test_jsonl_has_the_same_columns_with_typed_values() -> None:
    objects = [json.loads(line) for line in stock_file(DAY, 0, "jsonl", rows=200).decode().splitlines()]
    assert len(objects) == 200
    python = {"string": str, "timestamp": str, "double": float, "long": int}
    for row in objects:
        assert list(row) == list(STOCK_COLUMNS)
        assert all(type(row[name]) is python[kind] for name, kind in STOCK_COLUMNS.items())


def test_both_formats_hold_the_same_trades() -> None:
    table = rows_of(stock_file(DAY, 3, "csv", rows=500))
    objects = [json.loads(line) for line in stock_file(DAY, 3, "jsonl", rows=500).decode().splitlines()]
    assert [(row["symbol"], row["ts"], float(row["price"]), int(row["volume"])) for row in table] == [
        (row["symbol"], row["ts"], row["price"], row["volume"]) for row in objects
    ]


@pytest.mark.parametrize("rows", [1, 2, 9_000, 100_000])
def test_timestamps_are_iso_8601_strictly_increasing_and_within_the_day(rows: int) -> None:
    stamps = [row["ts"] for row in rows_of(stock_file(DAY, 1, "csv", rows=rows))]
    assert all(len(stamp) == 24 and stamp.endswith("Z") for stamp in stamps)
    assert all(earlier < later for earlier, later in pairwise(stamps))
    for stamp in (stamps[0], stamps[-1]):
        moment = datetime.fromisoformat(stamp)
        assert moment.tzinfo == UTC
        assert moment.date() == DAY


def test_prices_walk_in_small_steps_between_bid_and_ask() -> None:
    last: dict[str, float] = {}
    listed: dict[str, set[tuple[str, str]]] = {}
    moved = 0
    for row in rows_of(stock_file(DAY, 0, "csv", rows=9_000)):
        price = float(row["price"])
        assert 0 < float(row["bid"]) < price < float(row["ask"])
        assert int(row["volume"]) > 0
        before = last.get(row["symbol"], price)
        assert abs(price - before) <= 0.01 * before
        moved += price != before
        last[row["symbol"]] = price
        listed.setdefault(row["symbol"], set()).add((row["exchange"], row["sector"]))
    assert moved > 3_000
    assert len(listed) > 20
    assert all(len(places) == 1 for places in listed.values())


def test_files_of_a_day_differ_but_open_at_the_same_prices() -> None:
    first, second = (rows_of(stock_file(DAY, index, "csv", rows=5_000)) for index in (0, 1))
    assert first != second
    opening = [next(float(row["price"]) for row in table if row["symbol"] == "AAPL") for table in (first, second)]
    assert abs(opening[0] - opening[1]) < 0.01 * opening[0]


def test_day_index_and_seed_each_change_the_file() -> None:
    files = {
        stock_file(DAY, 0, "csv", rows=50),
        stock_file(DAY, 1, "csv", rows=50),
        stock_file(date(2024, 1, 3), 0, "csv", rows=50),
        stock_file(DAY, 0, "csv", rows=50, seed=1),
    }
    assert len(files) == 4


def test_the_bytes_are_the_same_in_every_process_and_on_every_platform() -> None:
    # Recorded once: it changes only if the generator does, and then every corpus made from it does too.
    expected = "cd7aa243fc85f1deb8b6bd2cb3086201afdb0046287e947fb99d3758e9dce0a8"
    assert hashlib.sha256(stock_file(DAY, 7, "csv", rows=2_000)).hexdigest() == expected
    code = (
        "import hashlib; from datetime import date; from des_platform.sources.generator import stock_file;"
        "print(hashlib.sha256(stock_file(date(2024, 1, 2), 7, 'csv', rows=2_000)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123", "TZ": "Asia/Tokyo"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == expected


def test_no_rows_give_a_header_alone_or_nothing() -> None:
    assert stock_file(DAY, 0, "csv", rows=0).decode() == ",".join(STOCK_COLUMNS) + "\n"
    assert stock_file(DAY, 0, "jsonl", rows=0) == b""


@pytest.mark.parametrize("rows", [-1, MAX_ROWS + 1])
def test_an_impossible_number_of_rows_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"rows is {rows}"):
        stock_file(DAY, 0, "csv", rows=rows)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="'xml', expected 'csv' or 'jsonl'"):
        stock_file(DAY, 0, "xml", rows=1)  # type: ignore[arg-type]
