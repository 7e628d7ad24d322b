"""Numbers as the report prints them. MB and GB are 10^6 and 10^9 bytes; what is not known is a dash."""

from __future__ import annotations

from datetime import UTC
from math import floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

UNKNOWN = "–"  # noqa: RUF001 - a dash, meant
_MINUS = "−"  # noqa: RUF001 - a minus sign, meant
_UNITS = ((10**15, "PB"), (10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))


def count(number: int) -> str:
    """A number of things."""
    return _signed(f"{number:,}")


def megabytes(size: int) -> str:
    """Bytes in MB, to the KB."""
    if 0 < abs(size) < 500:  # noqa: PLR2004 - would round to nothing
        return "<0.001"
    return _signed(f"{size / 1e6:,.3f}")


def size_text(size: float) -> str:
    """Bytes in the unit that suits, for a sentence or a label."""
    for factor, unit in _UNITS:
        if abs(size) >= factor:
            return _signed(f"{_digits(size / factor)} {unit}")
    return _signed(f"{size:g} B")


def milliseconds(seconds: float | None) -> str:
    """Seconds in ms."""
    if seconds is None:
        return UNKNOWN
    thousandths = seconds * 1000
    return f"{thousandths:,.1f}" if 0 < thousandths < 10 else f"{thousandths:,.0f}"  # noqa: PLR2004


def ratio_of(bytes_in: int, bytes_out: int) -> float | None:
    """Original over compressed size; None where there is nothing to compare."""
    return bytes_in / bytes_out if bytes_in and bytes_out else None


def saving_of(bytes_in: int, bytes_out: int) -> float | None:
    """What is saved of the original, in percent; negative for growth; None where there was nothing."""
    return 100 * (1 - bytes_out / bytes_in) if bytes_in else None


def speed_of(size: int, seconds: float | None) -> float | None:
    """MB a second; None where no time was taken or known."""
    return size / 1e6 / seconds if seconds else None


def decimal(value: float | None, places: int = 2, unit: str = "") -> str:
    """A number with as many decimals."""
    return UNKNOWN if value is None else _signed(f"{value:,.{places}f}") + unit


def change(value: float | None, places: int = 2, unit: str = "") -> str:
    """A difference, with its sign."""
    text = decimal(value, places, unit)
    return text if value is None or value < 0 else f"+{text}"


def dollars(amount: float) -> str:
    """Money; amounts below a dollar with two digits that count, since a day's storage may cost less than a cent."""
    size = abs(amount)
    if 0 < size < 1e-6:  # noqa: PLR2004 - a millionth of a dollar
        return "<$0.000001"
    places = 0 if size >= 1000 else 2 if size >= 1 or not size else max(2, 1 - floor(log10(size)))  # noqa: PLR2004
    return f"{_MINUS if amount < 0 else ''}${size:,.{places}f}"


def long_day(day: date) -> str:
    """A day for a heading."""
    return f"{day.day} {day:%B %Y}"


def moment(at: datetime) -> str:
    """A time (aware), to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def plural(number: int, thing: str) -> str:
    """A number and what it counts."""
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def _digits(value: float) -> str:
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{places}f}"


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)
