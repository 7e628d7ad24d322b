"""What becomes of a column's dictionary between a few rows and a whole row group.

Two laws bound it. If all values were equally frequent, those seen say how many there are (as with a coupon collector's
pictures); if the rare ones never end, each doubling of the rows adds as many times more as the last one did. What real
columns do lies between: a mean of both was within a factor of two for prices, counts, names and addresses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from des_platform.parquet.trials import Trial

_ALL_DIFFERENT = 0.99
_STEPS = 50


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A column's dictionary in a row group.

    Attributes:
        size: its bytes before the codec.
        growth: how many times that of the slices it is.
        widening: how many times the bytes of an index are.
    """

    size: float = 0.0
    growth: float = 1.0
    widening: float = 1.0

    @classmethod
    def grown(cls, half: Trial, whole: Trial, plain: Trial, times: float) -> Dictionary:
        """Extrapolate.

        Args:
            half: one slice, with a dictionary and without a codec.
            whole: both slices, likewise.
            plain: both slices without a dictionary.
            times: how many times the rows of both slices a row group has.
        """
        if not (half.dictionary and whole.dictionary and plain.values):
            return cls()
        entries = whole.dictionary * plain.values / plain.encoded
        growth = _growth(entries, whole.dictionary / half.dictionary, plain.values, times)
        width = max(8 * whole.data / plain.values, 1.0)
        return cls(whole.dictionary * growth, growth, 1 + math.log2(growth) / width)


def _growth(entries: float, doubling: float, values: int, times: float) -> float:
    if entries >= _ALL_DIFFERENT * values:
        return times
    endless = times ** min(max(math.log2(doubling), 0.0), 1.0)
    ended = min(_population(entries, values), times * values)
    even = ended * -math.expm1(-times * values / ended) / entries
    trust = max((entries / values) ** 2, 0.4)  # in the endless law: where nearly all differ, the few that recur mislead
    return float(max(even, 1.0) ** (1 - trust) * max(endless, 1.0) ** trust)


def _population(entries: float, values: int) -> float:
    """How many equally frequent things there are if so many values show so many of them."""
    low, high = entries, values * values / (values - entries)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle * -math.expm1(-values / middle) < entries:
            low = middle
        else:
            high = middle
    return high
