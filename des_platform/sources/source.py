"""What every source of files is: something that can be drained into the inbox, a time budget at a time.

Draining commits everything that it did before it returns, starts no runs, and may be repeated, killed, and done by
several processes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Protocol, Self

SourceKind = Literal["queue", "stream", "database", "inventory"]


class SourceUnavailable(Exception):
    """A source cannot be reached; what is recorded stays recorded, and the next draining goes on."""


@dataclass(slots=True)
class DrainReport:
    """What one draining did.

    Attributes:
        received: messages, records, rows or objects looked at.
        new: files that the inbox did not know.
        known: files that it knew.
        removed: deletions announced.
        dead: dead letters.
        seconds: how long it took.
        note: what else the operator should know, as a sentence; empty for nothing.
    """

    received: int = 0
    new: int = 0
    known: int = 0
    removed: int = 0
    dead: int = 0
    seconds: float = 0.0
    note: str = ""

    def __iadd__(self, other: DrainReport) -> Self:
        """Add what a part of the draining did."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self


class Source(Protocol):
    """A configured source of files."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    @property
    def kind(self) -> SourceKind:
        """What it is."""

    def drain(self, *, seconds: float) -> DrainReport:
        """Record what it tells, until it tells nothing more or the time is up; a batch that has begun is finished.

        Raises:
            SourceUnavailable: it cannot be reached.
        """

    def backlog(self) -> dict[str, int]:
        """About how much there is left, by where it waits, such as `waiting` and `in_flight`.

        Raises:
            SourceUnavailable: it cannot be reached.
        """

    def close(self) -> None:
        """Close what it opened."""
