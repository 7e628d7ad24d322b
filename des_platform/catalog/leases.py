"""Leases with fencing tokens: at most one writer believes that it owns a shard, and a late one loses.

A lease lives for some seconds and is renewed by its holder. Whoever takes it over gets a larger token; `check`, called
inside the transaction that publishes, compares tokens, so a writer that slept past its lease cannot publish. The
database's clock is the only clock.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import leases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.database import Catalog


class LeaseLost(Exception):
    """Another writer holds the lease, or has held it since; what this writer wrote was not published."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease held: `token` grows with every change of holder."""

    name: str
    holder: str
    token: int


def acquire(connection: sa.Connection, name: str, *, seconds: float) -> Lease | None:
    """Take a lease that is free or has run out.

    Args:
        connection: inside a transaction that the caller commits.
        name: what is leased.
        seconds: its life without renewal.

    Returns:
        The lease, or None while another holder's is alive.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    expires = sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    statement = insert(leases).values(name=name, holder=holder, token=1, expires_at=expires)
    statement = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": holder, "token": leases.c.token + 1, "expires_at": expires},
        where=leases.c.expires_at <= sa.func.clock_timestamp(),
    )
    token = connection.scalar(statement.returning(leases.c.token))
    return None if token is None else Lease(name, holder, token)


def renew(connection: sa.Connection, lease: Lease, *, seconds: float) -> bool:
    """Prolong a lease; False says that it is lost."""
    expires = sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    mine = sa.and_(leases.c.name == lease.name, leases.c.token == lease.token)
    return connection.execute(leases.update().where(mine).values(expires_at=expires)).rowcount == 1


def release(connection: sa.Connection, lease: Lease) -> None:
    """Give a lease back; the row stays, so that tokens go on growing."""
    mine = sa.and_(leases.c.name == lease.name, leases.c.token == lease.token)
    connection.execute(leases.update().where(mine).values(expires_at=sa.func.clock_timestamp()))


def check(connection: sa.Connection, lease: Lease) -> None:
    """Lock the lease's row until the transaction ends and make sure that the token is still the newest.

    Raises:
        LeaseLost: it is not.
    """
    token = connection.scalar(sa.select(leases.c.token).where(leases.c.name == lease.name).with_for_update())
    if token != lease.token:
        raise LeaseLost(
            f"the lease {lease.name} with token {lease.token} was taken over (token {token} now): nothing was published"
        )


@contextmanager
def held(catalog: Catalog, name: str, *, seconds: float) -> Iterator[Lease]:
    """Hold a lease, renewed in the background, as long as the context lasts; waits until it is free.

    Raises:
        LeaseLost: it was not free within three lives; its holder is alive and at work.
    """
    lease = _wait_for(catalog, name, seconds)
    done = threading.Event()

    def keep() -> None:
        while not done.wait(seconds / 3):
            try:
                with catalog.begin() as connection:
                    if not renew(connection, lease, seconds=seconds):
                        return  # lost: `check` will tell the writer
            except sa.exc.OperationalError:
                continue  # the server is away: the next beat tries again, and `check` decides in the end

    keeper = threading.Thread(target=keep, name=f"lease {name}", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        done.set()
        keeper.join()
        with catalog.begin() as connection:
            release(connection, lease)


def _wait_for(catalog: Catalog, name: str, seconds: float) -> Lease:
    pause = threading.Event()
    beats = 30
    for _ in range(beats):
        with catalog.begin() as connection:
            lease = acquire(connection, name, seconds=seconds)
        if lease is not None:
            return lease
        pause.wait(3 * seconds / beats)
    raise LeaseLost(f"the lease {name} is held by another writer that keeps renewing it: wait for that run, or end it")
