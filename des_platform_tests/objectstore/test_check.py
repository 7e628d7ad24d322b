"""Checks of local files, by the formats' own readers."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from des_platform.objectstore.transfers import check_file


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "file.parquet"
    chance = random.Random(1)  # noqa: S311 - content
    table = pa.table({"price": [chance.random() for _ in range(20_000)], "Any ünusual name": ["x"] * 20_000})
    pq.write_table(table, path, row_group_size=5_000, write_page_checksum=True)
    return path


@pytest.fixture
def dbn(tmp_path: Path) -> Path:
    dbn = pytest.importorskip("databento_dbn")
    header = dbn.Metadata(
        dataset="GLBX.MDP3", start=0, stype_in=dbn.SType.RAW_SYMBOL, stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.TRADES, symbols=["ES"], partial=[], not_found=[], mappings=[], limit=None, end=1, version=3,
    )  # fmt: skip
    trade = dbn.TradeMsg(
        publisher_id=1, instrument_id=2, ts_event=3, price=4, size=5, action=dbn.Action.TRADE, side=dbn.Side.ASK,
        depth=0, ts_recv=9, flags=0, ts_in_delta=0, sequence=1,
    )  # fmt: skip
    path = tmp_path / "file.dbn"
    path.write_bytes(header.encode() + bytes(trade) * 1000)
    return path


def test_a_whole_file_of_any_schema_is_valid(parquet: Path) -> None:
    sha256 = hashlib.sha256(parquet.read_bytes()).hexdigest()

    found = check_file(parquet, expected_sha256=sha256.upper(), format="parquet", min_bytes=10)

    assert (found.valid, found.problems) == (True, ())
    assert (found.exists, found.size_valid, found.format_valid, found.sha256_valid) == (True, True, True, True)
    assert (found.size, found.sha256) == (parquet.stat().st_size, sha256)
    assert (found.details["rows"], found.details["row_groups"]) == (20_000, 4)
    assert found.details["columns"] == ["price", "Any ünusual name"]


def test_what_was_not_asked_for_is_neither_valid_nor_invalid(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    found = check_file(path)
    assert (found.valid, found.size, found.format_valid, found.sha256_valid) == (True, 0, None, None)


def test_every_problem_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"text")

    found = check_file(path, expected_sha256="0" * 64, format="parquet", min_bytes=5)

    assert not found.valid
    assert (found.size_valid, found.format_valid, found.sha256_valid) == (False, False, False)
    assert [problem.split()[1] for problem in found.problems] == ["has", "SHA-256", "is"]


@pytest.mark.parametrize("path", [Path("/no/such/file"), Path("/proc"), Path("/dev/null")], ids=str)
def test_what_is_no_file_does_not_exist(path: Path) -> None:
    found = check_file(path)
    assert (found.valid, found.exists, len(found.problems)) == (False, False, 1)


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert check_file(tmp_path / "pipe").problems == ("it is no regular file",)


def test_an_expectation_that_is_no_sha256_is_refused(parquet: Path) -> None:
    with pytest.raises(ValueError, match="'abc' is no SHA-256"):
        check_file(parquet, expected_sha256="abc")


@pytest.mark.parametrize("damage", ["cut", "no footer", "flipped page"])
def test_a_damaged_parquet_file_is_invalid(parquet: Path, damage: str) -> None:
    data = bytearray(parquet.read_bytes())
    if damage == "cut":
        del data[-100:]
    elif damage == "no footer":
        data[-8:] = b"\xff\xff\xff\x7fPAR1"
    else:
        data[2000] ^= 1
    parquet.write_bytes(data)

    found = check_file(parquet, format="parquet")

    assert (found.valid, found.format_valid, found.sha256_valid) == (False, False, None)
    assert "it is no whole parquet file" in found.problems[0]


def test_a_reader_that_dies_of_a_file_is_a_problem_of_the_file(
    parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -ABRT $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))

    (problem,) = check_file(parquet, format="parquet").problems

    assert "gave up: it ended with SIGABRT" in problem


@pytest.mark.parametrize("packed", [False, True])
def test_a_dbn_file_is_read_to_its_last_record(dbn: Path, *, packed: bool) -> None:
    if packed:
        half = len(dbn.read_bytes()) // 2
        frames = [zstandard.compress(part) for part in (dbn.read_bytes()[:half], dbn.read_bytes()[half:])]
        dbn.write_bytes(b"".join(frames))

    found = check_file(dbn, format="dbn")

    assert (found.problems, found.details["records"], found.details["dataset"]) == ((), 1000, "GLBX.MDP3")


@pytest.mark.parametrize("damage", ["within a record", "zstd without end", "only a header's start", "noise", "empty"])
def test_a_damaged_dbn_file_is_invalid(dbn: Path, damage: str) -> None:
    data = dbn.read_bytes()
    dbn.write_bytes(
        {
            "within a record": data[:-10],
            "zstd without end": zstandard.compress(data)[:-10],
            "only a header's start": data[:20],
            "noise": random.Random(2).randbytes(5000),  # noqa: S311 - content
            "empty": b"",
        }[damage]
    )
    assert not check_file(dbn, format="dbn").valid


def test_without_its_reader_a_dbn_file_names_the_extra(
    dbn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "databento_dbn.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    (problem,) = check_file(dbn, format="dbn").problems

    assert "install des-platform[dbn]" in problem
