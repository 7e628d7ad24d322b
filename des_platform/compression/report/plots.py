"""Plots as SVG inside the page: bars, columns, shares and a trend, drawn with nothing but rectangles, lines and text.

Colours are classes of the page's style sheet, so they follow the reader's light or dark scheme and the printer. Every
mark says its value when pointed at, every plot says to a screen reader what it shows. Coordinates are rounded to a
tenth, which the eye does not miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.compression.report.markup import Markup, element, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

HALF = 560
"""Width of a plot that has a neighbour, in units of about a pixel."""
WHOLE = 1160
"""Width of a plot that stands alone."""

_CHARACTER = 6.6  # width of one at the labels' size, at most


@dataclass(frozen=True, slots=True)
class Mark:
    """One value: how much it is, how it is written, the class of its colour, and what pointing at it adds."""

    value: float
    text: str
    kind: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """A label, and its bars one below the other."""

    label: str
    marks: Sequence[Mark]


def bars(summary: str, groups: Sequence[Bars], *, width: int = HALF, gutter: int = 120) -> Markup:
    """Horizontal bars from a common zero, each with its value at its end.

    Args:
        summary: what the plot shows, for those who do not see it.
        groups: from top to bottom.
        width: of the plot.
        gutter: room for the labels.
    """
    longest = max((mark.value for group in groups for mark in group.marks), default=0) or 1
    texts = max((len(mark.text) for group in groups for mark in group.marks), default=0)
    room = width - gutter - texts * _CHARACTER - 12
    drawn: list[Markup] = []
    top = 4.0
    for group in groups:
        thickness = 18 if len(group.marks) == 1 else 13
        height = thickness * len(group.marks)
        drawn.append(_text(gutter - 10, top + height / 2 + 4, _cut(group.label, gutter - 10), "end", "label"))
        for number, mark in enumerate(group.marks):
            y = top + number * thickness
            length = max(room * mark.value / longest, 1)
            drawn += [
                _box(gutter, y + 1, length, thickness - 2, mark.kind, f"{group.label}: {mark.text}"),
                _text(gutter + length + 6, y + thickness / 2 + 4, mark.text, "start", "value"),
            ]
        top += height + 10
    axis = _line(gutter, 0, gutter, top - 6, "axis")
    return _svg(summary, width, top - 4, [*drawn, axis])


def columns(
    summary: str, edges: Sequence[str], series: Sequence[Sequence[Mark]], *, axis: str, width: int = HALF
) -> Markup:
    """A histogram: columns over classes, one or several beside each other in each class.

    Args:
        summary: as for `bars`.
        edges: between the classes, from left to right; the first and the last class have no other end.
        series: for each, one mark a class.
        axis: what the classes are.
        width: of the plot.
    """
    height, base = 192, 150
    highest = max((mark.value for marks in series for mark in marks), default=0) or 1
    step = width / (len(edges) + 1)
    thickness = min((step - 8) / max(len(series), 1), 40)
    drawn: list[Markup] = []
    for number, marks in enumerate(series):
        for place, mark in enumerate(marks):
            if not mark.value:
                continue
            x = step * (place + 0.5) - thickness * (len(series) / 2 - number)
            tall = max((base - 24) * mark.value / highest, 1)
            told = f"{_class(edges, place)}: {mark.text} {mark.told}"
            drawn += [
                _box(x + 1, base - tall, thickness - 2, tall, mark.kind, told),
                _text(x + thickness / 2, base - tall - 5, mark.text, "middle", "value small"),
            ]
    for place, edge in enumerate(edges):
        x = step * (place + 1)
        drawn += [_line(x, base, x, base + 4, "axis"), _text(x, base + 17, edge, "middle", "tick")]
    drawn += [_line(0, base, width, base, "axis"), _text(width / 2, height - 4, axis, "middle", "tick")]
    return _svg(summary, width, height, drawn)


def _class(edges: Sequence[str], place: int) -> str:
    if place == 0:
        return f"less than {edges[0]}"
    return f"{edges[place - 1]} to {edges[place]}" if place < len(edges) else f"{edges[-1]} and more"


def shares(summary: str, groups: Sequence[Bars], *, whole: float, rest: str = "") -> Markup:
    """Bars cut into parts, all to the same scale, so that what is missing of the first shows in the next.

    Args:
        summary: as for `bars`.
        groups: a bar each; its marks are its parts.
        whole: the value that fills the width.
        rest: said in the gap that the last bar leaves, where there is room.
    """
    gutter, thickness, gap = 90, 40, 12
    scale = (WHOLE - gutter) / (whole or 1)
    drawn: list[Markup] = []
    for number, group in enumerate(groups):
        y, x = number * (thickness + gap) + 2, float(gutter)
        drawn.append(_text(gutter - 12, y + thickness / 2 + 4, group.label, "end", "label"))
        for mark in group.marks:
            length = mark.value * scale
            told = f"{group.label}: {mark.text} {mark.told}"
            drawn.append(_box(x, y, max(length - 1, 0.8), thickness, mark.kind, told))
            if len(mark.text) * _CHARACTER + 16 < length:
                drawn.append(_text(x + 9, y + thickness / 2 + 4, mark.text, "start", f"on {mark.kind}"))
            x += length
        if rest and group is groups[-1] and len(rest) * _CHARACTER + 24 < WHOLE - x:
            drawn += [
                _box(x + 0.5, y + 0.5, WHOLE - x - 1, thickness - 1, "rest", rest),
                _text(x + 12, y + thickness / 2 + 4, rest, "start", "label"),
            ]
    return _svg(summary, WHOLE, len(groups) * (thickness + gap) - gap + 4, drawn)


@dataclass(frozen=True, slots=True)
class Point:
    """A day of a trend: `behind` is drawn behind `front`, both as columns; `line` on an axis of its own above them."""

    label: str
    behind: Mark | None = None
    front: Mark | None = None
    line: Mark | None = None


def trend(summary: str, points: Sequence[Point], *, line: str, column: str) -> Markup:
    """A line above columns, over the same days; a day without values is a gap.

    Args:
        summary: as for `bars`.
        points: the days, from left to right.
        line: what the line shows.
        column: what the columns show.
    """
    width, top, base = WHOLE - 48, 92, 216  # the line's last value stands beside it
    step = width / max(len(points), 1)
    marks = [mark for point in points for mark in (point.behind, point.front) if mark]
    highest = max((mark.value for mark in marks), default=0) or 1
    drawn = [_text(0, 12, line, "start", "tick"), _text(0, top + 24, column, "start", "tick")]
    for place, point in enumerate(points):
        for mark, share in ((point.behind, 0.72), (point.front, 0.44)):
            if mark:
                tall = max((base - top - 36) * mark.value / highest, 1)
                x = step * place + step * (1 - share) / 2
                drawn.append(_box(x, base - tall, step * share, tall, mark.kind, f"{point.label}: {mark.text}"))
        if place == len(points) - 1 or (place % 5 == 0 and place < len(points) - 3):
            drawn.append(_text(step * (place + 0.5), base + 16, point.label, "middle", "tick"))
    drawn += [_line(0, base, width, base, "axis"), *_curve(points, step, 26, top)]
    return _svg(summary, WHOLE, base + 20, drawn)


def _curve(points: Sequence[Point], step: float, top: float, base: float) -> list[Markup]:
    lines = [(place, point.line) for place, point in enumerate(points) if point.line]
    highest = max((mark.value for _, mark in lines), default=0) or 1
    drawn: list[Markup] = []
    before: tuple[int, float, float] | None = None
    for place, mark in lines:
        x, y = step * (place + 0.5), base - (base - top) * mark.value / highest
        if before and before[0] == place - 1:
            drawn.append(_line(before[1], before[2], x, y, f"curve {mark.kind}"))
        drawn.append(
            element(
                "circle",
                element("title", f"{points[place].label}: {mark.text}"),
                cx=_n(x),
                cy=_n(y),
                r="3",
                class_=f"dot {mark.kind}",
            )
        )
        before = (place, x, y)
    if before:
        drawn.append(_text(step * len(points) + 4, before[2] + 4, lines[-1][1].text, "start", "value"))
    return [_line(0, base, step * len(points), base, "grid"), *drawn]


def _svg(summary: str, width: float, height: float, drawn: Sequence[Markup]) -> Markup:
    return element(
        "svg",
        element("title", summary),
        joined(drawn),
        viewBox=f"0 0 {_n(width)} {_n(height)}",
        role="img",
        aria_label=summary,
        class_="whole" if width == WHOLE else "half",
    )


def _box(x: float, y: float, width: float, height: float, kind: str, told: str) -> Markup:
    return element(
        "rect",
        element("title", told),
        x=_n(x),
        y=_n(y),
        width=_n(width),
        height=_n(height),
        class_=kind,
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> Markup:
    return element("text", text, x=_n(x), y=_n(y), text_anchor=anchor, class_=kind)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_=kind)


def _cut(label: str, width: float) -> str:
    room = int(width / _CHARACTER)
    return label if len(label) <= room else f"{label[: room - 1]}…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
