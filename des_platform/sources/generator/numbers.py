"""Columns of numbers: independent ones, random walks, and numbers near another column's.

A number is an integer in units of its last decimal place; it is written with all its places, so 189.5 in hundredths is
189.50, on every platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from des_platform.sources.generator.drawing import Column

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from fractions import Fraction

    from des_platform.sources.generator.drawing import Drawing, Form

MILLION = 1_000_000

# Prices and volumes repeat: a text that is found is 3 times as quick as one that is made. Beyond, the tables (one for
# each number of decimals) would cost more memory than they save time.
_TABLED = 1 << 17
# The sum of three dice from -7 to 7: bell-shaped, of variance 3 * 56 / 3.
_DICE = [a + b + c for a in range(-7, 8) for b in range(-7, 8) for c in range(-7, 8)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Which numbers there are: every `step` units from `low` to `high`; all are multiples of `step`."""

    decimals: int
    step: int
    low: int
    high: int

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return (self.high - self.low) // self.step + 1

    def texts(self, values: list[int], _form: Form, _day: date) -> list[str]:
        """Write numbers."""
        if self.low > -_TABLED and self.high < _TABLED:
            return [*map(_table(self.decimals).__getitem__, values)]
        return [*map(_writer(self.decimals), values)]

    def column(self, draw: Callable[[Drawing], list[int]], rank: int) -> Column:
        """A column of such numbers."""
        widest = max(len(str(self.low)), len(str(self.high))) + self.decimals + 2
        return Column(draw, self.texts, widest, rank, scale=self)


def independent(scale: Scale, skew: int) -> Column:
    """Numbers that know nothing of each other.

    Args:
        scale: which numbers.
        skew: 1 for all equally likely; with k they crowd at the low end, as the k-th power of a uniform number does.
    """
    low, step, count = scale.low, scale.step, scale.count

    def draw(drawing: Drawing) -> list[int]:
        random = drawing.random()
        draws = [random() for _ in range(drawing.rows)]
        powers = draws
        for _ in range(skew - 1):  # multiplied, since pow() is the platform's own
            powers = [power * factor for power, factor in zip(powers, draws, strict=True)]
        return [low + step * int(power * count) for power in powers]

    return scale.column(draw, rank=0)


def bell(deviation: Fraction) -> tuple[int, ...]:
    """A table whose entries are bell-shaped around 0.

    Args:
        deviation: their standard deviation.
    """
    # Their sum deviates by the root of 56, here as a fraction so that all else is exact.
    by_total = {total: round(deviation * total * 1000 / 7483) for total in range(-21, 22)}
    return tuple(by_total[total] for total in _DICE)


def walk(
    scale: Scale, by: str | None, starts: tuple[int, ...], *, vary: int, moves: tuple[int, ...], relative: bool
) -> Column:
    """A random walk for each value of another column, or one for all; the files of a day begin at the same values.

    Args:
        scale: which numbers; a walk never leaves them.
        by: the other column, one of few values; None for one walk.
        starts: where each walk begins, in steps of the scale.
        vary: by how much a day's beginning differs from that, at most: steps, or millionths of the value.
        moves: table of what is added from row to row: steps, or millionths of the value.
        relative: whether these are millionths of the value.
    """
    step, low, high = scale.step, scale.low // scale.step, scale.high // scale.step

    def start_of_day(drawing: Drawing) -> list[int]:
        random = drawing.random_of_day()
        shifts = [int(random() * (2 * vary + 1)) - vary for _ in starts]
        shifted = zip(starts, shifts, strict=True)
        begun = [start + (start * shift // MILLION if relative else shift) for start, shift in shifted]
        return [min(max(value, low), high) for value in begun]

    def draw(drawing: Drawing) -> list[int]:
        state = start_of_day(drawing)
        walkers = drawing.drawn[by] if by is not None else [0] * drawing.rows
        walked = []
        for walker, move in zip(walkers, drawing.picked(moves), strict=True):
            value = state[walker]
            # Half a step is added before the floor, or rounding down would drag every walk to the bottom.
            value += (value * move + 500_000) // 1_000_000 if relative else move
            if value < low or value > high:
                value = low if value < low else high
            state[walker] = value
            walked.append(value)
        return walked if step == 1 else [value * step for value in walked]

    return scale.column(draw, rank=1)


def near(scale: Scale, of: str, factor: int, offsets: range) -> Column:
    """Numbers near another column's.

    Args:
        scale: which numbers.
        of: the other column, one of numbers.
        factor: what its units are in units of this one.
        offsets: what is added, in units.
    """

    def draw(drawing: Drawing) -> list[int]:
        added = zip(drawing.drawn[of], drawing.picked(offsets), strict=True)
        return [value * factor + offset for value, offset in added]

    return scale.column(draw, rank=2)


class _Table(dict[int, str]):
    """The texts of numbers, each made when it is first asked for."""

    def __init__(self, decimals: int) -> None:
        self._write = _writer(decimals)

    def __missing__(self, value: int) -> str:
        text = self[value] = self._write(value)
        return text


@cache
def _table(decimals: int) -> _Table:
    return _Table(decimals)


def _writer(decimals: int) -> Callable[[int], str]:
    if decimals == 0:
        return str
    # A quotient of integers below 2 ** 50 differs from the decimal by less than half a unit of the last place.
    divisor, form = 10**decimals, f"%.{decimals}f"
    return lambda value: form % (value / divisor)
