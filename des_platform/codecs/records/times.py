"""Dates and times of a fixed layout, read and written a column at a time.

A layout is written as `2026-01-05T14:30:45.710Z` is `Y-m-dTH:M:S.3Z`: letters are fields of two digits (the year's of
four), a digit is that many digits of a second's fraction, anything else stands for itself. All are days of the
Gregorian calendar, years 1 to 9999; a text that names no such day, or a 60th second, is reported as not read.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from des_platform.codecs.records.lines import Block

_DATES: Final = ("Y-m-d", "Y/m/d", "d/m/Y", "Ymd", "Y.m.d", "d.m.Y")
_FRACTIONS: Final = ("", ".3", ".6", ",3", ",6", ".1", ".2", ".4", ".5")
_ZONES: Final = ("", "Z", "+00:00", "+0000", " UTC")
_TIMES: Final = tuple(
    f"{date}{between}H:M:S{fraction}{zone}"
    for date in _DATES
    for between in ("T", " ")
    for fraction in _FRACTIONS
    for zone in _ZONES
)
LAYOUTS: Final = (*_TIMES, "Y-m-d", "Y/m/d")
_ZERO, _NINE = 48, 9
_MICROSECONDS: Final = {"H": 3_600_000_000, "M": 60_000_000, "S": 1_000_000}
_DAY: Final = 86_400_000_000
_MILLI_DIGITS: Final = 3
_MICROSECONDS_OF: Final = {"ms": 1000, "us": 1}


def _digits(sign: str) -> int:
    """How many digits a sign of a layout stands for; 0 for one that stands for itself."""
    if sign.isdigit():
        return int(sign)
    return {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}.get(sign, 0)


@cache
def _signs(layout: str) -> tuple[str, ...]:
    """The layout's signs; a zone's are marked by a zero byte, so that none is taken for one of a time."""
    zone = next((zone for zone in sorted(_ZONES, key=len, reverse=True) if zone and layout.endswith(zone)), "")
    return (*layout.removesuffix(zone), *(f"\0{char}" for char in zone))


def width_of(layout: str) -> int:
    """How many characters a time in this layout has."""
    return sum(_digits(sign) or 1 for sign in _signs(layout))


@cache
def _by_shape() -> dict[bytes, list[str]]:
    """The layouts by what their times look like when each digit is a zero."""
    found: dict[bytes, list[str]] = {}
    for layout in LAYOUTS:
        shape = "".join("0" * _digits(sign) or sign[-1] for sign in _signs(layout))
        found.setdefault(shape.encode(), []).append(layout)
    return found


@cache
def _widths() -> list[int]:
    return sorted({len(shape) for shape in _by_shape()}, reverse=True)


_TO_SHAPE: Final = bytes(_ZERO if _ZERO <= byte <= _ZERO + _NINE else byte for byte in range(256))


def layouts_of(text: bytes) -> list[str]:
    """The layouts that a text may be a time of."""
    return _by_shape().get(text.translate(_TO_SHAPE), [])


def times_at(text: bytes) -> list[bytes]:
    """The beginnings of a text that may be times, the longest first."""
    shape = text[: _widths()[0]].translate(_TO_SHAPE)
    return [text[:width] for width in _widths() if width <= len(shape) and shape[:width] in _by_shape()]


def is_date(layout: str) -> bool:
    """Whether it has days without times."""
    return "H" not in layout


def is_utc(layout: str) -> bool:
    """Whether it says that its times are UTC."""
    return layout.endswith(("Z", "UTC", "+00:00", "+0000"))


def unit_of(layout: str) -> Literal["ms", "us"]:
    """The unit that times of this layout are counted in: Parquet's least that holds their fraction."""
    digits = max((int(sign) for sign in _signs(layout) if sign.isdigit()), default=0)
    return "ms" if digits <= _MILLI_DIGITS else "us"


def read_times(
    block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64], layout: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read times.

    Returns:
        Units of `unit_of` since 1970, or days for a layout without times; and for which they are right.
    """
    import numpy as np

    width = width_of(layout)
    windows = block.windows(width)[np.minimum(starts, len(block.data) - width - 1)]
    table = windows.view(np.uint8).reshape(len(starts), width)
    good = ends - starts == width
    values: dict[str, NDArray[np.int64]] = {}
    column = 0
    for sign in _signs(layout):
        digits = _digits(sign)
        if not digits:
            good &= table[:, column] == ord(sign[-1])
            column += 1
            continue
        number = np.zeros(len(starts), np.int64)
        for place in range(column, column + digits):
            digit = table[:, place] - np.uint8(_ZERO)
            good &= digit <= _NINE
            number = number * 10 + digit
        values["f" if sign.isdigit() else sign] = number * 10 ** (6 - digits) if sign.isdigit() else number
        column += digits
    days, right = _days(values["Y"], values["m"], values["d"])
    good &= right
    if is_date(layout):
        return days, good
    for sign, most in (("H", 23), ("M", 59), ("S", 59)):
        good &= values[sign] <= most
    of_day = sum(values[sign] * unit for sign, unit in _MICROSECONDS.items())
    return (days * _DAY + of_day + values.get("f", 0)) // _MICROSECONDS_OF[unit_of(layout)], good


def _days(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days since 1970, and which of them are days of the calendar."""
    import numpy as np

    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    low = int(months.min(initial=0))
    span = np.arange(low, int(months.max(initial=0)) + 2)
    firsts = span.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    first, following = firsts[months - low], firsts[months - low + 1]
    good = (month >= 1) & (month <= 12) & (day >= 1) & (day <= following - first) & (year >= 1)  # noqa: PLR2004 - months
    return first + day - 1, good


def format_times(times: NDArray[np.int64], layout: str) -> NDArray[np.uint8]:
    """Write times as `read_times` gives them: a row of characters each."""
    import numpy as np

    if is_date(layout):
        days, of_day = times, np.zeros_like(times)
    else:
        days, of_day = np.divmod(times * _MICROSECONDS_OF[unit_of(layout)], _DAY)
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    numbers = months.astype(np.int64)
    year, month = np.divmod(numbers, 12)
    values = {"Y": year + 1970, "m": month + 1, "d": days - months.astype("datetime64[D]").astype(np.int64) + 1}
    rest = of_day
    for sign, unit in _MICROSECONDS.items():
        values[sign], rest = np.divmod(rest, unit)
    table = np.empty((len(times), width_of(layout)), np.uint8)
    column = 0
    for sign in _signs(layout):
        digits = _digits(sign)
        if not digits:
            table[:, column] = ord(sign[-1])
            column += 1
            continue
        number = rest // 10 ** (6 - digits) if sign.isdigit() else values[sign]
        for place in range(column + digits - 1, column - 1, -1):
            number, digit = np.divmod(number, 10)
            table[:, place] = digit + _ZERO
        column += digits
    return table
