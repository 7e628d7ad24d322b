"""Names: how many a second one process mints, and whether any repeats over callers, nodes, restarts and clock steps.

Nodes are leased from a PostgreSQL that is as durable as any. The rate is the one that lasts: what a minter may borrow
from the second ahead is used up before each turn. Collisions are looked for among the names themselves: each process
that starts anew, with a clock that was set back or forward, is a round in which every node is leased again.
"""

from __future__ import annotations

import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.catalog.database import Catalog, migrate
from des_platform.catalog.nodes import NODES, leased_node
from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.naming import NameMinter
from des_platform.naming.snowflake import MAX_AHEAD_MS
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

_DAY = date(2026, 3, 1)
_CALLERS = 16
_NODES_AT_ONCE = 16  # 256 connections at once are more than the server allows
_GOAL = 200_000.0
# One for each round; the last go back behind everything that was minted before.
_STEPS_MS = (0, 7_200_000, 5, -3_600_000)
_BATCH = 1000


def names(*, quick: bool) -> Iterator[Measurement]:
    """`names_rate` and `names_collisions`."""
    with _migrated() as catalog:
        yield _rate(catalog, 200_000 if quick else 1_000_000, 1 if quick else 3)
        yield _collisions(catalog, 500_000 if quick else 10_000_000)


@contextmanager
def _migrated() -> Iterator[Catalog]:
    with tempfile.TemporaryDirectory(prefix="des_platform_bench-") as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            url = server.start().url("postgresql+psycopg")
            engine = sa.create_engine(url, pool_size=_NODES_AT_ONCE)
            migrate(engine)
            with Catalog(engine) as catalog:
                yield catalog
        finally:
            server.stop()


def _rate(catalog: Catalog, count: int, rounds: int) -> Measurement:
    ours, theirs = [], []
    with leased_node(catalog) as leased:
        minter = NameMinter("DES", leased.node, reserve=leased.reserve)
        for _ in range(rounds):
            minter.mint_many(_DAY, 256 * MAX_AHEAD_MS)
            started = time.perf_counter()
            minted = sum(len(minter.mint_many(_DAY, _BATCH)) for _ in range(count // _BATCH))
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            formatted = _format(count)
            theirs.append(time.perf_counter() - started)
            if minted != formatted:
                raise UnequalWork(f"{minted} names were minted and {formatted} formatted")
    rate, peer = count / median(ours), count / median(theirs)
    return Measurement("names_rate", rate, "names/s", "formatting a counter", peer, _GOAL, absolute=True)


def _format(count: int) -> int:
    head = f"DES_{_DAY:%Y%m%d}_("
    formatted = []
    for number in range(count):
        checksum = sum(number.to_bytes(6, "big")) & 0xFF
        formatted.append(f"{head}{number:012X}_{checksum:02X})")
    return len(formatted)


def _collisions(catalog: Catalog, count: int) -> Measurement:
    import numpy as np

    each = -(-count // (NODES * _CALLERS * len(_STEPS_MS)))
    values: list[np.ndarray] = []
    now = time.time_ns() // 1_000_000
    with ThreadPoolExecutor(_CALLERS * _NODES_AT_ONCE) as pool:
        for step in _STEPS_MS:
            now += step
            # Free nodes are leased from the lowest mark on, so a round comes to each of them once.
            values += [_mint(catalog, pool, now, each) for _ in range(NODES // _NODES_AT_ONCE)]
    minted = np.concatenate(values)
    repeated = minted.size - np.unique(minted).size
    nodes = np.unique(minted >> 8 & 0xFF).size
    if nodes != NODES or minted.size < count:
        raise UnequalWork(f"{minted.size} names were minted as {nodes} nodes, expected {count} as {NODES}")
    return Measurement("names_collisions", float(repeated), "names", "none", 0, 0, at_most=True, absolute=True)


def _mint(catalog: Catalog, pool: ThreadPoolExecutor, now: int, each: int) -> np.ndarray:
    """The 48 bits of every name that 16 callers in each of some nodes mint while their clock steps back and forward."""
    import numpy as np

    clock = now
    chance = random.Random(now)  # noqa: S311 - steps of a clock

    def call(minter: NameMinter) -> list[str]:
        nonlocal clock
        minted = minter.mint_many(_DAY, each // 2)
        clock += chance.randint(-400, 400)  # a step that the others see in the middle of their work
        return minted + minter.mint_many(_DAY, each - each // 2)

    with ExitStack() as stack:
        leases = [stack.enter_context(leased_node(catalog)) for _ in range(_NODES_AT_ONCE)]
        minters = [NameMinter("DES", leased.node, clock_ms=lambda: clock, reserve=leased.reserve) for leased in leases]
        batches = list(pool.map(call, [minter for minter in minters for _ in range(_CALLERS)]))
    return np.array([int(name[14:26], 16) for batch in batches for name in batch], dtype=np.uint64)
