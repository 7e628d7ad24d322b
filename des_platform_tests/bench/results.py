"""What a bench reports, and how it is printed: a table for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WITHOUT_DECIMALS = 1000
_WITH_ONE_DECIMAL = 10
_PIPE_COLUMNS = 1000  # no line of the plain table is ever folded


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number of ours beside the peer's.

    Attributes:
        id: what was measured, unique in its bench, such as `put_files`.
        value: ours.
        unit: of both values, such as `files/s`.
        peer: what did the same work on the same data, such as `shutil.copyfile`.
        peer_value: the peer's; may be 0 only where there is no ratio to speak of.
        goal: what is to be reached; None where there is nothing to reach.
        at_most: the goal is the greatest that will do, since less is better; otherwise the least.
        absolute: the goal is in `unit`, for ours alone; otherwise it is for the ratio of ours to the peer's.
    """

    id: str
    value: float
    unit: str
    peer: str
    peer_value: float
    goal: float | None = None
    at_most: bool = False
    absolute: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the peer's value ours is; None if the peer's is 0."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or no ratio to hold against it."""
        reached = self.value if self.absolute else self.ratio
        if self.goal is None or reached is None:
            return None
        return reached <= self.goal if self.at_most else reached >= self.goal


def print_json(bench: str, measurements: Iterable[Measurement]) -> None:
    """Print each measurement as one line of JSON, as soon as it is there.

    Raises:
        ValueError: a number is not finite.
    """
    for found in measurements:
        line = {
            "bench": bench,
            "id": found.id,
            "value": found.value,
            "unit": found.unit,
            "peer": found.peer,
            "peer_value": found.peer_value,
            "ratio": found.ratio,
            "goal": found.goal,
            "at_most": found.at_most,
            "absolute": found.absolute,
            "met": found.met,
        }
        sys.stdout.write(json.dumps(line, allow_nan=False) + "\n")
        sys.stdout.flush()


def print_table(bench: str, measurements: Iterable[Measurement]) -> None:
    """Print all measurements as one table at the end; plain text unless standard output is a terminal.

    Without any goal there are no columns for goals. A terminal's standard error shows meanwhile how far it has come.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    terminal = sys.stdout.isatty()
    with Console(stderr=True, force_terminal=sys.stderr.isatty()).status("measuring") as status:
        rows = []
        for found in measurements:
            rows.append(found)
            status.update(f"measured {found.id}")
    table = Table(
        box=box.HORIZONTALS if terminal else None, pad_edge=False, show_edge=False
    )  # the demo's fits into 80 columns
    table.add_column(bench, no_wrap=True)
    goals = ("goal", "met") if any(found.goal is not None for found in rows) else ()
    for heading in ("value", "unit", "peer", "peer's", "ratio", *goals):
        table.add_column(heading, justify="left" if heading in {"unit", "peer", "met"} else "right")
    for found in rows:
        ratio = "" if found.ratio is None else f"{found.ratio:.3f}"
        numbers = [_shown(found.value), _shown(found.peer_value), ratio]
        reached = [_goal(found), {None: "", True: "yes", False: "NO"}[found.met]]
        table.add_row(found.id, numbers[0], found.unit, found.peer, *numbers[1:], *reached[: len(goals)])
    Console(force_terminal=terminal, width=None if terminal else _PIPE_COLUMNS).print(table)


def _goal(found: Measurement) -> str:
    if found.goal is None:
        return ""
    return f"{'<=' if found.at_most else '>='}{found.goal:g}{f' {found.unit}' if found.absolute else 'x'}"


def _shown(number: float) -> str:
    if number >= _WITHOUT_DECIMALS:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= _WITH_ONE_DECIMAL or not number else f"{number:.3f}"
