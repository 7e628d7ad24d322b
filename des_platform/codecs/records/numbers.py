"""Numbers written in ASCII, read and written a column at a time, eight digits a step.

Only what `format_scaled` would write again in the same way is read: no plus, no exponent, no needless zero in front, no
negative zero, at most 18 digits. Everything else is reported as not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from des_platform.codecs.records.lines import Block

MAX_DIGITS = 18
_ZERO, _NINE, _MINUS, _POINT = 48, 57, 45, 46


def read_digits(
    block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read digits and nothing else; none at all are 0.

    Returns:
        Numbers, and for which they are right: at most 18 digits.
    """
    import numpy as np

    widths = np.maximum(ends - starts, 0)
    good = (widths <= MAX_DIGITS) & (starts <= ends)
    kept = np.array([0] + [~0 << 8 * (8 - count) & (1 << 64) - 1 for count in range(1, 9)], np.uint64)
    numbers = np.zeros(len(starts), np.uint64)
    most = min(int(widths.max(initial=0)), MAX_DIGITS)
    for step in range((most + 7) // 8):
        words = block.words[ends - 8 * (step + 1)] ^ np.uint64(0x3030303030303030)
        words &= kept[np.clip(widths - 8 * step, 0, 8)]
        good &= ((words + np.uint64(0x7676767676767676)) | words) & np.uint64(0x8080808080808080) == 0
        words = words * np.uint64(2561) >> np.uint64(8)
        words = (words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601) >> np.uint64(16)
        words = (words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001) >> np.uint64(32)
        numbers += words * np.uint64(10 ** (8 * step))
    return numbers.astype(np.int64), good


def read_integers(
    block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read integers: numbers, and for which they are right."""
    return read_decimals(block, starts, ends, ends, 0)


def read_decimals(
    block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64], points: NDArray[np.int64], scale: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read numbers, times 10 to the power of `scale`.

    Args:
        block: where they stand.
        starts: of each.
        ends: of each.
        points: where the decimal point of each is; its end where it has none.
        scale: the most digits behind the point.

    Returns:
        Scaled numbers, and for which they are right, whatever digits stand behind the point.
    """
    import numpy as np

    first = block.data[starts]
    negative = first == _MINUS
    begins = starts + negative
    numbers, good = read_digits(block, begins, points)
    whole = points - begins
    good &= (whole >= 1) & (whole + scale <= MAX_DIGITS) & ((whole == 1) | (block.data[begins] != _ZERO))
    if scale:
        behind = np.minimum(points + 1, ends)
        fractions, right = read_digits(block, behind, ends)
        digits = ends - behind
        good &= right & (digits <= scale) & ((points == ends) | (digits > 0))
        powers = 10 ** np.arange(scale + 1, dtype=np.int64)
        numbers = numbers * powers[scale] + fractions * powers[np.clip(scale - digits, 0, scale)]
    good &= ~(negative & (numbers == 0))
    return np.where(negative, -numbers, numbers), good


def find_points(block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the first decimal point of each number is, its end where there is none."""
    import numpy as np

    points = np.append(block.places("."), len(block.data))
    nearest: NDArray[np.int64] = points[np.searchsorted(points, starts)]
    return np.minimum(nearest, ends)


def format_scaled(
    numbers: NDArray[np.int64], scale: int, *, least: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write numbers that are scaled by 10 to the power of `scale`.

    Args:
        numbers: at most 18 digits each.
        scale: digits behind the point.
        least: where given, zeros at the end are left out until so many digits are behind the point; with 0, the
            point too.

    Returns:
        The texts one behind the other, and the length of each.
    """
    import numpy as np

    sizes = np.abs(numbers)
    width = max(len(str(int(sizes.max(initial=0)))), scale + 1)
    around = width + (2 if scale else 1)
    table = np.empty((len(numbers), around), np.uint8)
    rest, column = sizes, around - 1
    for place in range(width):
        if scale and place == scale:
            table[:, column] = _POINT
            column -= 1
        rest, digit = np.divmod(rest, 10)
        table[:, column] = digit + _ZERO
        column -= 1
    digits = np.searchsorted(10 ** np.arange(1, MAX_DIGITS + 1, dtype=np.int64), sizes, side="right") + 1
    before = np.maximum(digits, scale + 1) + (1 if scale else 0)
    begins = around - before
    negative = np.flatnonzero(numbers < 0)
    begins[negative] -= 1
    table[negative, begins[negative]] = _MINUS
    ends = np.full(len(numbers), around)
    if least is not None and scale:
        zeros = np.cumprod(table[:, : around - 1 - scale : -1] == _ZERO, axis=1).sum(axis=1)
        kept = np.maximum(scale - zeros, least)
        ends -= np.where(kept == 0, scale + 1, scale - kept)
    places = np.arange(around)
    chosen = (places >= begins[:, None]) & (places < ends[:, None])
    return table[chosen], ends - begins
