"""A run of the generator: file after file, at a rate or as fast as it goes, until it is told to stop.

The key of a file names all that its bytes depend on (seed, day, number, and a fingerprint of schema, format and rows),
so no two contents ever share a key, and a run repeated gives the same keys with the same bytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from des_platform.objectstore import InvalidKey, check_key
from des_platform.settings import ConfigurationError
from des_platform.sources.generator.writing import EXTENSIONS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import date

    from des_platform.sources.generator.targets import Target
    from des_platform.sources.generator.writing import Generator


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run makes.

    Attributes:
        day: day of the files (UTC); it stands in their keys.
        prefix: start of their keys.
        rows: rows of each file.
        seed: another seed, other files.
        files: most files; None for no end.
        seconds: most seconds; None for no end.
        rate: files a second; None for as many as can be.
    """

    day: date
    prefix: str
    rows: int
    seed: int
    files: int | None = None
    seconds: float | None = None
    rate: float | None = None

    def key(self, generator: Generator, number: int) -> str:
        """Key of a file: its prefix, its day, and all that its bytes depend on.

        Raises:
            ConfigurationError: the prefix cannot start an object's key.
        """
        what = generator.fingerprint(self.rows)
        name = f"seed{self.seed}_{what}_{number:06d}.{EXTENSIONS[generator.file_format]}"
        try:
            return check_key(f"{self.prefix}{self.day}/{name}")
        except InvalidKey as error:
            raise ConfigurationError(f"the prefix {self.prefix[:80]!a} cannot start a key: {error}") from None


@dataclass(frozen=True, slots=True)
class Delivered:
    """How far a run has come: files made and their bytes; of those, files that were there already; announcements."""

    files: int = 0
    bytes: int = 0
    known: int = 0
    announced: int = 0


def run(
    generator: Generator,
    target: Target,
    plan: Plan,
    stop: threading.Event,
    progress: Callable[[Delivered], None],
) -> Delivered:
    """Make and deliver files until the plan is fulfilled or `stop` is set; what was made is delivered then.

    Args:
        generator: makes them.
        target: takes them.
        plan: how many, how fast.
        stop: ends the run.
        progress: told after each file.
    """
    done = Delivered()
    started = time.monotonic()
    plan.key(generator, 0)
    try:
        while not stop.is_set() and done.files != plan.files:
            content = generator.content(plan.day, done.files, rows=plan.rows, seed=plan.seed)
            target.deliver(plan.key(generator, done.files), content)
            done = Delivered(done.files + 1, done.bytes + len(content), target.known, target.announced)
            progress(done)
            if not _wait(plan, started, done.files, target, stop):
                break
    finally:
        target.flush()
    return replace(done, known=target.known, announced=target.announced)


def _wait(plan: Plan, started: float, files: int, target: Target, stop: threading.Event) -> bool:
    """Wait until the next file is due; False if none is, in the time that there is."""
    now = time.monotonic()
    ends = started + plan.seconds if plan.seconds is not None else float("inf")
    due = now if plan.rate is None else started + files / plan.rate
    if due > now and files != plan.files:
        target.flush()
        stop.wait(min(due, ends) - time.monotonic())
    return max(due, time.monotonic()) < ends
