"""Which codec suits a file, judged by a sample of it.

A candidate costs J = bytes + lambda * CPU seconds: the size that the file would have, and the time to compress it once
and to read it back twice, turned into bytes by what the profile finds a CPU second worth. No CPU time is worth more
than a fiftieth of the size, so that the choice is never far from the profile's smallest. The time comes from a static
table, never from a clock, so the same sample and profile always give the same choice.

What does not compress is found with zstd-1 first, on 192 KiB at most, which costs a thousandth of trying xz on it. A
codec with a long window gains more from a whole file than from a sample: how much is judged by what it gains from the
whole sample against half of each slice. On 38 files, real and generated, the choice was at most 2.5 % larger than the
best of its profile; without that, up to 27 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from des_platform.codecs.builtin import zstd_size
from des_platform.codecs.costs import COSTS
from des_platform.codecs.records import looks_like_records
from des_platform.codecs.registry import get_codec
from des_platform.codecs.streams import compress_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.codecs.codec import Codec

SLICE_BYTES = 64 * 1024
"""The least length of each of the three slices of a sample, and what the probe takes of each."""

_MAX_SLICE_BYTES = 8 * SLICE_BYTES
_SLICES_OF_A_FILE = 16

MIN_PROBE_RATIO = 1.05
"""Data that zstd-1 shrinks by less than this factor is stored as it is."""


class Profile(StrEnum):
    """How a dataset's files are used, and so what a CPU second is worth against a byte."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"
    COMPATIBLE = "compatible"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Choice:
    """A codec and why it was chosen.

    Attributes:
        codec: with its level.
        reason: one sentence for a human.
        estimated_ratio: original bytes per compressed byte of the file; 1.0 for `store`. Of `records` only what zstd-1
            would reach, since its own is known once it has seen the file.
    """

    codec: Codec
    reason: str
    estimated_ratio: float


_COLD = (("xz", 6), ("bz2", 9), ("zstd", 19))
# zstd-11 takes 2.1 times as long as zstd-9, for 0.7 % on average: too slow to be warm.
CANDIDATES: dict[Profile, tuple[tuple[str, int], ...]] = {
    Profile.HOT: (("zstd", 1), ("zstd", 3)),
    Profile.WARM: (("zstd", 3), ("zstd", 6), ("zstd", 9), ("zstd", 10)),
    Profile.COLD: _COLD,
    Profile.COMPATIBLE: (("xz", 6), ("bz2", 9), ("gzip", 6)),
    Profile.ARCHIVE: _COLD,
}
"""Codecs and levels of each profile; of `archive` those that take the place of `records`."""

# Bytes that one CPU second is worth. At 0.04 $ per CPU hour and 0.023 $ per GB and month, a CPU second pays for 40 kB
# kept a year (cold, compatible, archive) or 500 kB kept a month (warm). Hot data is read often and rewritten soon: at
# 20 MB, zstd-3 must save a twentieth to be worth its time against storing.
_BYTES_PER_CPU_SECOND: dict[Profile, float] = {
    Profile.HOT: 20e6,
    Profile.WARM: 500e3,
    Profile.COLD: 40e3,
    Profile.COMPATIBLE: 40e3,
    Profile.ARCHIVE: 40e3,
}

# Both find the same far repeats and take as long: where xz is clearly beaten, its double need not be tried.
_DOUBLES = {("zstd", 19): "xz"}
_CLEARLY = 1.05

# Levels of one codec differ on a seventh of a small file as on the whole, and trying them all on that takes half the
# time of zstd-9. Such a small lead of one over another is real: nothing had to be guessed of their windows.
_WARM_SHARE = 7
_WARM_TOLERANCE = 1.005

# The best ordinary codec made twice as much of a file as zstd-1 of its sample, at most: 1.98 times, of six kinds.
_BEST_OVER_PROBE = 2.0

_READS = 2  # to prove the file, and once after that

_TOLERANCE = 1.02
"""What is larger than this times the smallest is not chosen, however cheap it is."""

_GROWTH_KEPT = 0.75
"""How much of the growth from half a sample to a whole one goes on with each doubling, until the window is full."""

_WINDOWS = {"zstd": 4 << 20, "xz": 4 << 20, "bz2": 900_000, "gzip": 32 << 10}


def sample_ranges(size: int) -> list[tuple[int, int]]:
    """Return which byte ranges of a file to sample.

    Args:
        size: the file's length in bytes.

    Returns:
        `(offset, length)` pairs in order, without overlap: from the start, the middle and the end, each 1/16 of the
        file, but at least 64 KiB and at most 512 KiB; the whole file if it is no longer than three slices together;
        nothing for an empty file.

    Raises:
        ValueError: if the size is negative.
    """
    if size < 0:
        raise ValueError(f"a file cannot have {size} bytes")
    if size <= 3 * SLICE_BYTES:
        return [(0, size)] if size else []
    length = min(max(1, size // _SLICES_OF_A_FILE // SLICE_BYTES) * SLICE_BYTES, _MAX_SLICE_BYTES)
    return [(offset, length) for offset in (0, (size - length) // 2, size - length)]


def choose(samples: Sequence[bytes], profile: Profile, *, size: int | None = None) -> Choice:
    """Choose the codec for a file.

    Args:
        samples: slices of the file, such as `sample_ranges` asks for, in order.
        profile: how the file is used.
        size: the file's length in bytes; that of the samples if omitted.

    Returns:
        The cheapest candidate of the profile, `store` where compressing is not worth it; in the profile `archive`
        `records` where the file looks like records, which only compressing it can confirm.
    """
    sample = b"".join(samples)
    if not sample:
        return _stored("there is nothing to compress", profile)
    probed = sample if len(sample) <= 3 * SLICE_BYTES else b"".join(part[:SLICE_BYTES] for part in samples)
    probe = len(probed) / len(compress_bytes(get_codec("zstd").at_level(1), probed))
    if probe < MIN_PROBE_RATIO:
        return _stored(f"zstd-1 shrinks the sample only by a factor of {probe:.2f}", profile)
    if profile is Profile.ARCHIVE and looks_like_records(samples[0]):
        return Choice(get_codec("records"), f"records: the file begins with records (profile {profile})", probe)
    size = max(size or 0, len(sample))
    if profile is Profile.WARM:
        samples = [part[: max(1, size // _WARM_SHARE // len(samples))] for part in samples]
    return _cheapest(samples, profile, size)


def without_records(samples: Sequence[bytes], *, size: int, why: str) -> Choice:
    """The best ordinary codec of a file that `records` refused, or did not give back.

    Args:
        samples: as for `choose`.
        size: the file's length in bytes.
        why: what `records` failed of.
    """
    ordinary = choose(samples, Profile.COLD, size=size)
    return replace(ordinary, reason=f"{ordinary.reason}; records does not suit: {why}")


def smaller_than_records(samples: Sequence[bytes], records: Choice, *, size: int, left: int) -> Choice | None:
    """The best ordinary codec, if it leaves less of a file than `records` did.

    Args:
        samples: as for `choose`.
        records: what that chose.
        size: the file's length in bytes.
        left: what `records` left of them.
    """
    if left * _BEST_OVER_PROBE * records.estimated_ratio <= size:
        return None
    ordinary = without_records(samples, size=size, why=f"it gave {left} of {size} bytes")
    return None if left < size and left * ordinary.estimated_ratio <= size else ordinary


def _cheapest(samples: Sequence[bytes], profile: Profile, size: int) -> Choice:
    warm = profile is Profile.WARM
    shares: dict[Codec, float] = {}
    for name, level in CANDIDATES[profile]:
        double = next((share for codec, share in shares.items() if codec.name == _DOUBLES.get((name, level))), 0)
        if double <= _CLEARLY * min(shares.values(), default=1):
            codec = get_codec(name).at_level(level)
            shares[codec] = _sample_share(codec, b"".join(samples), size) if warm else _share(codec, samples, size)
    costs = {codec: share + _cpu_cost(codec, profile) for codec, share in shares.items()}
    tolerance = _WARM_TOLERANCE if warm else _TOLERANCE
    small = [codec for codec in shares if shares[codec] <= tolerance * min(shares.values())]
    best = min(small, key=costs.__getitem__)
    if costs[best] >= 1:
        why = f"{_label(best)} would leave {shares[best]:.2f} of the file, not worth its CPU time"
        return _stored(why, profile)
    return Choice(best, _reason(best, shares, profile), 1 / shares[best])


def _share(codec: Codec, samples: Sequence[bytes], size: int) -> float:
    """What the codec would leave of the file, by its sample."""
    sample = b"".join(samples)
    share = _sample_share(codec, sample, size)
    seen = min(size, _WINDOWS[codec.name])
    if seen <= len(sample):
        return share
    half = b"".join(part[: len(part) // 2] for part in samples)
    growth = max(1.0, _sample_share(codec, half, size) / share)
    return share / math.pow(growth, _GROWTH_KEPT * math.log2(seen / len(sample)))


def _sample_share(codec: Codec, sample: bytes, size: int) -> float:
    if codec.name == "zstd":
        # A level means another search for each length of input: as for a frame of the file, not as for its sample.
        return zstd_size(sample, codec.level, min(size, codec.frame_bytes)) / len(sample)
    return len(compress_bytes(codec, sample)) / len(sample)


def _cpu_cost(codec: Codec, profile: Profile) -> float:
    """What a byte of the file costs in CPU time, in bytes."""
    cost = COSTS[codec.name, codec.level]
    return _BYTES_PER_CPU_SECOND[profile] * (cost.compress_ns + _READS * cost.decompress_ns) * 1e-9


def _reason(best: Codec, shares: dict[Codec, float], profile: Profile) -> str:
    others = sorted((codec for codec in shares if codec is not best), key=shares.__getitem__)
    parts = [f"{_label(best)}: {shares[best]:.3f} of the file by its sample"]
    parts += [f"{_label(codec)} {shares[codec]:.3f}" for codec in others]
    sentence = ", ".join(parts)
    if shares[others[0]] < shares[best]:
        sentence += f"; {_label(others[0])} would cost more CPU time than it saves"
    return f"{sentence} (profile {profile})"


def _label(codec: Codec) -> str:
    return f"{codec.name}-{codec.level}"


def _stored(why: str, profile: Profile) -> Choice:
    return Choice(get_codec("store"), f"store: {why} (profile {profile})", 1.0)
