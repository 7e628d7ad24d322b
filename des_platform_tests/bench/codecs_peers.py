"""Other compressors on every corpus, and the hybrid as its first version had it: ratio, and speed both ways.

The value is the platform's: the profile that aims at what the peer aims at, choice included. Speed is megabytes a CPU
second without the start of an interpreter, ours and the libraries' alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform_tests.bench import codecs_sides as sides
from des_platform_tests.bench.codecs_measure import named, worst
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from des_platform_tests.bench.codecs_measure import Laboratory, Side
    from des_platform_tests.bench.corpora import Corpus

_QUICK = {
    "archive": ("xz -6", "pbzip2 -9 -p2", "lbzip2 -9 -n2"),
    "warm": ("zstd -9", "brotli 9", "pigz -6 -p2"),
    "hot": ("zstd -3", "isal 1"),
}
"""Peers by the profile that stands beside them."""

_SLOW = {"archive": ("xz -9e -T2", "zstd -19", "brotli 11")}


def quick_peers(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """Those that compress more than 2 MB in a CPU second."""
    yield from _beside(_QUICK, laboratory, corpora)


def slow_peers(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """Those that take a second for a MB."""
    yield from _beside(_SLOW, laboratory, corpora)


def literal_hybrid(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """The profile `cold` beside the first version's hybrid: smaller everywhere."""
    found = []
    for corpus in corpora:
        ours, other = laboratory.measure(corpus, (sides.profile("cold"), sides.LITERAL), patience=0.0)
        tail, label = named(corpus), f"{sides.LITERAL.name} (ours: {ours.codec})"
        row = Measurement(f"literal_hybrid.{tail}", ours.size, "bytes", label, other.size, 1.0, at_most=True)
        found.append(row)
        yield row
        speeds = [runs.speed("work_cpu") for runs in (ours, other)]
        yield Measurement(f"literal_hybrid_cpu.{tail}", speeds[0], "MB/CPU s", label, speeds[1])
    yield from worst("literal_hybrid", found)


def _beside(
    names: Mapping[str, Sequence[str]], laboratory: Laboratory, corpora: Sequence[Corpus]
) -> Iterator[Measurement]:
    for profile, found in names.items():
        there = [side for side in map(_side, found) if not sides.missing(side)]
        for corpus in corpora:
            ours, *others = laboratory.measure(corpus, (sides.profile(profile), *there), patience=0.0)
            for side, other in zip(there, others, strict=True):
                tail = f"{named(corpus)}.{side.name.replace(' ', '_')}"
                label = f"{side.name} (ours: {profile}, {ours.codec})"
                yield Measurement(f"peers_ratio.{tail}", ours.ratio, "ratio", label, other.ratio)
                for way in ("compress", "decompress"):
                    speeds = [runs.speed("work_cpu", of=way) for runs in (ours, other)]
                    yield Measurement(f"peers_{way}.{tail}", speeds[0], "MB/CPU s", label, speeds[1])


def _side(name: str) -> Side:
    words = name.split()
    libraries = {"brotli": sides.brotli, "isal": sides.isal}
    return libraries[words[0]](int(words[1])) if words[0] in libraries else sides.tool(name)
