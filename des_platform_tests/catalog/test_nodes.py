from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog.database import Catalog
from des_platform.catalog.nodes import NODES, RESERVED_MS, NodeLost, NoFreeNode, leased_node
from des_platform.catalog.tables import naming_nodes
from des_platform.cli.demo.processes import wait_until
from des_platform.naming import NameMinter, parse_name
from des_platform_tests.platform import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.catalog.nodes import LeasedNode
    from des_platform.settings import Settings

HOUR_MS = 3_600_000
NODE_LOCK = 0x0DE5_0002


@contextmanager
def only_free(catalog: Catalog, *free: int) -> Iterator[None]:
    """Somebody else holds all nodes but these."""
    taken = [node for node in range(NODES) if node not in free]
    lock = sa.func.pg_try_advisory_lock(NODE_LOCK, sa.func.unnest(sa.cast(taken, sa.ARRAY(sa.Integer))))
    with catalog.engine.connect() as connection:
        assert all(connection.scalars(sa.select(lock)))
        yield
        # Not by closing: the server would let them go a moment later.
        connection.execute(sa.select(sa.func.pg_advisory_unlock_all()))


@pytest.fixture
def others(settings: Settings, catalog: Catalog) -> Iterator[Catalog]:
    """What other processes do: connections of their own to the migrated database."""
    with Catalog.open(settings) as opened:
        yield opened


def set_marks(catalog: Catalog, marks: dict[int, int]) -> None:
    rows = [{"node": node, "reserved_until_ms": mark} for node, mark in marks.items()]
    with catalog.begin() as connection:
        connection.execute(naming_nodes.insert(), rows)


def end_holders(catalog: Catalog) -> None:
    """End every session that holds a node, and wait until they are gone."""
    holders = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid() "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with catalog.begin() as connection:
        ended = connection.scalars(sa.text(f"SELECT pg_terminate_backend(pid, 10000) FROM ({holders}) holders")).all()  # noqa: S608 - a constant
        assert ended
        assert all(ended)


def minter_of(leased: LeasedNode, clock_ms: Callable[[], int]) -> NameMinter:
    return NameMinter("DES", leased.node, clock_ms=clock_ms, reserve=leased.reserve)


def test_processes_that_mint_at_once_have_nodes_of_their_own(catalog: Catalog) -> None:
    with leased_node(catalog) as first, leased_node(catalog) as second, leased_node(catalog) as third:
        nodes = {first.node, second.node, third.node}
        assert len(nodes) == 3
        assert nodes <= set(range(NODES))


def test_a_node_comes_back_when_it_is_released(catalog: Catalog, others: Catalog) -> None:
    with only_free(others, 17):
        with leased_node(catalog) as first:
            pass
        with pytest.raises(KeyError), leased_node(catalog) as second:
            raise KeyError
        with leased_node(catalog) as third:
            assert first.node == second.node == third.node == 17


def test_a_node_comes_back_when_its_holder_dies(catalog: Catalog, settings: Settings) -> None:
    with Catalog.open(settings) as another, leased_node(catalog) as lost:
        end_holders(another)

        with leased_node(another) as again:
            assert again.node == lost.node


def test_when_every_node_is_taken_the_error_says_so(catalog: Catalog, others: Catalog) -> None:
    with only_free(others), pytest.raises(NoFreeNode, match=f"all {NODES} naming nodes are taken"):
        leased_node(catalog).__enter__()


def test_of_the_free_nodes_the_one_with_the_lowest_mark_is_taken(catalog: Catalog, others: Catalog) -> None:
    set_marks(catalog, {5: 3_000, 6: 1_000, 7: 2_000})

    with only_free(others, 5, 6, 7), leased_node(catalog) as first, leased_node(catalog) as second:
        assert (first.node, second.node) == (6, 7)
    with leased_node(catalog) as fresh:
        assert fresh.node == 0


def test_no_millisecond_is_granted_twice_over_holders_and_clocks(catalog: Catalog, others: Catalog) -> None:
    grants = []
    with only_free(others, 9):
        for from_ms in (50_000, 50_500, 10_000, 50_000, 90_000, 0):
            with leased_node(catalog) as leased:
                grants += [leased.reserve(from_ms), leased.reserve(from_ms)]

    assert [until - first for first, until in grants] == [RESERVED_MS] * 12
    assert all(until <= first for (_, until), (first, _) in pairwise(grants))
    assert grants[0][0] == 50_000


def test_a_holder_whose_session_has_ended_mints_no_more(catalog: Catalog, others: Catalog) -> None:
    now = 1_000_000
    with only_free(others, 3), leased_node(catalog) as leased:
        minter = minter_of(leased, lambda: now)
        before = minter.mint_many(DAY, 300)
        end_of_session(others, leased.node)

        with leased_node(others) as again:
            assert again.node == leased.node
            now += 10 * RESERVED_MS
            after = minter_of(again, lambda: 1_000_000).mint_many(DAY, 300)
            for _ in range(3):
                with pytest.raises(NodeLost, match="node 3 has ended"):
                    minter.mint(DAY)

    assert not set(before) & set(after)


def end_of_session(catalog: Catalog, node: int) -> None:
    """End the session that holds one node."""
    statement = sa.text(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND objid = :node "
        "AND classid = :lock AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with catalog.begin() as connection:
        assert connection.scalars(statement, {"node": node, "lock": NODE_LOCK}).all() == [True]


def test_a_session_without_the_lock_reserves_nothing(catalog: Catalog) -> None:
    with leased_node(catalog) as leased:
        unlock = sa.select(sa.func.pg_advisory_unlock(NODE_LOCK, leased.node))
        assert leased._connection.scalar(unlock)

        with pytest.raises(NodeLost):
            leased.reserve(1_000)

    with catalog.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(naming_nodes)) == 0


def test_a_reservation_stands_for_everybody_before_its_names_are_used(catalog: Catalog, others: Catalog) -> None:
    with leased_node(catalog) as leased:
        first, until = leased.reserve(70_000)
        with others.begin() as connection:
            assert connection.scalar(sa.select(naming_nodes.c.reserved_until_ms)) == until

    assert (first, until) == (70_000, 70_000 + RESERVED_MS)


def test_sixteen_threads_on_each_of_many_nodes_get_no_name_twice(catalog: Catalog) -> None:
    now = 5_000_000
    with ExitStack() as stack, ThreadPoolExecutor(16) as pool:
        minters = [minter_of(stack.enter_context(leased_node(catalog)), lambda: now) for _ in range(6)]
        names: list[str] = []
        for step in (0, 700, -400_000, 900_000):
            now += step
            calls = [partial(minter.mint_many, DAY, 500) for minter in minters for _ in range(16)]
            names += [name for batch in pool.map(lambda call: call(), calls) for name in batch]

    assert len(set(names)) == len(names) == 4 * 6 * 16 * 500


class Minting:
    """A process of its own that holds a node; its clock may be wrong."""

    def __init__(self, url: str, offset_ms: int) -> None:
        command = [sys.executable, "-m", "des_platform_tests.catalog.minting", url, str(offset_ms)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def node(self) -> int:
        return int(self._line())

    def ask(self, count: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def names(self, count: int) -> list[str]:
        return [self._line() for _ in range(count)]

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().rstrip("\n")
        assert line, "the process has ended"
        return line


def test_a_killed_process_and_its_successor_with_an_earlier_clock_share_no_name(
    catalog: Catalog, postgres_url: str, others: Catalog
) -> None:
    with only_free(others, 40, 41, 42):
        first = [Minting(postgres_url, HOUR_MS) for _ in range(3)]
        second: list[Minting] = []
        try:
            assert {process.node for process in first} == {40, 41, 42}
            for process in first:
                process.ask(100_000)
            names = [name for process in first for name in process.names(5_000)]
            for process in first:
                process.kill()  # in the middle of its work: what it minted beyond these names nobody knows
            wait_until(lambda: free(others) == 3, 10, "the killed processes' sessions have ended")
            second = [Minting(postgres_url, 0) for _ in range(3)]
            assert {process.node for process in second} == {40, 41, 42}
            for process in second:
                process.ask(20_000)
            later = [name for process in second for name in process.names(20_000)]
        finally:
            for process in first + second:
                process.kill()

    assert len({*names, *later}) == len(names) + len(later) == 75_000
    behind = 100_000 // 256  # even behind the names that nobody has seen
    assert min(map(milliseconds, later)) >= min(map(milliseconds, names)) + behind


def free(catalog: Catalog) -> int:
    statement = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :lock "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with catalog.begin() as connection:
        return NODES - (connection.scalar(statement, {"lock": NODE_LOCK}) or 0)


def milliseconds(name: str) -> int:
    return parse_name(name).value >> 16
