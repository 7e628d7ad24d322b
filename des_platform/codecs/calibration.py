"""Measuring what codecs cost on this machine, for the table in `costs`.

The only place in this room that asks a clock: nothing here is part of a choice.
"""

from __future__ import annotations

import math
import random
from time import thread_time
from typing import TYPE_CHECKING

from des_platform.codecs.costs import COSTS, Cost
from des_platform.codecs.registry import get_codec
from des_platform.codecs.streams import compress, decompress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.codecs.codec import Codec

SAMPLE_BYTES = 4 << 20


def measured_costs(samples: Sequence[bytes]) -> Iterator[tuple[tuple[str, int], Cost]]:
    """Measure every codec and level that a profile may choose, one after the other.

    Args:
        samples: what to compress, some MiB each; the geometric mean over them counts.

    Yields:
        Name and level, and what they cost.
    """
    for name, level in COSTS:
        codec = get_codec(name).at_level(level)
        each = [_cost(codec, sample) for sample in samples]
        compressing, decompressing = zip(*each, strict=True)
        yield (name, level), Cost(_mean(compressing), _mean(decompressing))


def typical_samples(size: int = SAMPLE_BYTES) -> list[bytes]:
    """Return generated log lines, JSON lines and CSV, the same each time."""
    draw = random.Random(1)  # noqa: S311 - no secret
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 9))) for _ in range(400)]
    lines: tuple[list[str], list[str], list[str]] = ([], [], [])
    written, number = 0, 0
    while written < size:
        number += draw.randint(1, 40)
        word, other, value = draw.choice(words), draw.choice(words), draw.gauss(100, 9)
        time = f"2026-03-01T{number // 3_600_000 % 24:02}:{number // 60_000 % 60:02}:{number / 1000 % 60:06.3f}Z"
        lines[0].append(f"{time} INFO [{word}] request {draw.getrandbits(48):012x} took {value:.0f} ms path=/{other}\n")
        lines[1].append(f'{{"time": "{time}", "name": "{word}", "value": {value:.2f}, "count": {number}}}\n')
        lines[2].append(f"{time},{word},{value:.2f},{number},{other}\n")
        written += len(lines[2][-1])
    return ["".join(part).encode()[:size] for part in lines]


def as_source(costs: Sequence[tuple[tuple[str, int], Cost]]) -> str:
    """Return a table as it stands in `costs`."""
    rows = [
        f'    ("{name}", {level}): Cost({cost.compress_ns:.1f}, {cost.decompress_ns:.1f}),\n'
        for (name, level), cost in costs
    ]
    return f"COSTS: dict[tuple[str, int], Cost] = {{\n{''.join(rows)}}}"


def _cost(codec: Codec, sample: bytes) -> Cost:
    started = thread_time()
    packed = b"".join(compress(codec, [sample]))
    compressed = thread_time()
    for _ in decompress(codec, [packed], max_size=len(sample)):
        pass
    per_byte = 1e9 / len(sample)
    return Cost((compressed - started) * per_byte, (thread_time() - compressed) * per_byte)


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
