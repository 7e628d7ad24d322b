"""What the archive profile makes of records, and bz2 of logs, beside xz.

Bytes and megabytes a CPU second. The CPU time of ours has the start of its interpreter and the choice in it; a
`_without_start` beside it has the choice only, as in a process that lives. The best of the runs counts, the median
stands beside it.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from des_platform_tests.bench import codecs_sides as sides
from des_platform_tests.bench.codecs_measure import named, worst
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform_tests.bench.codecs_measure import Laboratory, Runs, Side
    from des_platform_tests.bench.corpora import Corpus

_LEAST_BYTES = 300_000
"""What is smaller takes xz less time than an interpreter takes to start: its speed is shown without a goal."""

_XZ = sides.tool("xz -6")
_XZ_BEST = sides.tool("xz -9e -T2")  # which for files of this size does what `xz -9e` does: its blocks are longer
_XZ_THREADS = sides.tool("xz -6 -T2")


def archive_json(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """JSON lines: generated ones beside `xz -9e`; real ones too, in speed beside `xz -6`."""
    made, real = _of_kind(corpora, "json")
    yield from _archived("archive_json", laboratory, made, (_XZ_BEST, 0.6), (_XZ_BEST, 40.0))
    yield from _archived("archive_json", laboratory, real, (_XZ_BEST, 1.0), (_XZ, 15.0))


def archive_csv(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """CSV beside `xz -6`."""
    made, real = _of_kind(corpora, "csv")
    yield from _archived("archive_csv", laboratory, made, (_XZ, 0.65), (_XZ, 20.0))
    yield from _archived("archive_csv", laboratory, real, (_XZ, 1.0), (_XZ, None))


def archive_logs(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """Logs beside `xz -6`; nothing to reach."""
    for found in _of_kind(corpora, "log"):
        yield from _archived("archive_logs", laboratory, found, (_XZ, None), (_XZ, None))


def logs_bz2(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """Logs as bz2 on two threads beside `xz -6 -T2`: ratio and wall time, which mean nothing on a busy machine."""
    name, peer = "logs_bz2", _XZ_THREADS
    if sides.missing(peer):
        return
    rows: dict[str, list[Measurement]] = {"": [], "_wall": []}
    made, real = _of_kind(corpora, "log")
    for corpus in (*made, *real):
        ours, other = laboratory.measure(corpus, (sides.codec("bz2-9"), peer))
        tail = named(corpus)
        rows[""].append(Measurement(f"{name}.{tail}", ours.ratio, "ratio", peer.name, other.ratio, 1.15))
        goal = 6.0 if corpus.size >= _LEAST_BYTES else None
        wall = _speed(f"{name}_wall.{tail}", ours, other, peer, "wall", goal)
        if goal:
            rows["_wall"].append(wall)
        yield from (rows[""][-1], wall)
        yield _speed(f"{name}_wall_median.{tail}", ours, other, peer, "wall", over_median=True)
        yield _speed(f"{name}_wall_without_start.{tail}", ours, other, peer, "work_wall")
    for suffix, found in rows.items():
        yield from worst(name + suffix, found)


def _archived(
    name: str,
    laboratory: Laboratory,
    corpora: Sequence[Corpus],
    size: tuple[Side, float | None],
    speed: tuple[Side, float | None],
) -> Iterator[Measurement]:
    """Rows of each corpus, and then the worst of them.

    Args:
        name: of the rows.
        laboratory: measures.
        corpora: all generated, or all real.
        size: the peer of the bytes, and at most how many of its bytes are to be taken.
        speed: the peer of the CPU speed, and at least how many times its speed is to be reached.
    """
    if any(map(sides.missing, (size[0], speed[0]))):
        return
    sizes, speeds = [], []
    for corpus in corpora:
        ours, smallest, other = laboratory.measure(corpus, (sides.profile("archive"), size[0], speed[0]))
        tail = named(corpus)
        peer = f"{size[0].name} (ours: {ours.codec})"
        sizes.append(Measurement(f"{name}.{tail}", ours.size, "bytes", peer, smallest.size, size[1], at_most=True))
        goal = speed[1] if corpus.size >= _LEAST_BYTES else None
        cpu = _speed(f"{name}_cpu.{tail}", ours, other, speed[0], "cpu", goal)
        yield from (sizes[-1], cpu)
        yield _speed(f"{name}_cpu_median.{tail}", ours, other, speed[0], "cpu", over_median=True)
        yield _speed(f"{name}_cpu_without_start.{tail}", ours, other, speed[0], "work_cpu", goal)
        yield _speed(f"{name}_wall.{tail}", ours, other, speed[0], "wall")
        yield _speed(f"{name}_cpu_back.{tail}", ours, other, speed[0], "work_cpu", of="decompress")
        if corpus.size >= _LEAST_BYTES:
            speeds.append(cpu)
    kind = ".real" if corpora and corpora[0].real else ""
    yield from worst(name + kind, sizes)
    yield from worst(f"{name}_cpu{kind}", speeds)


def _speed(
    name: str,
    ours: Runs,
    other: Runs,
    peer: Side,
    clock: str,
    goal: float | None = None,
    *,
    of: str = "compress",
    over_median: bool = False,
) -> Measurement:
    unit = "MB/s" if clock.endswith("wall") else "MB/CPU s"
    over = median if over_median else min
    return Measurement(
        name, ours.speed(clock, of=of, over=over), unit, peer.name, other.speed(clock, of=of, over=over), goal
    )


def _of_kind(corpora: Sequence[Corpus], kind: str) -> tuple[list[Corpus], list[Corpus]]:
    """Generated ones, and real ones."""
    found = [corpus for corpus in corpora if corpus.kind == kind]
    return [corpus for corpus in found if not corpus.real], [corpus for corpus in found if corpus.real]
