"""A slice of the fuzzer's cases, and all objects in which it has found something; ``make fuzz`` runs longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from des_platform.codecs.records import decoding
from des_platform.sources.messages import chunk_manifest
from des_platform_tests.archive.corpus import seeded
from des_platform_tests.fuzz.codec_corpus import FRAMED, manifests, objects, record_files
from des_platform_tests.fuzz.codec_mutations import index_of
from des_platform_tests.fuzz.codecs import Case, CodecFuzzer, check, load
from des_platform_tests.fuzz.watching import Find

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = 150
_PATIENT = 9  # a seed by which much may come out
FOUND = sorted(path for path in Path(__file__).with_name("fuzz_corpus").iterdir() if path.suffix != ".index")


def test_nothing_but_what_is_documented_comes_of_broken_objects() -> None:
    fuzzer = CodecFuzzer(seed=0)
    for number in range(CASES):
        fuzzer.run(number)
    assert len(fuzzer.outcomes) > CASES / 10


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_once_is_not_found_again(path: Path) -> None:
    for seed in range(5):
        check(load(path), seeded(seed))


def test_what_is_whole_is_read() -> None:
    whole = [Case(kind, stored.data) for kind in FRAMED for name, stored in objects(kind).items() if name != "bomb"]
    whole += [Case("records", data) for data in record_files()]
    whole += [Case("manifest", text.encode()) for text in manifests()]
    whole += [Case(kind, objects(kind)["small"].data, index_of(objects(kind)["small"].index)) for kind in FRAMED]
    outcomes = {check(case, seeded(_PATIENT)) for case in whole}
    assert outcomes == {"fine", "much"}


def _raise(*_: object) -> None:
    raise IndexError


def _allocate(*_: object) -> None:
    bytes(300_000_000)


@pytest.mark.parametrize(("lapse", "message"), [(_raise, "IndexError"), (_allocate, "bytes of memory")])
def test_the_fuzzer_sees_what_must_not_be(
    monkeypatch: pytest.MonkeyPatch, lapse: Callable[..., None], message: str
) -> None:
    monkeypatch.setattr(chunk_manifest, "_checksums", lapse)
    with pytest.raises(Find, match=message):
        check(Case("manifest", manifests()[0].encode()), seeded(0))


def test_the_fuzzer_sees_wrong_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_checked", lambda *_: iter([b"never put in"]))
    with pytest.raises(Find, match="never put in"):
        check(Case("records", record_files()[0]), seeded(_PATIENT))


def test_the_command_runs_a_case_again_and_says_what_came_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "des_platform_tests.fuzz", "codecs", "--seed", "3", "--case", "7"]
    done = subprocess.run([*command, "--finds", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1 cases of seed 3, nothing found" in done.stdout
