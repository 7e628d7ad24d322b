from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
import zstandard
from typer.testing import CliRunner

from des_platform.cli.main import app
from des_platform.codecs import FrameIndex
from des_platform_tests.cli.commands import des, des_bytes
from des_platform_tests.damage import flip

if TYPE_CHECKING:
    from click.testing import Result

LINES = b"".join(b'{"id": %d, "name": "sensor %d", "value": %d.5}\n' % (i, i % 7, i * i % 1000) for i in range(20_000))
NOISE = random.Random(7).randbytes(300_000)  # noqa: S311 - no secret


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_bytes(LINES)
    (tmp_path / "noise.bin").write_bytes(NOISE)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ok(*arguments: object) -> Result:
    done = run(*arguments)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done


def names() -> set[str]:
    return {path.name for path in Path().iterdir()} - {"lines.txt", "noise.bin"}


@pytest.mark.parametrize(
    ("codec", "name", "opened"),
    [
        ("zstd", "lines.txt.zst", lambda data: zstandard.ZstdDecompressor().decompress(data)),
        ("bz2", "lines.txt.bz2", bz2.decompress),
        ("xz", "lines.txt.xz", lzma.decompress),
        ("gzip", "lines.txt.gz", gzip.decompress),
    ],
)
def test_a_file_becomes_one_that_others_open_and_comes_back(codec: str, name: str, opened) -> None:  # noqa: ANN001
    os.utime("lines.txt", ns=(5, 1_700_000_000_000_000_000))
    Path("lines.txt").chmod(0o640)
    ok("compress", "lines.txt", "--codec", codec, "--level", 1)
    assert names() == {name}
    assert opened(Path(name).read_bytes()) == LINES
    status = Path(name).stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 1_700_000_000_000_000_000)
    Path("lines.txt").unlink()
    assert name in ok("decompress", name).stdout
    assert Path("lines.txt").read_bytes() == LINES


def test_a_sample_chooses_and_the_reason_is_told() -> None:
    said = ok("compress", "lines.txt", "noise.bin", "--profile", "warm").stdout
    assert names() == {"lines.txt.zst"}
    first, second = said.splitlines()
    assert first.startswith("lines.txt -> lines.txt.zst: ")
    assert "zstd-" in first
    assert second.startswith("noise.bin: left as it is: store: zstd-1 shrinks")


@pytest.mark.parametrize("content", [LINES, LINES + b"no record\n" * 3, b"not at all records " * 20_000])
def test_the_archive_profile_gives_the_file_back_whatever_suits(content: bytes) -> None:
    Path("data.jsonl").write_bytes(content)
    ok("compress", "data.jsonl", "--profile", "archive", "--delete-original")
    (packed,) = names()
    assert packed in {"data.jsonl.parquet", "data.jsonl.bz2", "data.jsonl.xz", "data.jsonl.zst"}
    assert Path(packed).stat().st_size < len(content) / 4
    ok("decompress", packed)
    assert Path("data.jsonl").read_bytes() == content


def test_records_that_turn_out_to_be_none_are_left_to_the_best_ordinary_codec() -> None:
    mixed = LINES[:200_000] + b"".join(json.dumps({"k": [i, {"n": i}]}).encode() + b"\n" for i in range(9000)) + NOISE
    Path("data.jsonl").write_bytes(mixed)
    ok("compress", "data.jsonl", "--profile", "archive")
    (packed,) = names() - {"data.jsonl"}
    assert ok("decompress", packed, "-o", "back").exit_code == 0
    assert Path("back").read_bytes() == mixed


def test_the_original_goes_only_on_request() -> None:
    ok("compress", "lines.txt")
    assert Path("lines.txt").exists()
    ok("compress", "lines.txt", "--force", "--delete-original")
    assert not Path("lines.txt").exists()


def test_an_index_lets_frames_be_read_side_by_side() -> None:
    ok("compress", "lines.txt", "--codec", "bz2", "--index")
    index = FrameIndex.from_bytes(Path("lines.txt.bz2.index").read_bytes())
    assert len(index.frames) == 2
    ok("decompress", "lines.txt.bz2", "-o", "back", "--threads", 2)
    assert Path("back").read_bytes() == LINES
    flip(Path("lines.txt.bz2.index"), 40)
    done = run("decompress", "lines.txt.bz2", "-o", "again")
    assert (done.exit_code, Path("again").read_bytes()) == (0, LINES)
    assert "lines.txt.bz2.index is not used" in done.stderr


def test_another_files_index_is_not_used_or_named() -> None:
    Path("other.txt").write_bytes(LINES[::-1])
    ok("compress", "lines.txt", "other.txt", "--codec", "bz2", "--index")
    Path("other.txt.bz2.index").rename("lines.txt.bz2.index")
    done = run("decompress", "lines.txt.bz2", "-o", "back")
    assert "index" in done.stderr
    assert not Path("back").exists() or Path("back").read_bytes() == LINES


def test_standard_output_gets_the_bytes_and_nothing_else() -> None:
    packed = des_bytes("compress", "lines.txt", "--codec", "xz", "-o", "-")
    assert (packed.returncode, packed.stderr) == (0, b"")
    assert lzma.decompress(packed.stdout) == LINES
    Path("packed").write_bytes(packed.stdout)
    back = des_bytes("decompress", "packed", "-o", "-")
    assert (back.returncode, back.stdout, back.stderr) == (0, LINES, b"")
    assert names() == {"packed"}


def test_the_bytes_tell_the_codec_and_a_wrong_name_is_told() -> None:
    ok("compress", "lines.txt", "--codec", "xz", "-o", "lines.gz")
    done = run("decompress", "lines.gz")
    assert done.exit_code == 0
    assert done.stderr == "des: lines.gz is xz, whatever its name says\n"
    assert Path("lines").read_bytes() == LINES
    Path("lines.gz").rename("nameless")
    ok("decompress", "nameless")
    assert Path("nameless.out").read_bytes() == LINES


@pytest.mark.parametrize("name", ["lines.txt.zst", "nothing.zst"])
def test_an_unknown_container_is_named(name: str) -> None:
    Path(name).write_bytes(b"PK\x03\x04 is a zip" if name.startswith("lines") else b"")
    done = run("decompress", name)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"des: {name}: bytes that begin with ")
    assert names() == {name}


@pytest.mark.parametrize("damage", ["cut", "flipped", "added to"])
@pytest.mark.parametrize("codec", ["zstd", "bz2", "xz", "gzip"])
def test_damage_is_named_and_nothing_is_left(codec: str, damage: str) -> None:
    ok("compress", "lines.txt", "--codec", codec, "-o", "packed")
    data = Path("packed").read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 8]) + data[middle + 1 :]
    Path("packed").write_bytes({"cut": data[:-5], "flipped": flipped, "added to": data + b"more"}[damage])
    done = run("decompress", "packed", "-o", "back")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"des: packed: {codec}: ")
    assert names() == {"packed"}


def test_more_than_the_limit_never_comes_out() -> None:
    ok("compress", "lines.txt", "--codec", "bz2", "--index")
    for index in (True, False):
        done = run("decompress", "lines.txt.bz2", "-o", "back", "--max-size", len(LINES) - 1)
        assert done.exit_code == 1
        assert str(len(LINES) - 1) in done.stderr
        assert not Path("back").exists()
        if index:
            Path("lines.txt.bz2.index").unlink()
    ok("decompress", "lines.txt.bz2", "-o", "back", "--max-size", len(LINES))


def test_what_is_there_is_replaced_only_by_force() -> None:
    Path("lines.txt.zst").write_bytes(b"precious")
    done = run("compress", "lines.txt", "noise.bin", "--codec", "zstd")
    assert done.exit_code == 1
    assert done.stderr == "des: lines.txt.zst is there already: --force replaces it\n"
    assert names() == {"lines.txt.zst", "noise.bin.zst"}
    assert Path("lines.txt.zst").read_bytes() == b"precious"
    ok("compress", "lines.txt", "--codec", "zstd", "--force")
    done = run("decompress", "lines.txt.zst")
    assert (done.exit_code, Path("lines.txt").read_bytes()) == (1, LINES)
    ok("decompress", "lines.txt.zst", "--force")


def test_a_file_that_changes_while_it_is_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from des_platform.cli.local_files import Input

    read = Input.read

    def meanwhile(self: Input, offset: int, length: int) -> bytes:
        data = read(self, offset, length)
        with Path("lines.txt").open("ab") as file:
            file.write(b"x")
        return data if offset == 0 else b""

    monkeypatch.setattr(Input, "read", meanwhile)
    done = run("compress", "lines.txt", "--codec", "zstd", "--delete-original")
    assert done.exit_code == 1
    assert done.stderr == "des: lines.txt changed while it was read: try again once nobody writes to it\n"
    assert Path("lines.txt").read_bytes().startswith(LINES)
    assert names() == set()


def test_a_bad_file_does_not_stop_the_good_ones() -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    done = run("compress", "missing", "folder", "pipe", "lines.txt", "--codec", "zstd")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "des: missing: No such file or directory",
        "des: folder is no regular file",
        "des: pipe is no regular file",
    ]
    assert names() == {"folder", "pipe", "lines.txt.zst"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--codec", "brotli"], "unknown codec 'brotli'"),
        (["--codec", "zstd", "--level", "99"], "no level 99"),
        (["--level", "3"], "give --codec"),
        (["--codec", "zstd", "--profile", "hot"], "leave out one"),
        (["--profile", "lukewarm"], "hot, warm, cold, compatible, archive"),
        (["noise.bin", "-o", "both"], "2 files cannot all become both"),
        (["-o", "-", "--index"], "need a file to write"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(arguments: list[str], problem: str) -> None:
    done = run("compress", "lines.txt", *arguments)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert names() == set()


def test_threads_change_no_byte() -> None:
    for threads in (1, 3):
        ok("compress", "lines.txt", "--codec", "bz2", "--threads", threads, "-o", f"by{threads}")
    assert Path("by1").read_bytes() == Path("by3").read_bytes()


def test_codecs_are_listed_in_their_order() -> None:
    done = des("codecs", "ls")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["zstd", "bz2", "xz", "gzip", "records", "store"]


def test_calibrating_prints_the_table_as_python() -> None:
    from des_platform.codecs.costs import COSTS, Cost

    Path("some.txt").write_bytes(LINES[:50_000])
    table: dict[str, dict[tuple[str, int], Cost]] = {}
    exec(ok("codecs", "calibrate", "some.txt").stdout, {"Cost": Cost}, table)  # noqa: S102 - our own output
    assert table["COSTS"].keys() == COSTS.keys()
    assert all(cost.compress_ns > 0 and cost.decompress_ns > 0 for cost in table["COSTS"].values())


def test_a_program_that_is_interrupted_leaves_nothing() -> None:
    script = (
        "import os, signal, sys; from des_platform.cli import compress as c; from des_platform.cli.main import main\n"
        "c.digest = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.argv = ['des', 'compress', 'lines.txt', '--codec', 'zstd']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 143
    assert names() == set()


def test_a_file_of_records_tells_how_to_ask_it_for_its_table() -> None:
    ok("compress", "lines.txt", "--profile", "archive", "-o", "it's.parquet")
    query = ok("codecs", "sql", "it's.parquet").stdout
    rows = duckdb.sql(query).fetchall()
    assert [row[:2] for row in rows[:2]] == [(0, "sensor 0"), (1, "sensor 1")]
    assert len(rows) == LINES.count(b"\n")
    refused = run("codecs", "sql", "lines.txt")
    assert refused.exit_code == 2
    assert "lines.txt is no file of records" in refused.stderr
