from __future__ import annotations

import json
import math
import sys
from shutil import which
from typing import TYPE_CHECKING

import pytest

from des_platform.codecs import Profile, get_codec
from des_platform_tests.bench import (
    codecs,
    codecs_archive,
    codecs_child,
    codecs_literal,
    codecs_measure,
    codecs_memory,
    codecs_path,
    codecs_peers,
    codecs_sides,
)
from des_platform_tests.bench.__main__ import main
from des_platform_tests.bench.codecs import Scale
from des_platform_tests.bench.codecs_measure import Cost, Laboratory, Runs, Side, SideFailed, worst
from des_platform_tests.bench.corpora import Corpus
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FIGURES = {
    "archive_csv",
    "archive_json",
    "archive_logs",
    "codec_choice",
    "codec_memory",
    "incompressible",
    "literal_hybrid",
    "logs_bz2",
    "warm_time",
}
TINY = Scale(
    corpus=30_000,
    corpora=None,
    peers=("words.log",),
    slow_peers=(),
    memory=100_000,
    memory_slow=100_000,
    incompressible=100_000,
    turns=1,
    rounds=1,
    patience=0.0,
)
COPY = ("sh", "-c", "cat {source}")
_RUN = codecs_measure.run


def _corpus(folder: Path, name: str, data: bytes, *, real: bool = False) -> Corpus:
    path = folder / f"corpus-{name}"
    path.write_bytes(data)
    kind = path.suffix.removeprefix(".").replace("jsonl", "json")
    return Corpus(name, kind, real, path, len(data))  # type: ignore[arg-type]


def _corpora(folder: Path, *, quick: bool) -> list[Corpus]:
    assert quick
    folder.mkdir()
    rows = "".join(f"{number},{number * 7 % 13},{number % 5}\n" for number in range(2000))
    objects = "".join(f'{{"id": {number}, "of": "{number * 7 % 13}"}}\n' for number in range(1000))
    words = "".join(f"2026-01-05 10:00:{number % 60:02d} INFO request {number * 7919} ended\n" for number in range(700))
    return [
        _corpus(folder, "objects.jsonl", objects.encode()),
        _corpus(folder, "others.jsonl", objects.replace("of", "from").encode(), real=True),
        _corpus(folder, "rows.csv", f"a,b,c\n{rows}".encode()),
        _corpus(folder, "words.log", words.encode()),
    ]


def _run_here(command: Sequence[str], source: Path, target: Path) -> Cost:
    """As `run` does it, but our own side without a process."""
    words = [word.replace("{source}", str(source)).replace("{target}", str(target)) for word in command]
    if words[:3] != list(codecs_sides.CHILD):
        return _RUN(command, source, target)
    target.write_bytes(b"")
    told = codecs_child._TASKS[words[3]](*words[4:])
    return Cost(0.1, 0.1, 0.05, 0.05, told)


def test_every_figure_is_measured_and_told_which_corpora_are_real(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if any(which(tool) is None for tool in ("xz", "zstd")):
        pytest.skip("xz and zstd are needed")
    monkeypatch.setattr(codecs, "_QUICK", TINY)
    monkeypatch.setattr(codecs, "corpora", _corpora)
    monkeypatch.setattr(codecs_memory, "run", _run_here)
    monkeypatch.setattr(codecs_measure, "run", _run_here)

    main(["codecs", "--quick", "--json"])

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    found = [line["id"] for line in lines]
    assert len(set(found)) == len(found)
    assert FIGURES - {"archive_logs"} <= {name for name in found if "." not in name}
    assert {"archive_json.generated.objects.jsonl", "archive_json.real.others.jsonl", "archive_json.real"} <= set(found)
    assert {"codec_choice.archive.generated.rows.csv", "codec_memory.xz-6.compress.generated.objects.jsonl"} <= set(
        found
    )
    assert all(line["peer"] and math.isfinite(line["value"]) for line in lines)
    sizes = {line["id"]: line["value"] for line in lines}
    assert sizes["incompressible_growth.cold.random"] == 0


def test_a_side_pays_for_its_interpreter_and_tells_what_the_work_took(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, "words.log", b"one line and another\n" * 5000)

    (runs,) = Laboratory(tmp_path, rounds=1, patience=0.0).measure(corpus, [codecs_sides.codec("zstd-3")])

    assert runs.codec == "zstd-3"
    assert 0 < runs.size < corpus.size // 50
    assert 0 < runs.compress[0].work_cpu < runs.compress[0].cpu
    assert runs.speed("work_cpu") > runs.speed("cpu")


def test_sides_take_turns_until_they_had_their_time_and_are_not_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = _corpus(tmp_path, "words.log", b"words\n")
    turns: list[str] = []

    def turn(command: Sequence[str], source: Path, target: Path) -> Cost:
        target.write_bytes(source.read_bytes())
        turns.append(command[0])
        return Cost(float(command[1]), 1.0, 1.0, 1.0, {})

    monkeypatch.setattr(codecs_measure, "run", turn)
    quick, slow = Side("quick", ("q", "0"), ("-", "0")), Side("slow", ("s", "3"), ("-", "3"))
    laboratory = Laboratory(tmp_path, rounds=3, patience=5.0)

    first = laboratory.measure(corpus, (quick, slow))
    again = laboratory.measure(corpus, (slow, quick))

    assert "".join(turns) == "q-s-q-q-"
    assert again == first[::-1]


def test_a_side_that_changes_the_data_is_no_peer(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, "words.log", b"words\n")
    liar = Side("liar", COPY, ("sh", "-c", "echo other words"))

    with pytest.raises(UnequalWork, match=r"liar did not give words\.log back"):
        Laboratory(tmp_path, rounds=1, patience=0.0).measure(corpus, [liar])


def test_a_side_that_fails_is_named_with_what_it_said(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path, "words.log", b"words\n")
    broken = Side("broken", ("sh", "-c", "echo no such option >&2; exit 3"), COPY)

    with pytest.raises(SideFailed, match="ended with 3: no such option"):
        Laboratory(tmp_path, rounds=1, patience=0.0).measure(corpus, [broken])


def test_a_tool_that_is_not_installed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    gone = Side("gone -9", ("no-such-tool", "-9"), COPY)

    assert codecs_sides.missing(gone)
    assert codecs_sides.missing(gone)
    assert not codecs_sides.missing(codecs_sides.profile("warm"))
    assert capsys.readouterr().err == "gone -9 is not installed and not measured\n"


def test_a_figure_whose_peer_is_not_installed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs_sides, "missing", lambda _side: True)
    laboratory = Laboratory(tmp_path, rounds=1, patience=0.0)
    found = _corpora(tmp_path / "corpora", quick=True)

    assert list(codecs_archive.archive_json(laboratory, found)) == []
    assert list(codecs_archive.logs_bz2(laboratory, found)) == []
    assert list(codecs_peers.quick_peers(laboratory, [])) == []


def test_speed_is_that_of_the_best_run_unless_asked_otherwise() -> None:
    runs = Runs(6_000_000, 1, [Cost(seconds, 1.0, 1.0, 1.0, {}) for seconds in (3.0, 1.0, 2.0)])

    assert (runs.speed("wall"), runs.speed("wall", over=max), runs.speed("cpu")) == (6.0, 2.0, 6.0)


def test_the_worst_row_is_the_farthest_from_its_goal() -> None:
    rows = [
        Measurement(f"size.{name}", value, "bytes", "xz", 10.0, 1.0, at_most=True)
        for name, value in (("a", 5.0), ("b", 9.0), ("c", 7.0))
    ]
    speeds = [Measurement(f"speed.{row.id[-1]}", row.value, "MB/s", "xz", 10.0, 1.0) for row in rows]

    assert [(row.id, row.value, row.peer) for row in worst("size", rows)] == [("size", 9.0, "xz, b")]
    assert [(row.id, row.value) for row in worst("speed", speeds)] == [("speed", 5.0)]
    assert worst("none", []) == []


def test_the_hybrid_of_the_first_version_gives_its_input_back() -> None:
    for data in (b"", b"words\n" * 200_000, bytes(range(256)) * 4000):
        assert codecs_literal.unpack(codecs_literal.pack(data)) == data


@pytest.mark.parametrize("label", ["zstd-9", "bz2-9", "records", "store"])
def test_a_label_tells_codec_and_level(label: str) -> None:
    assert codecs_path.label(codecs_path.codec_at(label)) == label


def test_a_file_that_grows_is_kept_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"word\n" * 1000)

    assert codecs_path.decide(source, Profile.COLD, lambda _codec: 5000) == get_codec("store")
    assert codecs_path.decide(source, Profile.COLD, lambda _codec: 4999).name != "store"


def test_a_long_stream_repeats_a_csv_file_without_its_header(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a,b\n1,2\n")

    assert b"".join(codecs_child._repeated(path, 10)) == b"a,b\n1,2\n1,2\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells the memory in another way")
@pytest.mark.parametrize("label", ["zstd-3", "bz2-9"])
def test_a_streams_memory_is_measured_only_if_it_came_back(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = _corpus(tmp_path, "words.log", b"one line and another\n" * 5000)
    monkeypatch.setattr(codecs_memory, "run", _run_here)
    laboratory = Laboratory(tmp_path, rounds=1, patience=0.0)

    peaks = codecs_memory._peaks(laboratory, label, corpus, 300_000)

    assert set(peaks) == {"compress", "decompress"}
    monkeypatch.setitem(codecs_child._TASKS, "stream_out", lambda *_: {"size": 1, "sha256": "", "peak_bytes": 1})
    with pytest.raises(UnequalWork, match=f"{label} did not give the stream back"):
        codecs_memory._peaks(laboratory, label, corpus, 300_000)
