"""How a column draws its values and writes them.

A column draws all rows at once; what it draws are integers (the place in a list, units of the last decimal place,
milliseconds of the day), so no platform's floating point takes part, and a column can follow another one by its
numbers. Texts come second, for the form asked for, from tables wherever there are few.

Repeatability rests on two choices: the only random call is `Random.random()`, which Python promises to keep, and seeds
are texts, hashed with SHA-512 inside `Random`, not with the process's own hash. Each column has random numbers of its
own, so a schema that gains a column keeps the values of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from des_platform.sources.generator.numbers import Scale

Scalar = str | int | Decimal | bool | None


@dataclass(frozen=True, slots=True)
class File:
    """Which file of which run: all that its rows depend on beside the schema and their number.

    Attributes:
        dataset: name of the data set.
        day: the day that its dates and times lie in (UTC).
        number: number of the file within its day.
        seed: another seed, another world.
    """

    dataset: str
    day: date
    number: int
    seed: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """One column of one file, about to be drawn.

    Attributes:
        file: the file.
        path: JSON pointer of the property.
        rows: how many values.
        drawn: what its neighbours of a lower rank have drawn, by name.
    """

    file: File
    path: str
    rows: int
    drawn: Mapping[str, list[int]]

    def random(self) -> Callable[[], float]:
        """The random numbers of this column, from their beginning."""
        return self._random(f"|{self.file.number}")

    def random_of_day(self) -> Callable[[], float]:
        """The random numbers that this column has in common with the day's other files."""
        return self._random("")

    def picked(self, table: Sequence[int]) -> list[int]:
        """Draw from a table, every entry as likely as the next."""
        draw, size = self.random(), len(table)
        return [table[int(draw() * size)] for _ in range(self.rows)]

    def _random(self, number: str) -> Callable[[], float]:
        file = self.file
        seed = f"{file.dataset}|{file.seed}|{file.day}{number}|{self.path}"
        return Random(seed).random  # noqa: S311 - repeatable data, not a secret


@dataclass(frozen=True, slots=True)
class Form:
    """How values are written.

    Attributes:
        quote: writes a string.
        mark: stands around a string that needs nothing escaped.
        null: stands for null.
    """

    quote: Callable[[str], str]
    mark: str
    null: str

    def scalar(self, value: Scalar) -> str:
        """Write a value of the schema."""
        if value is None:
            return self.null
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Decimal):
            return f"{value:f}"  # never with an exponent
        return self.quote(value) if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one property.

    Attributes:
        draw: draws them.
        texts: writes what was drawn, in a form, for a file of a day.
        widest: most characters of a text.
        rank: columns of a lower rank are drawn before.
        values: what a column of few values chooses from.
        scale: which numbers a column of numbers holds.
    """

    draw: Callable[[Drawing], list[int]]
    texts: Callable[[list[int], Form, date], list[str]]
    widest: int
    rank: int = 0
    values: tuple[Scalar, ...] = ()
    scale: Scale | None = None
