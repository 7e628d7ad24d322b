"""How good the choice by sample is: what it chose beside each single codec of the profile, run in full.

And what choosing costs where speed counts: the profile `warm`, choice included, beside zstd-9 without one.
"""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING

from des_platform.codecs import NotRecords, Profile
from des_platform.codecs.choice import CANDIDATES
from des_platform_tests.bench import codecs_path
from des_platform_tests.bench import codecs_sides as sides
from des_platform_tests.bench.codecs_measure import named, worst
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from des_platform.codecs import Codec
    from des_platform_tests.bench.codecs_measure import Laboratory
    from des_platform_tests.bench.corpora import Corpus

_THREADS = 2


class _Sizes:
    """What each codec leaves of a corpus, once it was proven; where it refuses it, all of it.

    Args:
        folder: for what comes out.
        corpus: what goes in.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self._packed, self._restored = folder / "packed", folder / "restored"
        self._corpus = corpus
        self._sizes: dict[str, int] = {}

    def __call__(self, codec: Codec) -> int:
        label = codecs_path.label(codec)
        if label not in self._sizes:
            self._sizes[label] = self._measured(codec)
        return self._sizes[label]

    def of(self, label: str) -> int:
        """Those of a codec by its label."""
        return self(codecs_path.codec_at(label))

    def _measured(self, codec: Codec) -> int:
        corpus = self._corpus
        try:
            size = codecs_path.write(codec, corpus.path, self._packed, threads=_THREADS)
        except NotRecords:
            return corpus.size
        codecs_path.restore(codec, self._packed, self._restored, threads=_THREADS)
        if not filecmp.cmp(corpus.path, self._restored, shallow=False):
            raise UnequalWork(f"{codec.name} did not give {corpus.name} back")
        return size


def codec_choice(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """The chosen codec's bytes over those of the best single one; of `archive` after it may have changed its mind."""
    found = []
    for corpus in corpora:
        sizes = _Sizes(laboratory.folder, corpus)
        for profile in Profile:
            chosen = codecs_path.decide(corpus.path, profile, sizes)
            best = min((sizes.of(label), label) for label in _single(profile))
            name = f"codec_choice.{profile}.{named(corpus)}"
            peer = f"{best[1]} (chosen: {codecs_path.label(chosen)})"
            found.append(Measurement(name, sizes(chosen), "bytes", peer, best[0], 1.03, at_most=True))
            yield found[-1]
    yield from worst("codec_choice", found)


def warm_time(laboratory: Laboratory, corpora: Sequence[Corpus]) -> Iterator[Measurement]:
    """CPU of `warm` over that of zstd-9: the tool's, and our own without a choice."""
    found = []
    peers = [peer for peer in (sides.tool("zstd -9"), sides.codec("zstd-9")) if not sides.missing(peer)]
    for corpus in corpora:
        warm, *others = laboratory.measure(corpus, (sides.profile("warm"), *peers))
        for peer, other in zip(peers, others, strict=True):
            tail = f"{named(corpus)}.{peer.name.replace(' ', '_')}"
            mine, its = (corpus.size / 1e3 / runs.speed("work_cpu") for runs in (warm, other))
            label = f"{peer.name} (chosen: {warm.codec})"
            row = Measurement(f"warm_time.{tail}", mine, "ms of CPU", label, its, 2.0, at_most=True)
            found.append(row)
            yield row
            mine, its = (corpus.size / 1e3 / runs.speed("cpu") for runs in (warm, other))
            yield Measurement(f"warm_time_with_start.{tail}", mine, "ms of CPU", label, its)
    yield from worst("warm_time", found)


def _single(profile: Profile) -> list[str]:
    """Every codec that the profile may choose, and keeping the file."""
    labels = [f"{name}-{level}" for name, level in CANDIDATES[profile]]
    return [*labels, *(["records"] if profile is Profile.ARCHIVE else []), "store"]
