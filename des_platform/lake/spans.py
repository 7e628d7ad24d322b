"""Which days a partition stands for, by its values alone, however they are spelled.

`year=2024/month=01/day=15`, `date=2024-01-15`, `dt=20240115`, `_month_traded=2024-01`, `Year=2024`: a key counts if
it speaks of a date, a value if it has the form of one. What names no day that there is (`month=13`) names none.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_A_DATE: Final = re.compile(r"(?:^|_)(?:year|month|day|date|hour|dt|ds)(?:$|_)|(?<=[a-z])Da(?:te|y)$", re.IGNORECASE)
_WHOLE: Final = re.compile(r"(\d{4})(?:[-/]?(\d{2})(?:[-/]?(\d{2})(?:[T /-]\d{2}.*)?)?)?", re.ASCII)


def date_values(values: Mapping[str, object]) -> dict[str, str]:
    """The values whose keys speak of a date."""
    return {key: str(value) for key, value in values.items() if value is not None and _OF_A_DATE.search(key)}


def days_of(values: Mapping[str, object]) -> tuple[date, date] | None:
    """The first and the last day of a partition; None if its values name no day.

    Where several values name days, the shortest span counts.
    """
    parts = {key.lower().strip("_"): value for key, value in date_values(values).items()}
    named = [tuple(parts[part] for part in ("year", "month", "day") if part in parts)] if "year" in parts else []
    if named and "day" in parts and "month" not in parts:
        named = []  # the 15th of any month
    for key, value in parts.items():
        if not (named and key == "year") and (whole := _WHOLE.fullmatch(value)):
            named.append(tuple(part for part in whole.groups() if part is not None))
    spans = [span for numbers in named if (span := _span(*numbers)) is not None]
    return min(spans, key=lambda span: span[1] - span[0], default=None)


def _span(year: str, *finer: str) -> tuple[date, date] | None:
    try:
        match [int(part) for part in (year, *finer) if part.isascii()]:
            case [number]:
                return date(number, 1, 1), date(number, 12, 31)
            case [number, month]:
                return date(number, month, 1), date(number, month, monthrange(number, month)[1])
            case [number, month, day]:
                return date(number, month, day), date(number, month, day)
    except ValueError:
        return None
    return None
