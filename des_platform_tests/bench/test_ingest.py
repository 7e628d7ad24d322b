from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from des_platform_tests.bench import ingest, ingest_latency
from des_platform_tests.bench.__main__ import main
from des_platform_tests.bench.ingest_latency import Parts
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_rows_of_ingest_are_those_announced() -> None:
    assert [row.__name__ for row in ingest._ROWS] == ["queue_drain", "claims", "names", "latency", "memory"]


def test_each_row_is_printed_as_soon_as_it_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def first(*, quick: bool) -> Iterator[Measurement]:
        yield Measurement("first", 1.0 if quick else 2.0, "s", "peer", 4.0)

    def broken(*, quick: bool) -> Iterator[Measurement]:
        yield Measurement("second", 1.0, "s", "peer", 4.0)
        raise RuntimeError("the server is gone")

    monkeypatch.setattr(ingest, "_ROWS", (first, broken, first))

    with pytest.raises(RuntimeError, match="the server is gone"):
        main(["ingest", "--quick", "--json"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["bench"], line["id"], line["value"]) for line in lines] == [
        ("ingest", "first", 1.0),
        ("ingest", "second", 1.0),
    ]


def test_latency_is_the_median_without_dagsters_own_start(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {True: 3, False: 12}

    def measured(number: int) -> Iterator[Parts]:
        assert number == files[quick]
        yield Parts(to_inbox=0.25, to_request=3.0, to_start=9.0, in_run=0.5)
        yield Parts(to_inbox=5.0, to_request=9.0, to_start=2.0, in_run=0.5)
        yield Parts(to_inbox=0.25, to_request=1.0, to_start=4.0, in_run=0.5)

    monkeypatch.setattr(ingest_latency, "_measured", measured)
    for quick in files:
        (found,) = ingest_latency.latency(quick=quick)
        assert (found.id, found.value, found.unit, found.peer_value) == ("latency", 3.75, "s", 4.0)
        assert (found.goal, found.at_most, found.absolute, found.met) == (5.0, True, True, True)


@pytest.mark.parametrize("number", [1, 3, 12])
def test_files_come_at_moments_that_cover_the_daemons_beat(number: int) -> None:
    moments = ingest_latency._moments(number)

    assert [int(moment * number / 5) for moment in sorted(moments)] == list(range(number))


def test_the_callers_settings_are_not_the_benchs_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DES_SOURCES", "/the/callers")
    monkeypatch.delenv("DES_LISTING_SECONDS", raising=False)

    with ingest_latency._environment():
        assert "DES_SOURCES" not in os.environ
        os.environ["DES_PG_PORT"] = "1"

    assert os.environ["DES_SOURCES"] == "/the/callers"
    assert "DES_PG_PORT" not in os.environ
    assert "DES_LISTING_SECONDS" not in os.environ


def test_each_file_is_of_a_day_of_its_own() -> None:
    files = ingest_latency._a_file_a_day(13)

    assert len({file.key.split("/")[1] for file in files}) == len(files) == 13
