from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from des_platform_tests.bench import demo, runner
from des_platform_tests.bench.__main__ import main
from des_platform_tests.bench.plain_files import Size
from des_platform_tests.bench.results import Measurement, print_json
from des_platform_tests.bench.runner import UnequalWork, alternate

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "des_platform_tests.bench"]
FIELDS = {"bench", "id", "value", "unit", "peer", "peer_value", "ratio", "goal", "at_most", "absolute", "met"}
DEMO_UNITS = {
    "put_files": "files/s",
    "put_mb": "MB/s",
    "inbox_files": "files/s",
    "raw_files_files": "files/s",
    "raw_files_mb": "MB/s",
    "compressed_objects_files": "files/s",
    "compressed_objects_mb": "MB/s",
    "table_rows": "rows/s",
    "table_mb": "MB/s",
    "des_shards_files": "files/s",
    "des_shards_mb": "MB/s",
    "read_back_files": "files/s",
}


@pytest.fixture
def known_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench whose results are the same on every machine."""

    def answers(*, quick: bool) -> Iterator[Measurement]:
        """Three results."""
        yield Measurement("open", 1234.0, "files/s", "peer", 2468.0)
        yield Measurement("met", 3.0, "MB/s", "peer", 2.0, goal=1.5)
        yield Measurement("missed", 2.0 if quick else 2.5, "MB/s", "peer", 2.0, goal=1.5)
        yield Measurement("less", 1.5, "s", "peer", 2.0, goal=0.75, at_most=True)
        yield Measurement("too_much", 5.0, "bytes", "peer", 10.0, goal=4, at_most=True, absolute=True)
        yield Measurement("all", 100.0, "%", "peer", 0.0, goal=100, absolute=True)

    monkeypatch.setitem(runner._benches, "answers", answers)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_demo_measures_every_stage_beside_its_peer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_QUICK", Size(documents=4, flight_days=1, stock_days=1, stock_files=3))
    monkeypatch.setattr(demo, "_QUICK_ROUNDS", 2)

    main(["demo", "--quick", "--json"])

    printed = capsys.readouterr()
    found = lines(printed.out)
    assert {line["id"]: line["unit"] for line in found} == DEMO_UNITS
    assert len(found) == len(DEMO_UNITS)
    for line in found:
        assert set(line) == FIELDS
        assert line["bench"] == "demo"
        assert line["peer"]
        assert (line["goal"], line["met"]) == (None, None)
        assert all(math.isfinite(line[name]) and line[name] > 0 for name in ("value", "peer_value", "ratio"))
        assert line["ratio"] == pytest.approx(line["value"] / line["peer_value"])
    assert printed.err.count("cores") == 1


@pytest.mark.usefixtures("known_answers")
def test_json_says_whether_a_goal_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    main(["answers", "--json"])
    first, *others = lines(capsys.readouterr().out)
    assert first == {
        "bench": "answers",
        "id": "open",
        "value": 1234.0,
        "unit": "files/s",
        "peer": "peer",
        "peer_value": 2468.0,
        "ratio": 0.5,
        "goal": None,
        "at_most": False,
        "absolute": False,
        "met": None,
    }
    columns = ("id", "ratio", "goal", "at_most", "absolute", "met")
    assert [tuple(line[column] for column in columns) for line in others] == [
        ("met", 1.5, 1.5, False, False, True),
        ("missed", 1.25, 1.5, False, False, False),
        ("less", 0.75, 0.75, True, False, True),
        ("too_much", 0.5, 4, True, True, False),
        ("all", None, 100, False, True, True),
    ]


def test_a_goal_for_a_ratio_that_cannot_be_had_is_neither_met_nor_missed() -> None:
    assert Measurement("id", 1.0, "s", "peer", 0.0, goal=1.5).met is None


@pytest.mark.usefixtures("known_answers")
def test_a_pipe_gets_the_table_as_plain_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    main(["answers", "--quick"])
    text = capsys.readouterr().out
    assert [line.split() for line in text.splitlines()] == [
        ["answers", "value", "unit", "peer", "peer's", "ratio", "goal", "met"],
        ["open", "1,234", "files/s", "peer", "2,468", "0.500"],
        ["met", "3.000", "MB/s", "peer", "2.000", "1.500", ">=1.5x", "yes"],
        ["missed", "2.000", "MB/s", "peer", "2.000", "1.000", ">=1.5x", "NO"],
        ["less", "1.500", "s", "peer", "2.000", "0.750", "<=0.75x", "yes"],
        ["too_much", "5.000", "bytes", "peer", "10.0", "0.500", "<=4", "bytes", "NO"],
        ["all", "100.0", "%", "peer", "0.0", ">=100", "%", "yes"],
    ]
    assert text.isascii()


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_no_json_is_printed_for_what_is_no_number(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json("broken", [Measurement("endless", value, "MB/s", "peer", 1.0)])
    assert not capsys.readouterr().out


def test_an_unknown_name_exits_2_and_lists_the_known_ones() -> None:
    ended = subprocess.run([*COMMAND, "nonsense"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert not ended.stdout
    assert "nonsense" in ended.stderr
    assert "demo" in ended.stderr


def test_help_says_what_each_bench_measures() -> None:
    ended = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "demo: The stages of the demo beside plain copies" in ended.stdout


def test_product_and_peer_take_turns() -> None:
    turns = []

    def side(name: str, number: int) -> int:
        turns.append(f"{name}{number}")
        return 7

    found = alternate(lambda number: side("product", number), lambda number: side("peer", number), rounds=3)

    assert turns == ["product0", "peer0", "product1", "peer1", "product2", "peer2"]
    assert found.work == 7


def test_a_rate_is_the_work_of_a_round_in_the_median_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    product_seconds, peer_seconds = [9.0, 2.0, 1.0], [4.0, 4.0, 500.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def work(seconds: list[float], number: int) -> int:
        clock[0] += seconds[number]
        return 10

    medians = alternate(lambda number: work(product_seconds, number), lambda number: work(peer_seconds, number), 3)
    found = medians.rate("id", medians.work, "files/s", "peer", goal=2.0)

    assert (found.value, found.peer_value, found.ratio, found.met) == (5.0, 2.5, 2.0, True)


def test_sides_that_did_different_work_are_not_compared() -> None:
    with pytest.raises(UnequalWork, match=r"found \[7, 8\]"):
        alternate(lambda _: 7, lambda _: 8, rounds=1)
