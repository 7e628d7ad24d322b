from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from des_platform.objectstore import Buckets
from des_platform.settings import Settings
from des_platform_tests.bench import transfers, transfers_child, transfers_measure, transfers_servers
from des_platform_tests.bench.runner import UnequalWork
from des_platform_tests.bench.transfers_measure import Row, Taken
from des_platform_tests.bench.transfers_servers import Place

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_rows_hold_what_is_to_be_reached() -> None:
    goals = {row.name: (row.wall_goal, row.cpu_goal) for row in transfers._ROWS}
    assert goals == {"ranges": (5, 0.25), "puts": (4, 0.25), "upload": (None, 0.5), "download": (None, None)}


def test_values_are_rates_and_cpu_beside_each_peer() -> None:
    row = transfers._ROWS[0]
    found = list(transfers._measurements(row, {"des_platform": Taken(0.5, 0.2), "boto3": Taken(4.0, 1.0)}))

    assert [(each.id, each.value, each.peer_value, each.met) for each in found] == [
        ("ranges_rate", 2.0, 0.25, True),
        ("ranges_cpu", 0.2, 1.0, True),
    ]
    (rate, cpu) = transfers._measurements(row, {"des_platform": Taken(1.0, 0.3), "boto3": Taken(4.0, 1.0)})
    assert (rate.met, cpu.met) == (False, False)


def test_a_row_without_its_server_is_left_out_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def nowhere(_mebibytes: int) -> Iterator[Place]:
        yield Place(Path("file"), missing={"nginx": "nginx is not installed", "rclone": "no registry"})

    monkeypatch.setattr(transfers_servers, "servers", nowhere)

    assert list(transfers.transfers(quick=True)) == []
    assert capsys.readouterr().err.splitlines() == [
        "ranges: left out, nginx is not installed",
        "puts: left out, nginx is not installed",
        "upload: left out, no registry",
        "download: left out, nginx is not installed",
    ]


def test_sides_that_do_other_work_are_not_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = iter([{"wall": 1.0, "cpu": 1.0, "work": "a"}, {"wall": 1.0, "cpu": 1.0, "work": "b"}])
    monkeypatch.setattr(transfers_measure, "_in_child", lambda *_: next(answers))

    with pytest.raises(UnequalWork, match="'des_platform': 'a', 'boto3': 'b'"):
        transfers_measure.in_turn(Place(tmp_path), Row("ranges", "nginx", ("des_platform", "boto3"), 5, 0.25), 1)


def test_a_side_that_is_missing_is_named_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfers_measure, "_in_child", lambda *_: {"wall": 1.0, "cpu": 0.5, "work": "a"})
    place = Place(tmp_path, missing={"s3fs": "no registry"})

    taken = transfers_measure.in_turn(place, Row("puts", "rclone", ("des_platform", "s3fs"), 4, 0.25), 2)

    assert taken == {"des_platform": Taken(1.0, 0.5)}
    assert "puts: s3fs left out, no registry" in capsys.readouterr().err


@pytest.mark.parametrize("side", ["des_platform", "boto3"])
def test_a_child_tells_what_its_work_took(
    side: str, moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    store = Buckets(Settings(s3_endpoint=moto_endpoint)).create(transfers_child.BUCKET)
    store.put_file(transfers_child.OBJECT, file)

    command = [sys.executable, transfers_child.__file__, side, "download", moto_endpoint, str(file), ""]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    assert set(found) == {"wall", "cpu", "work"}
    assert found["wall"] > 0
    assert found["work"] == store.digest(transfers_child.OBJECT).sha256
    assert list(tmp_path.iterdir()) == [file]


def test_the_ranges_are_the_same_for_every_side_and_inside_the_object() -> None:
    size = 1_000_000
    ranges = transfers_child.ranges_of(size)
    assert ranges == transfers_child.ranges_of(size)
    assert len(ranges) == 1000
    assert all(offset >= 0 and offset + length <= size for offset, length in ranges)
