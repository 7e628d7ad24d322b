"""`des stream`: both sides of a stream job as processes of their own."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from des_platform.cli.demo.processes import wait_until
from des_platform_tests.cli.commands import PATIENCE_SECONDS, complaint, des, des_running
from des_platform_tests.sources.streams.support import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform

LINES = b"".join(b"line %d of a file\n" % number for number in range(300))


@pytest.fixture
def bench(platform: Platform, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """A job in the sources file."""
    made = Bench.make(platform, moto_endpoint, objects=False)
    file = tmp_path / "sources.yaml"
    file.write_text(yaml.safe_dump({"stream_jobs": [made.settings]}))
    monkeypatch.setenv("DES_SOURCES", str(file))
    return made


def statistics(output: str) -> dict[str, Any]:
    return dict(json.loads(output.splitlines()[-1]))


def test_a_queue_is_drained_and_its_files_come_back_without_any_dataset(bench: Bench, tmp_path: Path) -> None:
    bench.put("a.txt", LINES)
    identifier = bench.announce("a.txt")

    tried = des("stream", "compress", "prices", "--dry-run", env=os.environ)
    assert (tried.returncode, statistics(tried.stdout)["files"]) == (0, 1)
    page = tmp_path / "page.html"
    done = des("stream", "compress", "prices", "--once", "--report", str(page), env=os.environ)
    back = des("stream", "decompress", "prices", "--once", env=os.environ)

    assert (done.returncode, back.returncode) == (0, 0), done.stderr + back.stderr
    told = statistics(done.stdout)
    assert (told["job"], told["side"], told["files"], told["original_bytes"]) == (
        "prices",
        "stream_compress",
        1,
        len(LINES),
    )
    assert told["compression_ratio"] > 1
    assert '"name": "a.txt"' in done.stderr
    assert statistics(back.stdout)["files"] == 1
    assert bench.restored() == {f"{identifier}/a.txt": LINES}
    assert "stream_compress" in page.read_text()


def test_what_is_given_up_is_exit_code_1(bench: Bench) -> None:
    bench.files.send(["rubbish"])

    done = des("stream", "compress", "prices", "--once", env=os.environ)

    assert (done.returncode, statistics(done.stdout)["dead"]) == (1, 1)


def test_it_goes_on_until_it_is_asked_to_end(bench: Bench, tmp_path: Path) -> None:
    with des_running("stream", "compress", "prices", env=os.environ, errors=tmp_path / "errors") as process:
        for number in (1, 2):
            bench.put(f"{number}.txt", LINES)
            bench.announce(f"{number}.txt")
            wait_until(
                lambda number=number: bench.manifests.waiting() == number,  # type: ignore[misc]
                PATIENCE_SECONDS,
                "it is announced",
            )
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert statistics(output)["files"] == 2


@pytest.mark.usefixtures("bench")
def test_a_job_that_nobody_configured_is_named_with_those_that_are() -> None:
    line = complaint(des("stream", "compress", "orders", env=os.environ))
    assert "no stream job is called orders; known are prices" in line
