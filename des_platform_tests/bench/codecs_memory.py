"""How much memory a codec takes: a process that compresses a long stream on two threads, and one that reads it back.

The stream is a file again and again; frames are independent and `records` takes rows a group at a time, so it is the
length that matters. The interpreter, and Arrow with `records`, are counted in.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from des_platform.codecs import Profile
from des_platform.codecs.choice import CANDIDATES
from des_platform_tests.bench import codecs_sides as sides
from des_platform_tests.bench.codecs_measure import MEGABYTE, named, run, worst
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform_tests.bench.codecs_measure import Laboratory, Side
    from des_platform_tests.bench.corpora import Corpus

_GOAL = 256.0
_SLOW = {"xz-6", "zstd-19", "records"}


def codec_memory(
    laboratory: Laboratory, corpora: Sequence[Corpus], *, length: int, slow_length: int
) -> Iterator[Measurement]:
    """Peak memory of each codec at each level that a profile may choose.

    Args:
        laboratory: measures.
        corpora: `records` gets the first generated and the first real one of each kind, the others the first.
        length: bytes of the stream.
        slow_length: likewise of the slow codecs.
    """
    peer = sides.tool("xz -9e -T2")
    theirs = 0.0 if sides.missing(peer) else _peak(laboratory, peer, corpora[0])
    found = []
    for label, corpus in _streams(corpora):
        peaks = _peaks(laboratory, label, corpus, slow_length if label in _SLOW else length)
        for way, peak in peaks.items():
            name = f"codec_memory.{label}.{way}.{named(corpus)}"
            row = Measurement(name, peak, "MB", peer.name, theirs, _GOAL, at_most=True, absolute=True)
            found.append(row)
            yield row
    yield from worst("codec_memory", found)


def _peak(laboratory: Laboratory, peer: Side, corpus: Corpus) -> float:
    """The peak megabytes of a tool; what it needs once, for its memory does not grow with the stream."""
    found = run((*sides.CHILD, "watched", "{target}", *peer.compress), corpus.path, laboratory.folder / "unused")
    return float(found.told["peak_bytes"]) / MEGABYTE


def _streams(corpora: Sequence[Corpus]) -> Iterator[tuple[str, Corpus]]:
    labels = {f"{name}-{level}" for profile in Profile for name, level in CANDIDATES[profile]}
    for label in sorted(labels):
        yield label, corpora[0]
    of_a_kind = {(corpus.kind, corpus.real): corpus for corpus in reversed(corpora)}
    for (kind, _real), corpus in of_a_kind.items():
        if kind in {"json", "csv", "log"}:
            yield "records", corpus


def _peaks(laboratory: Laboratory, label: str, corpus: Corpus, length: int) -> dict[str, float]:
    """The peak megabytes of compressing and of decompressing; none if the codec refuses the corpus."""
    packed, unused = laboratory.folder / "stream", laboratory.folder / "unused"
    into = run((*sides.CHILD, "stream_in", label, "{source}", "{target}", str(length)), corpus.path, packed).told
    if not into["size"]:
        sys.stderr.write(f"{label} refuses {corpus.name}: its memory is not measured\n")
        return {}
    out = run((*sides.CHILD, "stream_out", label, "{source}", "{target}"), packed, unused).told
    packed.unlink()
    if [into[name] for name in ("size", "sha256")] != [out[name] for name in ("size", "sha256")]:
        raise UnequalWork(f"{label} did not give the stream back: {json.dumps([into, out])}")
    return {"compress": into["peak_bytes"] / MEGABYTE, "decompress": out["peak_bytes"] / MEGABYTE}
