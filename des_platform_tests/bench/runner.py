"""The benches by name, and the one way in which they measure.

A bench is a function with `@bench` in a module of this package: its name is what the command line calls it, the first
line of its docstring is what the help says of it, and it yields its measurements one after the other.

The machine may be shared and noisy. So product and peer take turns on the same data (A B A B ...), and medians are
reported: whatever slows a minute down slows both. Nothing is ever read from an earlier result.
"""

from __future__ import annotations

import pkgutil
import time
from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Protocol

from des_platform_tests import bench as package
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Bench(Protocol):
    """Measures; with `quick` within a minute, on less data."""

    __name__: str

    def __call__(self, *, quick: bool) -> Iterator[Measurement]:
        """Yield each measurement as soon as it is there."""


class UnequalWork(Exception):
    """Product and peer did not do the same work, so their times say nothing about each other."""


_benches: dict[str, Bench] = {}


def bench(function: Bench) -> Bench:
    """Register a bench by the name of its function."""
    _benches[function.__name__] = function
    return function


def known() -> dict[str, Bench]:
    """Every bench of this package, by name."""
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith(("_", "test_")):
            import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_benches.items()))


@dataclass(frozen=True, slots=True)
class Medians:
    """What both sides did in each round, in whatever they count, and the median seconds that it took each."""

    work: int
    product_seconds: float
    peer_seconds: float

    def rate(self, name: str, amount: float, unit: str, peer: str, goal: float | None = None) -> Measurement:
        """An amount of work per wall second.

        Args:
            name: the measurement's id.
            amount: what each side did in a round, in the unit's numerator.
            unit: such as `files/s`.
            peer: the peer's name.
            goal: least ratio, if there is one.
        """
        return Measurement(name, amount / self.product_seconds, unit, peer, amount / self.peer_seconds, goal)


def alternate(product: Callable[[int], int], peer: Callable[[int], int], rounds: int) -> Medians:
    """Run product and peer in turn.

    Args:
        product: does its work in a round, whose number from 0 on it is given; returns how much it did.
        peer: does the same work; its count must be the same.
        rounds: turns of each, at least 1.

    Raises:
        UnequalWork: the counts differ.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    counts = set()
    for number in range(rounds):
        for side, taken in zip((product, peer), seconds, strict=True):
            started = time.perf_counter()
            counts.add(side(number))
            taken.append(time.perf_counter() - started)
        if len(counts) != 1:
            raise UnequalWork(f"round {number}: product and peer must count the same, found {sorted(counts)}")
    return Medians(counts.pop(), median(seconds[0]), median(seconds[1]))
