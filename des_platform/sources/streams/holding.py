"""The lease under which a worker does its jobs: one worker a queue, over all processes.

It is renewed while chunks are at work. A worker that slept past it publishes nothing: whatever it sends or commits, it
does while it holds the lease's row and its token is the newest.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from des_platform.catalog import leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.leases import Lease


class Stopped(Exception):
    """The worker was asked to end while a file was at work; the file is begun anew by whoever comes next."""


class Hold:
    """A lease that is held.

    Args:
        catalog: where leases are.
        lease: the lease.
        seconds: its life without renewal.
        stopping: whether the worker was asked to end.
    """

    def __init__(self, catalog: Catalog, lease: Lease, seconds: float, stopping: Callable[[], bool]) -> None:
        self.stopping = stopping
        self._catalog = catalog
        self._lease = lease
        self._seconds = seconds
        self._renewed = time.monotonic()

    def beat(self) -> None:
        """Called between chunks.

        Raises:
            Stopped: the worker was asked to end.
            LeaseLost: another worker has taken over.
        """
        if self.stopping():
            raise Stopped
        if time.monotonic() - self._renewed > self._seconds / 3:
            with self._catalog.begin() as connection:
                if not leases.renew(connection, self._lease, seconds=self._seconds):
                    leases.check(connection, self._lease)
            self._renewed = time.monotonic()

    @contextmanager
    def publishing(self) -> Iterator[sa.Connection]:
        """A transaction in which the lease is surely held.

        Raises:
            LeaseLost: another worker has taken over.
        """
        with self._catalog.begin() as connection:
            leases.check(connection, self._lease)
            leases.renew(connection, self._lease, seconds=self._seconds)
            yield connection


@contextmanager
def holding(catalog: Catalog, name: str, seconds: float, stopping: Callable[[], bool]) -> Iterator[Hold | None]:
    """Hold a lease as long as the context lasts; None where another worker has it."""
    with catalog.begin() as connection:
        lease = leases.acquire(connection, name, seconds=seconds)
    if lease is None:
        yield None
        return
    try:
        yield Hold(catalog, lease, seconds, stopping)
    finally:
        with catalog.begin() as connection:
            leases.release(connection, lease)
