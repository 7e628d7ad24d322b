"""The report's tables: what each stage made of its files, and how each step improved on the one before.

A `Row` says the same of everything that compresses: the large files of a day by codec, the jobs of a stream, the months
of a DataHub. Sizes are bytes, times are seconds, summed over the files as if one had come after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from des_platform.compression.report import units
from des_platform.compression.report.markup import Content, Markup, element, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """What one stage and codec made of some files.

    Attributes:
        stage: what was done to them.
        name: codec and level, or whatever else did it.
        files: how many.
        bytes_in: before.
        bytes_out: after.
        seconds: wall time; None where it is not known.
        cpu_seconds: CPU time; None where it is not known.
        prove_seconds: wall time of reading back and comparing; None where it is not known.
        timed_bytes: of `bytes_in`, those whose time is known; None where that is all of them.
        kind: class of its colour.
    """

    stage: str
    name: str
    files: int
    bytes_in: int
    bytes_out: int
    seconds: float | None = None
    cpu_seconds: float | None = None
    prove_seconds: float | None = None
    timed_bytes: int | None = None
    kind: str = "compressed"

    @property
    def ratio(self) -> float | None:
        """Original over compressed size."""
        return units.ratio_of(self.bytes_in, self.bytes_out)

    @property
    def saving(self) -> float | None:
        """Percent of the original that is saved."""
        return units.saving_of(self.bytes_in, self.bytes_out)

    @property
    def speed(self) -> float | None:
        """MB of the original a second, by wall time."""
        return units.speed_of(self.bytes_in if self.timed_bytes is None else self.timed_bytes, self.seconds)

    @property
    def proving_speed(self) -> float | None:
        """MB of the original a second while it is read back and compared."""
        return units.speed_of(self.bytes_in if self.timed_bytes is None else self.timed_bytes, self.prove_seconds)


@dataclass(frozen=True, slots=True)
class Step:
    """How things stood after a step: how many objects, of how many bytes."""

    name: str
    objects: int
    bytes: int


HEADINGS = (
    ("Files", "", ""),
    ("Original", "MB", "bytes as they arrived, 10⁶ to the MB"),
    ("Compressed", "MB", "bytes that stand for them now"),
    ("Time", "ms", "wall time of reading, compressing and writing, summed over the files"),
    ("CPU", "ms", "CPU time of compressing alone, summed over the files"),
    ("Ratio", "", "original over compressed size"),
    ("Saving", "%", "of the original size"),
    ("Speed", "MB/s", "MB of the original for each second of wall time"),
    ("Read back", "ms", "wall time of reading the object again, decompressing and comparing"),
)


def total(rows: Sequence[Row], name: str = "") -> Row:
    """All rows as one."""
    return Row(
        "Total",
        name,
        sum(row.files for row in rows),
        sum(row.bytes_in for row in rows),
        sum(row.bytes_out for row in rows),
        _sum(row.seconds for row in rows),
        _sum(row.cpu_seconds for row in rows),
        _sum(row.prove_seconds for row in rows),
        sum(
            row.bytes_in if row.timed_bytes is None else row.timed_bytes
            for row in rows
            if row.seconds  # a file that is kept takes no time to compress, and would flatter the speed
        ),
    )


def rows_table(rows: Sequence[Row]) -> Markup:
    """Each row, and their total."""
    header = heading("Compression stage", "Compression", *HEADINGS)
    body = [
        element(
            "tr",
            _cell(element("i", class_=f"swatch {row.kind}"), row.stage),
            _cell(row.name),
            _number(units.count(row.files)),
            *numbers(row),
        )
        for row in rows
    ]
    whole = total(rows)
    last = element(
        "tr",
        element("th", "Total", scope="row", colspan="2"),
        _number(units.count(whole.files)),
        *numbers(whole),
    )
    return table(header, body, [last])


def numbers(row: Row) -> list[Markup]:
    """The cells from the original size on."""
    return [
        _number(units.megabytes(row.bytes_in)),
        _number(units.megabytes(row.bytes_out)),
        _number(units.milliseconds(row.seconds)),
        _number(units.milliseconds(row.cpu_seconds)),
        _number(units.decimal(row.ratio)),
        _number(units.decimal(row.saving, 1)),
        _number(units.decimal(row.speed, 1)),
        _number(units.milliseconds(row.prove_seconds)),
    ]


def steps_table(steps: Sequence[Step], dollars_a_month: Callable[[int], float]) -> Markup:
    """Each step against the first, and after each but the first what it improved on the one before.

    Args:
        steps: the first is how things arrived.
        dollars_a_month: what so many bytes cost.
    """
    header = heading(
        "Step",
        ("Objects", "", ""),
        ("Size", "MB", ""),
        ("Ratio", "", "size as it arrived over size after the step"),
        ("Saving", "%", "of the size as it arrived"),
        ("Storage a month", "", "at the storage price below"),
    )
    first = steps[0]
    body: list[Markup] = []
    for number, step in enumerate(steps):
        ratio = partial(units.ratio_of, first.bytes)
        saving = partial(units.saving_of, first.bytes)
        body.append(
            element(
                "tr",
                _cell(step.name),
                _number(units.count(step.objects)),
                _number(units.megabytes(step.bytes)),
                _number(units.decimal(ratio(step.bytes))),
                _number(units.decimal(saving(step.bytes), 1)),
                _number(units.dollars(dollars_a_month(step.bytes))),
            )
        )
        if number:
            before = steps[number - 1]
            body.append(
                element(
                    "tr",
                    _cell("Improvement"),
                    _number(units.change(step.objects - before.objects, 0)),
                    _number(units.change((step.bytes - before.bytes) / 1e6, 3)),
                    _number(units.change(_difference(ratio(step.bytes), ratio(before.bytes)))),
                    _number(units.change(_difference(saving(step.bytes), saving(before.bytes)), 1)),
                    _number(units.dollars(dollars_a_month(step.bytes) - dollars_a_month(before.bytes))),
                    class_="improvement",
                )
            )
    return table(header, body)


def heading(*columns: str | tuple[str, str, str]) -> Markup:
    """A table's head: plain names over text, (name, unit, meaning) over numbers."""
    cells = [
        element("th", column, scope="col")
        if isinstance(column, str)
        else element(
            "th",
            column[0],
            element("small", f" {column[1]}") if column[1] else None,
            scope="col",
            class_="n",
            title=column[2] or None,
        )
        for column in columns
    ]
    return element("thead", element("tr", *cells))


def table(header: Markup, body: Iterable[Markup], foot: Sequence[Markup] = (), *, kind: str | None = None) -> Markup:
    """A table that scrolls in itself where the page is too narrow for it."""
    parts = [header, element("tbody", joined(body)), element("tfoot", *foot) if foot else None]
    return element("div", element("table", *parts, class_=kind), class_="scroll")


def _cell(*content: Content) -> Markup:
    return element("td", *content)


def _number(text: str) -> Markup:
    return element("td", text, class_="n")


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
