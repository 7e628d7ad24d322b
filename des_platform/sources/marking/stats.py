"""The marker's numbers: of one pass, or of many added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Self


@dataclass(slots=True)
class MarkerStats:
    """What marking did.

    Attributes:
        processed: rows dealt with, whatever became of them.
        marked: rows that have a name now.
        failed: rows given up; each is a dead letter.
        retries: attempts behind the first, after failures that pass.
        seconds: how long it took.
        errors: failed attempts by kind of error.
        latency_sum_ms: sum over the marked rows, from their choice to the commit of their name, in milliseconds.
        latency_min_ms: shortest of them; 0 where none was marked.
        latency_max_ms: longest of them.
    """

    processed: int = 0
    marked: int = 0
    failed: int = 0
    retries: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    latency_sum_ms: float = 0.0
    latency_min_ms: float = 0.0
    latency_max_ms: float = 0.0

    @property
    def latency_avg_ms(self) -> float:
        """Mean over the marked rows."""
        return self.latency_sum_ms / self.marked if self.marked else 0.0

    def add_marked(self, rows: int, latency_ms: float) -> None:
        """Enter rows that were marked together."""
        if rows:
            self += MarkerStats(
                processed=rows,
                marked=rows,
                latency_sum_ms=rows * latency_ms,
                latency_min_ms=latency_ms,
                latency_max_ms=latency_ms,
            )

    def __iadd__(self, other: MarkerStats) -> Self:
        """Add another pass's numbers."""
        if other.marked:
            least = min(self.latency_min_ms, other.latency_min_ms) if self.marked else other.latency_min_ms
            self.latency_min_ms = least
        self.latency_max_ms = max(self.latency_max_ms, other.latency_max_ms)
        self.latency_sum_ms += other.latency_sum_ms
        self.processed += other.processed
        self.marked += other.marked
        self.failed += other.failed
        self.retries += other.retries
        self.seconds += other.seconds
        self.errors.update(other.errors)
        return self

    def __str__(self) -> str:
        rate = f", {self.marked / self.seconds:,.0f} a second" if self.seconds and self.marked else ""
        errors = ", ".join(f"{number} {kind}" for kind, number in self.errors.most_common()) or "none"
        return (
            f"{self.marked:,} rows marked in {self.seconds:.1f} s{rate}; {self.failed:,} given up, {self.retries:,} "
            f"retries; latency min/avg/max {self.latency_min_ms:.1f}/{self.latency_avg_ms:.1f}/"
            f"{self.latency_max_ms:.1f} ms; errors: {errors}"
        )
