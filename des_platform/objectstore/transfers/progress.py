"""How far a transfer has come: bytes, speed, time that is left; in the log where nobody watches.

A `Progress` is called from one thread and never backwards, so nothing here is locked.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.objectstore.objects import Progress

_LOG = logging.getLogger(__name__)
_LOG_SECONDS = 10.0


@dataclass(slots=True)
class Pace:
    """Speed of a transfer.

    Attributes:
        clock: in seconds.
        started: when the first report came; what was there by then cost nothing now.
        before: bytes of that report.
        done: bytes so far.
        total: bytes in all; None where that is not known.
    """

    clock: Callable[[], float] = time.monotonic
    started: float | None = None
    before: int = 0
    done: int = 0
    total: int | None = None

    def take(self, done: int, total: int | None) -> None:
        """Take a report."""
        if self.started is None:
            self.started, self.before = self.clock(), done
        self.done, self.total = done, total

    @property
    def bytes_per_second(self) -> float:
        """Since the first report; 0 before there is anything to tell."""
        seconds = self.clock() - self.started if self.started is not None else 0.0
        return (self.done - self.before) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At this speed; None where it cannot be told."""
        speed = self.bytes_per_second
        return (self.total - self.done) / speed if self.total is not None and speed else None

    def __str__(self) -> str:
        share = f" of {self.total / 1e6:.1f} MB ({self.done / self.total:.0%})" if self.total else " MB"
        left = self.seconds_left
        tail = f", {left:.0f} s left" if left is not None and self.done != self.total else ""
        return f"{self.done / 1e6:.1f}{share}, {self.bytes_per_second / 1e6:.1f} MB/s{tail}"


@dataclass(slots=True)
class _Logged:
    what: str
    pace: Pace = field(default_factory=Pace)
    last: float | None = None

    def __call__(self, done_bytes: int, total_bytes: int | None, /) -> None:
        self.pace.take(done_bytes, total_bytes)
        now = self.pace.clock()
        first = self.last is None
        if first or done_bytes == total_bytes or now - (self.last or 0.0) >= _LOG_SECONDS:
            self.last = now
            if not first:
                _LOG.info("%s: %s", self.what, str(self.pace))  # now: whoever writes the line may do it later


def logged(what: str, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Progress as lines of the log (level INFO): every ten seconds, and at the end.

    Args:
        what: begins each line, such as `upload of prices.parquet`.
        clock: in seconds.
    """
    return _Logged(what, Pace(clock))
