from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from des_platform_tests.bench import archive, archive_data, archive_peers
from des_platform_tests.bench.__main__ import main
from des_platform_tests.bench.archive_measure import Scale, Traffic, counting, in_child, in_turn
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from pathlib import Path

TINY = Scale(bulk=60, small=60, documents=20, many=60, rounds=1, stride=701)
ROWS = {
    "write_bulk",
    "write_small_cpu",
    "overhead_bytes",
    "open_first_read",
    "warm_get",
    "cold_10m",
    "writer_memory_10m",
    "json_size",
    "bit_flips",
    "truncation",
    "v1_speed",
    "sql_engines",
}


def test_every_row_of_the_table_is_measured_beside_a_peer(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(archive, "_QUICK", TINY)

    main(["archive", "--quick", "--json"])

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    found = [line["id"] for line in lines]
    assert len(set(found)) == len(found)
    assert {name for name in found if "." not in name} == ROWS
    assert {name.partition(".")[0] for name in found} == ROWS
    for line in lines:
        assert line["bench"] == "archive"
        assert line["peer"]
        assert math.isfinite(line["value"])
    deterministic = {"bit_flips", "truncation", "cold_10m.requests", "cold_10m.hint_requests", "cold_10m.warm_requests"}
    assert all(line["met"] for line in lines if line["id"] in deterministic)


@pytest.mark.parametrize("peer", sorted(archive_peers._PEERS))
def test_a_peer_keeps_every_payload(peer: str, tmp_path: Path) -> None:
    module, write = archive_peers._PEERS[peer]
    if module is not None and find_spec(module) is None:
        pytest.skip(f"{peer} is not installed")
    payloads = archive_data.bulk_payloads(20)
    path = tmp_path / "written"
    assert write(path, archive_data.names(20), payloads) == 20
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    written = b"".join(file.read_bytes() for file in files)
    # ArrayRecord puts a header between every 64 KiB, in the midst of a payload.
    assert all(payload[:2048] in written or payload[2048:] in written for payload in payloads)


def test_a_peer_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        archive_peers,
        "_PEERS",
        {"there": (None, archive_peers.write_tar), "gone": ("no_such_module", archive_peers.write_tar)},
    )
    assert list(archive_peers.installed()) == ["there"]
    assert "gone is not installed" in capsys.readouterr().err


def test_the_data_are_the_same_in_every_run_and_no_two_payloads_are_alike() -> None:
    documents = list(archive_data.documents(50))
    assert documents == list(archive_data.documents(50))
    assert len(set(documents)) == 50
    assert all(isinstance(json.loads(document), dict) for document in documents)
    small = dict(archive_data.small_objects(5000))
    assert len(set(small.values())) == 5000
    assert list(small) == archive_data.names(5000)
    assert small[archive_data.name(4500)] == archive_data.small_object(4500)
    assert len(set(archive_data.bulk_payloads(50))) == 50


def test_a_counting_source_counts_requests_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    with counting(tmp_path / "file") as source:
        source.read_tail(64)
        source.read_range(990, 100)
        assert source.ranges == [(936, 1000), (990, 1000)]
        assert source.take() == Traffic(requests=2, bytes=74)
        assert source.head() == 1000
        assert source.take() == Traffic(requests=1, bytes=0)


def test_traffic_takes_30_ms_a_request_and_a_second_for_90_megabytes() -> None:
    assert Traffic(requests=3, bytes=45_000_000).seconds == pytest.approx(0.59)


def test_sides_take_turns_after_what_is_not_measured() -> None:
    turns: list[str] = []
    clock = iter(range(100))

    def side(name: str) -> int:
        turns.append(name)
        return 7

    seconds = in_turn(
        {"a": lambda: side("a"), "b": lambda: side("b")},
        2,
        before=lambda: turns.append("-"),
        clock=lambda: float(next(clock)),
    )
    assert "".join(turns) == "-a-b-a-b"
    assert seconds == {"a": 1.0, "b": 1.0}
    with pytest.raises(UnequalWork, match="'a': 1, 'b': 2"):
        in_turn({"a": lambda: 1, "b": lambda: 2}, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells the memory in another way")
def test_the_memory_of_a_child_is_its_own(tmp_path: Path) -> None:
    ballast = bytearray(b"x") * (256 << 20)
    found = in_child("write_literal", tmp_path / "small", 10)
    assert 0 < found["peak_bytes"] < len(ballast)
