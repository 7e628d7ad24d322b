"""The day's plots: where the bytes went, what each codec gave, how files and sizes are spread, and what it is worth."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from des_platform.compression.report import plots, units
from des_platform.compression.report.day import RATIO_EDGES, SIZE_LABELS, TREND_DAYS, rows_of, steps_of
from des_platform.compression.report.page import Figure
from des_platform.compression.report.plots import Bars, Mark, Point

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from des_platform.compression.report.day import Day
    from des_platform.compression.report.rows import Row

_CODECS_SHOWN = 8
_KINDS = {
    "compressed": "objects of their own",
    "packed": "packed into archives",
    "kept": "kept as they are",
    "waiting": "waiting",
    "failed": "failed",
}


def where_the_bytes_went(day: Day) -> Figure:
    """What came in and what it is now, to one scale."""
    rows = rows_of(day)
    whole = max(day.bytes_in(), day.stored)
    before = [_part(kind, sum(row.bytes_in for row in rows if row.kind == kind)) for kind in _KINDS]
    after = [_part(kind, sum(row.bytes_out for row in rows if row.kind == kind)) for kind in _KINDS]
    saved = day.bytes_in() - day.stored
    saving = units.saving_of(day.bytes_in(), day.stored)
    rest = f"{units.size_text(saved)} saved, {units.decimal(saving, 1, ' %')}" if saved > 0 else ""
    plot = plots.shares(
        f"{units.size_text(day.bytes_in())} came in, {units.size_text(day.stored)} stand for them now",
        [
            Bars("Came in", [part for part in before if part.value]),
            Bars("Is now", [part for part in after if part.value]),
        ],
        whole=whole,
        rest=rest,
    )
    legend = [(kind, name) for kind, name in _KINDS.items() if any(row.kind == kind for row in rows)]
    return Figure("Where the bytes went", "", plot, legend)


def figures_of(day: Day, dollars_a_month: Callable[[int], float]) -> list[Figure]:
    """Every plot that the day has numbers for.

    Args:
        day: what to show.
        dollars_a_month: what so many bytes cost.
    """
    codecs = sorted((row for row in rows_of(day) if row.kind == "compressed"), key=lambda row: -row.bytes_in)
    figures = []
    if codecs:
        shown = codecs[:_CODECS_SHOWN]
        figures += [_ratio_by_codec(shown), _speed_by_codec(shown), _worth_by_codec(shown)]
    figures.append(_money(day, dollars_a_month))
    if codecs:
        figures.append(_ratios(day))
    figures.append(_sizes(day))
    if len(day.trend) > 1:
        figures.append(_trend(day))
    return figures


def _part(kind: str, size: int) -> Mark:
    return Mark(size, units.size_text(size), kind, _KINDS[kind])


def _ratio_by_codec(rows: Sequence[Row]) -> Figure:
    groups = [Bars(row.name, [Mark(row.ratio or 0, units.decimal(row.ratio), row.kind)]) for row in rows]
    told = ", ".join(f"{row.name} {units.decimal(row.ratio)}" for row in rows)
    return Figure("Ratio by codec", "Original over compressed size.", plots.bars(f"Ratio by codec: {told}", groups))


def _speed_by_codec(rows: Sequence[Row]) -> Figure:
    groups = [
        Bars(
            row.name,
            [
                Mark(row.speed or 0, units.decimal(row.speed, 1), "compressed"),
                Mark(row.proving_speed or 0, units.decimal(row.proving_speed, 1), "second"),
            ],
        )
        for row in rows
    ]
    told = ", ".join(f"{row.name} {units.decimal(row.speed, 1)}" for row in rows)
    legend = [("compressed", "compressing"), ("second", "reading back")]
    lead = "MB of the original a second of wall time, of one file at a time."
    return Figure("Speed by codec", lead, plots.bars(f"Speed by codec in MB/s: {told}", groups), legend)


def _worth_by_codec(rows: Sequence[Row]) -> Figure:
    groups = []
    for row in rows:
        timed = row.bytes_in if row.timed_bytes is None else row.timed_bytes
        worth = units.speed_of(round(timed * (row.saving or 0) / 100), row.cpu_seconds)
        groups.append(Bars(row.name, [Mark(max(worth or 0, 0), units.decimal(worth, 1), "compressed")]))
    told = ", ".join(f"{group.label} {group.marks[0].text}" for group in groups)
    lead = "MB saved for each second of CPU time spent on compressing."
    return Figure("What a CPU second saves", lead, plots.bars(f"MB saved a CPU second: {told}", groups))


def _ratios(day: Day) -> Figure:
    marks = [Mark(number, units.count(number), "compressed", "files") for number in day.ratios]
    told = f"Ratios of {units.plural(sum(day.ratios), 'compressed file')}"
    plot = plots.columns(told, [f"{edge:g}" for edge in RATIO_EDGES], [marks], axis="original over compressed size")
    return Figure("Spread of ratios", "How many objects of their own have which ratio.", plot)


def _sizes(day: Day) -> Figure:
    series = [
        [Mark(number, units.count(number), kind, told) for number in numbers]
        for kind, numbers, told in (
            ("before", day.sizes_before, "files as they arrived"),
            ("compressed", day.sizes_after, "objects now"),
        )
    ]
    told = f"Sizes of {units.plural(day.files(), 'file')} before and {units.plural(day.objects, 'object')} after"
    plot = plots.columns(told, SIZE_LABELS, series, axis="size of a file or object")
    legend = [("before", "files as they arrived"), ("compressed", "objects now, archives among them")]
    return Figure("Sizes before and after", "How many files and objects have which size.", plot, legend)


def _money(day: Day, dollars_a_month: Callable[[int], float]) -> Figure:
    kinds = ("before", "compressed", "packed")
    groups = []
    for step, kind in zip(steps_of(day), kinds, strict=False):
        month = dollars_a_month(step.bytes)
        text = f"{units.dollars(month)} a month, {units.dollars(12 * month)} a year"
        groups.append(Bars(step.name.partition(": ")[2].capitalize() or step.name, [Mark(step.bytes, text, kind)]))
    saved = dollars_a_month(day.bytes_in() - day.stored)
    lead = (
        f"Keeping only what stands for the files now saves {units.dollars(saved)} a month, {units.dollars(12 * saved)} "
        "a year."
    )
    return Figure("What storage costs", lead, plots.bars(lead, groups, gutter=165))


def _trend(day: Day) -> Figure:
    totals = {total.day: total for total in day.trend}
    points = []
    for back in range(TREND_DAYS - 1, -1, -1):
        date = day.day - timedelta(days=back)
        label = f"{date.day} {date:%b}"
        total = totals.get(date)
        if total is None:
            points.append(Point(label))
            continue
        ratio = units.ratio_of(total.bytes_in, total.bytes_out)
        points.append(
            Point(
                label,
                Mark(total.bytes_in, f"{units.size_text(total.bytes_in)} came in", "before"),
                Mark(total.bytes_out, f"{units.size_text(total.bytes_out)} now", "compressed"),
                Mark(ratio, units.decimal(ratio), "compressed") if ratio else None,
            )
        )
    bytes_in, bytes_out = sum(total.bytes_in for total in day.trend), sum(total.bytes_out for total in day.trend)
    lead = (
        f"{units.size_text(bytes_in)} came in on {units.plural(len(day.trend), 'day')}; they are "
        f"{units.size_text(bytes_out)} now, a ratio of {units.decimal(units.ratio_of(bytes_in, bytes_out))}."
    )
    most = max(max(total.bytes_in, total.bytes_out) for total in day.trend)
    legend = [("before", "came in"), ("compressed", "is now")]
    plot = plots.trend(lead, points, line="Ratio", column=f"Bytes a day, up to {units.size_text(most)}")
    return Figure(f"The last {TREND_DAYS} days", lead, plot, legend, wide=True)
