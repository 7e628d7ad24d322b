"""What compressing and decompressing cost: a static table, so that a choice never depends on a clock.

`des codecs calibrate` measures the same on another machine and prints it as it stands here. What counts is the
proportion between the codecs, which differs far less from machine to machine than their speed.
"""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """CPU time in nanoseconds for each byte of the original, to compress it and to decompress it."""

    compress_ns: float
    decompress_ns: float


COSTS: dict[tuple[str, int], Cost] = {
    ("zstd", 1): Cost(2.1, 0.8),
    ("zstd", 3): Cost(3.5, 0.9),
    ("zstd", 6): Cost(10.0, 0.8),
    ("zstd", 9): Cost(16.0, 0.8),
    ("zstd", 10): Cost(21.0, 0.8),
    ("zstd", 19): Cost(390.0, 0.8),
    ("bz2", 9): Cost(66.0, 18.0),
    ("xz", 6): Cost(400.0, 7.0),
    ("gzip", 6): Cost(25.0, 2.0),
}
"""Of every codec and level that a profile may choose."""
