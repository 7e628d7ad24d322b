"""Which codec suits a file, judged by a sample of it.

A candidate costs J = bytes + lambda * CPU seconds: the size of the compressed sample, and the time to compress it once
and to read it back once, turned into bytes by what the profile finds a CPU second worth. The time comes from a static
table, never from a clock, so the same sample and profile always give the same choice. Incompressible data is found
with zstd-1 first, which costs a thousandth of trying xz on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from des_platform.codecs.registry import Codec, get_codec
from des_platform.codecs.streams import compress_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

SLICE_BYTES = 64 * 1024
"""The length of each of the three slices of a sample."""

MIN_PROBE_RATIO = 1.05
"""Data that zstd-1 shrinks by less than this factor is stored as it is."""


class Profile(StrEnum):
    """How a dataset's files are used, and so what a CPU second is worth against a byte."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"
    COMPATIBLE = "compatible"


@dataclass(frozen=True, slots=True)
class Choice:
    """A codec and why it was chosen.

    Attributes:
        codec: with its level.
        reason: one sentence for a human.
        estimated_ratio: original bytes per compressed byte of the sample; 1.0 for `store`.
    """

    codec: Codec
    reason: str
    estimated_ratio: float


# MB (10^6 bytes) per CPU second to compress and to decompress: geometric means over synthetic JSON, CSV and log files
# of 25 MB, with zstandard 0.25 and the standard library's bz2 and lzma. What counts is their proportion.
_SPEED: dict[tuple[str, int], tuple[float, float]] = {
    ("zstd", 3): (500.0, 2000.0),
    ("zstd", 9): (95.0, 2100.0),
    ("zstd", 19): (2.7, 1830.0),
    ("xz", 6): (3.5, 151.0),
    ("bz2", 9): (18.0, 60.0),
}

_CANDIDATES: dict[Profile, tuple[tuple[str, int], ...]] = {
    Profile.HOT: (("zstd", 3),),
    Profile.WARM: (("zstd", 9),),
    Profile.COLD: (("xz", 6), ("bz2", 9), ("zstd", 19)),
    Profile.COMPATIBLE: (("xz", 6), ("bz2", 9)),
}

# Bytes that one CPU second is worth. At 0.04 $ per CPU hour and 0.023 $ per GB and month, a CPU second pays for 40 kB
# kept a year (cold, compatible) or 500 kB kept a month (warm). Hot data is read often and rewritten soon: at 20 MB,
# zstd-3 must save a twentieth to be worth its time.
_BYTES_PER_CPU_SECOND: dict[Profile, float] = {
    Profile.HOT: 20e6,
    Profile.WARM: 500e3,
    Profile.COLD: 40e3,
    Profile.COMPATIBLE: 40e3,
}


def sample_ranges(size: int) -> list[tuple[int, int]]:
    """Return which byte ranges of a file to sample.

    Args:
        size: the file's length in bytes.

    Returns:
        `(offset, length)` pairs in order, without overlap: 64 KiB from the start, the middle and the end, or the whole
        file if it is no longer than that together; nothing for an empty file.

    Raises:
        ValueError: if the size is negative.
    """
    if size < 0:
        raise ValueError(f"a file cannot have {size} bytes")
    if size <= 3 * SLICE_BYTES:
        return [(0, size)] if size else []
    return [(offset, SLICE_BYTES) for offset in (0, (size - SLICE_BYTES) // 2, size - SLICE_BYTES)]


def choose(samples: Sequence[bytes], profile: Profile) -> Choice:
    """Choose the codec for a file.

    Args:
        samples: slices of the file, such as `sample_ranges` asks for, in order.
        profile: how the file is used.

    Returns:
        The cheapest candidate of the profile, `store` where compressing is not worth it.
    """
    sample = b"".join(samples)
    if not sample:
        return _stored("there is nothing to compress", profile)
    probe = len(sample) / len(compress_bytes(get_codec("zstd").at_level(1), sample))
    if probe < MIN_PROBE_RATIO:
        return _stored(f"zstd-1 shrinks the sample only by a factor of {probe:.2f}", profile)
    candidates = [get_codec(name).at_level(level) for name, level in _CANDIDATES[profile]]
    sizes = {codec: len(compress_bytes(codec, sample)) for codec in candidates}
    costs = {codec: size + _cpu_cost(codec, len(sample), profile) for codec, size in sizes.items()}
    best = min(costs, key=costs.__getitem__)
    if costs[best] >= len(sample):
        share = sizes[best] / len(sample)
        return _stored(f"{best.name} would leave {share:.2f} of the sample, not worth its CPU time", profile)
    return Choice(best, _reason(best, sizes, len(sample), profile), len(sample) / sizes[best])


def _cpu_cost(codec: Codec, size: int, profile: Profile) -> float:
    compress_speed, decompress_speed = _SPEED[codec.name, codec.level]
    cpu_seconds = size / 1e6 * (1 / compress_speed + 1 / decompress_speed)
    return _BYTES_PER_CPU_SECOND[profile] * cpu_seconds


def _reason(best: Codec, sizes: dict[Codec, int], sample_size: int, profile: Profile) -> str:
    others = sorted((codec for codec in sizes if codec is not best), key=sizes.__getitem__)
    shares = [f"{best.name}: {sizes[best] / sample_size:.2f} of the sample"]
    shares += [f"{codec.name} {sizes[codec] / sample_size:.2f}" for codec in others]
    sentence = ", ".join(shares)
    if others and sizes[others[0]] < sizes[best]:
        sentence += f"; {others[0].name} would cost more CPU time than it saves"
    return f"{sentence} (profile {profile})"


def _stored(why: str, profile: Profile) -> Choice:
    return Choice(get_codec("store"), f"store: {why} (profile {profile})", 1.0)
