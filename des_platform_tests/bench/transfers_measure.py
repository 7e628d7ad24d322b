"""How the transfers bench measures: every side once in each round, each time in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform_tests.bench.transfers_servers import Place


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured.

    Attributes:
        name: the task of `transfers_child`.
        server: which server it is done on.
        sides: who does it.
        wall_goal: least ratio of our rate to boto3's.
        cpu_goal: greatest ratio of our CPU to boto3's.
    """

    name: str
    server: str
    sides: tuple[str, ...]
    wall_goal: float | None
    cpu_goal: float | None


@dataclass(frozen=True, slots=True)
class Taken:
    """Median seconds of a side.

    Attributes:
        wall: on the clock.
        cpu: user and system time of its process.
    """

    wall: float
    cpu: float


def in_turn(place: Place, row: Row, rounds: int) -> dict[str, Taken]:
    """Run every side that there is once in each round.

    Raises:
        UnequalWork: they did not do the same.
    """
    sides = [side for side in row.sides if side not in place.missing]
    for side in set(row.sides) - set(sides):
        note(f"{row.name}: {side} left out, {place.missing[side]}")
    walls: dict[str, list[float]] = {side: [] for side in sides}
    cpus: dict[str, list[float]] = {side: [] for side in sides}
    work = {}
    for _ in range(rounds):
        for side in sides:
            found = _in_child(place, row, side)
            work[side] = found["work"]
            walls[side].append(found["wall"])
            cpus[side].append(found["cpu"])
        if len(set(work.values())) > 1:
            raise UnequalWork(f"{row.name}: every side must do the same, found {work}")
    for side in sides:
        note(f"{row.name}: {side}: best {min(walls[side]):.3f} s, {_shown(cpus[side])} CPU s in each round")
    return {side: Taken(median(walls[side]), median(cpus[side])) for side in sides}


def note(line: str) -> None:
    """Tell on standard error."""
    sys.stderr.write(line + "\n")


def _shown(seconds: Iterable[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in seconds)


def _in_child(place: Place, row: Row, side: str) -> dict[str, float]:
    command = [
        str(place.python(side)),
        str(place.child),
        side,
        row.name,
        place.urls[row.server],
        str(place.file),
        str(place.rclone or ""),
    ]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=place.environment)
    found: dict[str, float] = json.loads(ended.stdout)
    return found
