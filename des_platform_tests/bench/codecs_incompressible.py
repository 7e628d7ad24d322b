"""What input that does not compress costs: the sample's choice and then keeping the file, beside a plain copy of it.

That the platform reads a kept file once to compare it with its catalogue is no part of it. The best of many turns
counts, since a copy in memory is too short for a median to be quiet.
"""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING

from des_platform.codecs import Profile
from des_platform_tests.bench import codecs_path
from des_platform_tests.bench.codecs_measure import worst
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from des_platform_tests.bench.codecs_measure import Laboratory
    from des_platform_tests.bench.corpora import Corpus

_HEADER_BYTES = 18.0
"""The longest header of a zstd frame."""

_FORCED = ("zstd-3", "bz2-9", "xz-6", "gzip-6")
_PEER = "shutil.copyfile"


def incompressible(
    laboratory: Laboratory, corpora: Sequence[Corpus], *, length: int, turns: int
) -> Iterator[Measurement]:
    """Time and growth of every profile on random bytes and on a file that is compressed already.

    Args:
        laboratory: has the folder.
        corpora: the first one is compressed.
        length: bytes of the random file.
        turns: of each side.
    """
    source, target = laboratory.folder / "incompressible", laboratory.folder / "kept"
    source.write_bytes(random.Random(7).randbytes(length))  # noqa: S311 - the same bytes each time
    times, growths = [], []
    for profile in Profile:
        ours, copy = _in_turn(source, target, profile, turns)
        tail = f"{profile}.random"
        wall, cpu = (
            Measurement(f"incompressible{clock}.{tail}", mine * 1e3, unit, _PEER, its * 1e3, 1.02, at_most=True)
            for clock, unit, mine, its in zip(("", "_cpu"), ("ms", "ms of CPU"), ours, copy, strict=True)
        )
        times.append(wall)
        growths.append(_growth(f"incompressible_growth.{tail}", source, target))
        yield from (wall, cpu, growths[-1])
    packed = laboratory.folder / "compressed"
    codecs_path.write(codecs_path.codec_at("xz-6"), corpora[0].path, packed, threads=2)
    for profile in Profile:
        codecs_path.pack(packed, target, profile, threads=2)
        growths.append(_growth(f"incompressible_growth.{profile}.{corpora[0].name}.xz", packed, target))
        yield growths[-1]
    source.write_bytes(source.read_bytes()[: length // 8])
    for label in _FORCED:
        codecs_path.write(codecs_path.codec_at(label), source, target, threads=2)
        yield _growth(f"incompressible_growth.without_choice.{label}", source, target, goal=None)
    yield from worst("incompressible", times)
    yield from worst("incompressible_growth", growths)
    for path in (source, target, packed):
        path.unlink()


def _in_turn(source: Path, target: Path, profile: Profile, turns: int) -> tuple[list[float], list[float]]:
    """The least seconds, wall and CPU, of ours and of a copy."""
    ours, copy = [], []
    for _ in range(turns):
        copy.append(_timed(lambda: shutil.copyfile(source, target)))
        ours.append(_timed(lambda: codecs_path.pack(source, target, profile, threads=2)))
    return [min(clock) for clock in zip(*ours, strict=True)], [min(clock) for clock in zip(*copy, strict=True)]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _growth(name: str, source: Path, target: Path, goal: float | None = _HEADER_BYTES) -> Measurement:
    grown = target.stat().st_size - source.stat().st_size
    size = source.stat().st_size
    return Measurement(name, grown, "bytes more", "bytes of the file", size, goal, at_most=True, absolute=True)
