"""Columns of all that is no number: values of a list, times and dates, identifiers, addresses, words."""

from __future__ import annotations

import math
from datetime import timedelta
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING

from des_platform.settings import ConfigurationError
from des_platform.sources.generator.drawing import Column

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from des_platform.sources.generator.drawing import Drawing, Form, Scalar

DAY_MS = 86_400_000
# fmt: off
WORDS = (
    "able", "about", "after", "again", "air", "all", "along", "also", "always", "animal", "answer", "any", "around",
    "away", "back", "before", "begin", "below", "between", "big", "book", "both", "boy", "call", "came", "change",
    "city", "close", "come", "could", "country", "cut", "day", "differ", "does", "done", "down", "each", "earth",
    "east", "eat", "end", "enough", "even", "every", "eye", "face", "far", "farm", "feet", "few", "field", "find",
    "first", "follow", "food", "form", "found", "four", "from", "full", "game", "gave", "girl",
)
# fmt: on
"""The 64 words that texts are made of."""

_DAYS_BACK = 365


def choice(values: tuple[Scalar, ...], weights: tuple[int, ...]) -> Column:
    """One of a few values.

    Args:
        values: the values.
        weights: how often each is drawn, compared with the others.
    """
    slots = tuple(place for place, weight in enumerate(weights) for _ in range(weight))
    return Column(lambda drawing: drawing.picked(slots), _lookup(values), _widest(values), values=values)


def attached(of: str, values: tuple[Scalar, ...]) -> Column:
    """The value that belongs to what another column has chosen; `values` in the order of that column's."""
    return Column(lambda drawing: drawing.drawn[of], _lookup(values), _widest(values), rank=2)


def moment(start: int, end: int, *, increasing: bool) -> Column:
    """Times of the file's day, `2026-03-01T14:30:00.000Z`.

    Args:
        start: first one, in milliseconds from midnight UTC.
        end: what all are before, in the same.
        increasing: whether each is later than the one of the row before; they then go from `start` to `end`.
    """
    span = end - start

    def draw(drawing: Drawing) -> list[int]:
        rows = drawing.rows
        if not increasing:
            random = drawing.random()
            return [start + int(random() * span) for _ in range(rows)]
        if rows > span:
            raise ConfigurationError(
                f"{drawing.path}: {rows:,} rows do not fit into {span:,} milliseconds, the least that tells two times"
                " apart: make the files smaller or the span longer"
            )
        # Gaps as of independent arrivals, stretched over what is left when every row has a millisecond of its own.
        arrivals = list(accumulate(drawing.picked(_gaps())))
        total, left = (arrivals[-1] + 1 if arrivals else 1), span - rows
        return [arrival * left // total + place for place, arrival in enumerate(arrivals, start)]

    def texts(values: list[int], form: Form, day: date) -> list[str]:
        clock, milliseconds = _clock()
        head, tail = f"{form.mark}{day}T", f"Z{form.mark}"
        return [f"{head}{clock[value // 1000]}{milliseconds[value % 1000]}{tail}" for value in values]

    return Column(draw, texts, len('"2026-03-01T14:30:00.000Z"'))


def calendar_day() -> Column:
    """Days of the year that ends with the file's day."""

    def texts(values: list[int], form: Form, day: date) -> list[str]:
        days = [f"{form.mark}{day - timedelta(days=back)}{form.mark}" for back in range(_DAYS_BACK)]
        return [*map(days.__getitem__, values)]

    return Column(lambda drawing: drawing.picked(range(_DAYS_BACK)), texts, len('"2026-03-01"'))


def identifier() -> Column:
    """UUIDs of version 4."""

    def draw(drawing: Drawing) -> list[int]:
        random = drawing.random()
        parts = ((random(), random(), random()) for _ in range(drawing.rows))
        return [int(a * 2**48) << 74 | int(b * 2**37) << 37 | int(c * 2**37) for a, b, c in parts]

    def text(value: int) -> str:
        head, variant = f"{value >> 74:012x}", value >> 48 & 0x3FFF | 0x8000
        return f"{head[:8]}-{head[8:]}-4{value >> 62 & 0xFFF:03x}-{variant:04x}-{value & 0xFFFF_FFFF_FFFF:012x}"

    return Column(draw, _each(text), len('"00000000-0000-4000-8000-000000000000"'))


def address() -> Column:
    """IPv4 addresses of 10.0.0.0/8, which are nobody's."""

    def text(value: int) -> str:
        return f"10.{value >> 16}.{value >> 8 & 255}.{value & 255}"

    return Column(lambda drawing: drawing.picked(range(1 << 24)), _each(text), len('"10.255.255.255"'))


def words(shortest: int, longest: int) -> Column:
    """Texts of words; the last word is cut where the text would be too long.

    Args:
        shortest: fewest characters.
        longest: most characters.
    """

    def text(value: int) -> str:
        wanted, found = shortest + value % (longest - shortest + 1), ""
        while len(found) < wanted:
            value = (value * 6364136223846793005 + 1442695040888963407) & 0xFFFF_FFFF_FFFF_FFFF
            found += f" {WORDS[value >> 58]}" if found else WORDS[value >> 58]
        found = found[:wanted]
        return f"{found[:-1]}s" if found.endswith(" ") else found

    return Column(lambda drawing: drawing.picked(range(1 << 53)), _each_quoted(text), longest + 2)


def _lookup(values: tuple[Scalar, ...]) -> Callable[[list[int], Form, date], list[str]]:
    def texts(places: list[int], form: Form, _day: date) -> list[str]:
        return [*map([form.scalar(value) for value in values].__getitem__, places)]

    return texts


def _widest(values: tuple[Scalar, ...]) -> int:
    # JSON writes a control character as six, and one beyond the first 65,536 as twelve.
    return max(len(text) * (6 if text.isascii() else 12) + 2 for text in map(str, values))


def _each(text: Callable[[int], str]) -> Callable[[list[int], Form, date], list[str]]:
    return lambda values, form, _day: [f"{form.mark}{text(value)}{form.mark}" for value in values]


def _each_quoted(text: Callable[[int], str]) -> Callable[[list[int], Form, date], list[str]]:
    return lambda values, form, _day: [form.quote(text(value)) for value in values]


@cache
def _clock() -> tuple[list[str], list[str]]:
    """Every second of a day as `HH:MM:SS`, and every millisecond of a second as `.mmm`."""
    seconds = [f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(DAY_MS // 1000)]
    return seconds, [f".{ms:03d}" for ms in range(1000)]


@cache
def _gaps() -> list[int]:
    """Exponential gaps: mean about 1,000, never under 50."""
    # Rounded to integers, which no platform's `log` is inexact enough to change.
    return [50 + round(-950 * math.log((slot + 0.5) / 1024)) for slot in range(1024)]
