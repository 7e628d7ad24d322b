"""What a bench reports, and how it is printed: a table for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WITHOUT_DECIMALS = 1000
_PIPE_COLUMNS = 1000  # no line of the plain table is ever folded


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number of ours beside the peer's; in every unit more is better.

    Attributes:
        id: what was measured, unique in its bench, such as `put_files`.
        value: ours.
        unit: of both values, such as `files/s`.
        peer: what did the same work on the same data, such as `shutil.copyfile`.
        peer_value: the peer's.
        goal: least ratio of ours to the peer's; None where there is none.
    """

    id: str
    value: float
    unit: str
    peer: str
    peer_value: float
    goal: float | None = None

    @property
    def ratio(self) -> float:
        """How many times the peer's value ours is."""
        return self.value / self.peer_value

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        return None if self.goal is None else self.ratio >= self.goal


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
        numbers = [_shown(found.value), _shown(found.peer_value), f"{found.ratio:.3f}"]
        reached = ["" if found.goal is None else f"{found.goal:g}", {None: "", True: "yes", False: "NO"}[found.met]]
        table.add_row(found.id, numbers[0], found.unit, found.peer, *numbers[1:], *reached[: len(goals)])
    Console(force_terminal=terminal, width=None if terminal else _PIPE_COLUMNS).print(table)


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= _WITHOUT_DECIMALS else f"{number:.1f}"
