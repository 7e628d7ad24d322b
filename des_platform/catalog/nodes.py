"""Naming nodes: who may mint names as which of the 256, and from which millisecond on.

A node is held by a session-level advisory lock, so it has one holder at a time and comes back by itself when the
process or its connection dies. Which milliseconds were ever handed out is another matter, and outlives every holder:
each node's row in `naming_nodes` holds a mark that only grows, and a holder moves it, in a transaction of its own,
before it mints a name below it. A successor starts at the mark whatever its clock says, so it repeats no name of its
predecessor, whether that one died, had borrowed milliseconds from the future, or had a clock that was ahead.

The lock spreads holders over the nodes; that no two are granted the same millisecond rests on the row alone.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import naming_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.database import Catalog

NODES = 256
RESERVED_MS = 1_000
"""What one reservation grants: one small transaction for up to 256,000 names."""

_LOCK_CLASS = 0x0DE5_0002
_locks = sa.table("pg_locks", *map(sa.column, ("locktype", "classid", "objid", "pid")), schema="pg_catalog")


class NoFreeNode(RuntimeError):
    """Every naming node is held: as many processes mint names as there are nodes."""


class NodeLost(RuntimeError):
    """The session that held a naming node is gone; what it had reserved may be used up, and no more."""


class LeasedNode:
    """A naming node in this process's hands. Thread-safe.

    Attributes:
        node: its number, 0 to 255.
    """

    def __init__(self, node: int, connection: sa.Connection) -> None:
        self.node = node
        self._connection = connection
        self._lock = threading.Lock()
        self._lost = False

    def reserve(self, from_ms: int) -> tuple[int, int]:
        """Grant milliseconds that were never granted for this node, and never will be again.

        Args:
            from_ms: the first one wanted, in milliseconds since the epoch.

        Returns:
            The first one granted, at least `from_ms`, and the one behind the last.

        Raises:
            NodeLost: the session has ended, and its lock with it.
        """
        with self._lock:
            until_ms = None if self._lost else self._move_mark(from_ms)
            if until_ms is None:
                # Once lost is lost: the pool would serve the next statement from another session.
                self._lost = True
                raise NodeLost(
                    f"the database session that held the naming node {self.node} has ended: no more names are minted "
                    "as this node; lease one again"
                )
        return until_ms - RESERVED_MS, until_ms

    def _move_mark(self, from_ms: int) -> int | None:
        """Where the mark stands now; None if the lock is not this session's."""
        # The statement looks for the lock itself: a session that a proxy or the pool put in its place has none.
        held = sa.exists().where(
            _locks.c.locktype == "advisory",
            sa.cast(_locks.c.classid, sa.BigInteger) == _LOCK_CLASS,
            sa.cast(_locks.c.objid, sa.BigInteger) == self.node,
            _locks.c.pid == sa.func.pg_backend_pid(),
        )
        first = sa.select(sa.literal(self.node), sa.literal(from_ms + RESERVED_MS, sa.BigInteger)).where(held)
        mark = naming_nodes.c.reserved_until_ms
        statement = (
            insert(naming_nodes)
            .from_select(["node", "reserved_until_ms"], first)
            .on_conflict_do_update(
                index_elements=["node"], set_={"reserved_until_ms": sa.func.greatest(mark, from_ms) + RESERVED_MS}
            )
            .returning(mark)
        )
        try:
            until_ms: int | None = self._connection.scalar(statement)
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated:
                return None
            raise
        return until_ms


@contextmanager
def leased_node(catalog: Catalog) -> Iterator[LeasedNode]:
    """Hold a naming node that no other process on this database holds, as long as the context lasts.

    Of the free nodes it is the one with the lowest mark: the one whose names are furthest from those to come.

    Raises:
        NoFreeNode: all 256 are held.
    """
    with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        node = _lock_one(connection)
        if node is None:
            raise NoFreeNode(f"all {NODES} naming nodes are taken: {NODES} processes mint names at once; run fewer")
        try:
            yield LeasedNode(node, connection)
        finally:
            _unlock(connection, node)


def _lock_one(connection: sa.Connection) -> int | None:
    marks = dict(connection.execute(sa.select(naming_nodes.c.node, naming_nodes.c.reserved_until_ms)).tuples().all())
    for node in sorted(range(NODES), key=lambda node: marks.get(node, 0)):
        if connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK_CLASS, node))):
            return node
    return None


def _unlock(connection: sa.Connection, node: int) -> None:
    if connection.invalidated:
        return
    try:
        connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK_CLASS, node)))
    except sa.exc.DBAPIError:
        connection.invalidate()  # back in the pool it would hold the lock for ever
