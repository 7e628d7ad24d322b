"""`des archive` as a process: signals, terminals and pipes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform.archive import DesWriter
from des_platform.cli.demo.processes import wait_until
from des_platform_tests.cli.commands import des

if TYPE_CHECKING:
    from collections.abc import Callable

_DES = Path(sys.executable).with_name("des")
_PATIENCE = 60
_NOISE = 20 * 1024 * 1024


def interrupted_pack(target: str, files: list[Path], begun: Callable[[], bool], number: int) -> tuple[int, str]:
    """Start packing from a list that never ends, and send a signal once something is written."""
    with subprocess.Popen(
        [_DES, "archive", "pack", "-", "-o", target], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write("".join(f"{path}\n" for path in files).encode().ljust(70_000, b"\n"))
            process.stdin.flush()
            wait_until(begun, _PATIENCE, "something is written")
            process.send_signal(number)
            return process.wait(_PATIENCE), process.stderr.read().decode()
        finally:
            process.kill()


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    path = tmp_path / "noise"
    path.write_bytes(os.urandom(_NOISE))
    return path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_pack_leaves_nothing(number: int, code: int, noise: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def begun() -> bool:
        return out.exists() and any(path.stat().st_size > _NOISE for path in out.iterdir())

    ended, said = interrupted_pack(str(out / "a.des"), [noise], begun, number)
    assert ended == code
    assert said == ("des: interrupted\n" if number == signal.SIGINT else "")
    assert list(out.iterdir()) == []


def test_interrupted_pack_leaves_nothing_in_the_bucket(
    noise: Path, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    s3: Any = boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")
    s3.create_bucket(Bucket="bucket")

    def begun() -> bool:
        return "Uploads" in s3.list_multipart_uploads(Bucket="bucket")

    ended, said = interrupted_pack("s3://bucket/a.des", [noise], begun, signal.SIGINT)
    assert (ended, said) == (130, "des: interrupted\n")
    assert not begun()
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")


def test_interrupted_append_leaves_the_archive_as_it_was(noise: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.des"
    with DesWriter(target) as writer:
        writer.add_file("before", b"before")
    before = target.read_bytes()

    def begun() -> bool:
        return any(path.stat().st_size > _NOISE for path in target.parent.iterdir())

    with subprocess.Popen(
        [_DES, "archive", "pack", "-", "-o", target, "--append"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        process.stdin.write(f"{noise}\n".encode().ljust(70_000, b"\n"))
        process.stdin.flush()
        wait_until(begun, _PATIENCE, "something is written")
        process.send_signal(signal.SIGINT)
        assert process.wait(_PATIENCE) == 130
    assert [path.name for path in target.parent.iterdir()] == ["a.des"]
    assert target.read_bytes() == before


def test_progress_is_shown_on_a_terminal_and_not_in_a_pipe(tmp_path: Path) -> None:
    with DesWriter(tmp_path / "a.des") as writer:
        writer.add_file("a", b"1")
    ours, theirs = pty.openpty()
    argv = [str(_DES), "archive", "verify", str(tmp_path / "a.des")]
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=theirs, timeout=_PATIENCE, check=True, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    shown = os.read(ours, 65_536)
    os.close(ours)
    assert b"verifying" in shown
    assert b"verifying" not in done.stdout
    assert des("archive", "verify", tmp_path / "a.des").stderr == ""


def test_names_cannot_steer_a_terminal_and_reach_a_pipe_as_they_are(tmp_path: Path) -> None:
    name = "a\x1b]0;title\x07b"
    with DesWriter(tmp_path / "a.des") as writer:
        writer.add_file(name, b"1")
    assert des("archive", "ls", tmp_path / "a.des").stdout == f"{name}\n"
    ours, theirs = pty.openpty()
    subprocess.run([_DES, "archive", "ls", tmp_path / "a.des"], stdout=theirs, timeout=_PATIENCE, check=True)
    os.close(theirs)
    shown = os.read(ours, 65_536)
    os.close(ours)
    assert not set(shown) & {0x1B, 0x07}
    assert b"title" in shown


def test_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    with DesWriter(tmp_path / "a.des") as writer:
        for number in range(20_000):
            writer.add_file(f"a-long-name-for-a-small-file-{number:06}", b"")
    with subprocess.Popen(
        [_DES, "archive", "ls", tmp_path / "a.des"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_says_what_exit_codes_mean() -> None:
    done = des("archive", "--help")
    assert done.returncode == 0
    assert "Exit codes: 0" in done.stdout
    assert "130" in done.stdout
