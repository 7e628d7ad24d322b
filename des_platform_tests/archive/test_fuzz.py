"""A slice of the fuzzer's cases, and all archives in which it has found something; ``make fuzz`` runs longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from des_platform.archive.v2 import verify as verify_module
from des_platform_tests.archive.corpus import seeded
from des_platform_tests.fuzz.archive import ACTIONS, ArchiveFuzzer, check, corpus
from des_platform_tests.fuzz.watching import Find

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = 150
FOUND = sorted(Path(__file__).with_name("fuzz_corpus").glob("*.des"))


@pytest.fixture(scope="module")
def fuzzer() -> ArchiveFuzzer:
    return ArchiveFuzzer(seed=0)


@pytest.mark.parametrize("part", range(4))
def test_nothing_but_what_is_documented_comes_of_broken_archives(fuzzer: ArchiveFuzzer, part: int) -> None:
    for number in range(part * CASES, (part + 1) * CASES):
        fuzzer.run(number)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
@pytest.mark.parametrize("action", list(ACTIONS))
def test_what_was_found_once_is_not_found_again(path: Path, action: str) -> None:
    check(action, path.read_bytes(), seeded(path.stem))


@pytest.mark.parametrize("name", list(corpus()))
def test_archives_that_are_whole_are_read_and_verified(name: str) -> None:
    data = corpus()[name]
    assert [check(action, data, seeded(0)) for action in ("read", "verify")] == ["fine", "fine"]


def _raise(*_: object) -> None:
    raise IndexError


def _allocate(*_: object) -> None:
    bytes(100_000_000)


@pytest.mark.parametrize(("lapse", "message"), [(_raise, "IndexError"), (_allocate, "bytes of memory")])
def test_the_fuzzer_sees_what_must_not_be(
    monkeypatch: pytest.MonkeyPatch, lapse: Callable[..., None], message: str
) -> None:
    monkeypatch.setattr(verify_module, "_check_catalogue_bytes", lapse)
    with pytest.raises(Find, match=message):
        check("verify", corpus()["v2-one"], seeded(0))


def test_the_command_runs_a_case_again_and_says_what_came_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "des_platform_tests.fuzz", "archive", "--seed", "3", "--case", "7"]
    done = subprocess.run([*command, "--finds", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1 cases of seed 3, nothing found" in done.stdout
