"""What every fuzzer has, and what watches one case: no error but the named ones, bounded memory, bounded time."""

from __future__ import annotations

import signal
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_SECONDS = 10.0
_ARROW = pa.default_memory_pool()
_POOLS: list[pa.MemoryPool] = []
"""Never dropped: a pool that goes before a buffer that came from it ends the process."""


class Find(AssertionError):
    """Something came out that must not."""


class Fuzzer(Protocol):
    """Runs cases, each of which follows from a seed and its number alone.

    Attributes:
        seed: cases of another seed are others.
        outcomes: how often which came of a case.
    """

    seed: int
    outcomes: Counter[str]

    def run(self, number: int) -> None:
        """Run a case.

        Raises:
            Find: something came out that must not.
        """

    def save(self, number: int, path: Path) -> list[Path]:
        """Write what a case was fed to files that begin with that path, and return them."""


def watched(run: Callable[[], str], what: str, *, most_bytes: int) -> str:
    """Run a case, and return what came of it.

    Args:
        run: the case.
        what: names it in finds.
        most_bytes: the most memory that it may take.

    Raises:
        Find: something that must not.
    """
    pool = pa.proxy_memory_pool(_ARROW)
    _POOLS.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start(1)
    try:
        with _patience():
            outcome = _named(run)
        peak = tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(_ARROW)
    if peak > most_bytes:
        raise Find(f"{what} took {peak} bytes of memory, not at most {most_bytes}")
    return outcome


def _named(run: Callable[[], str]) -> str:
    try:
        return run()
    except Find:
        raise
    except Exception as error:
        raise Find(repr(error)) from error


@contextmanager
def _patience() -> Iterator[None]:
    def expire(*_: object) -> None:
        raise Find(f"not done after {PATIENCE_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
