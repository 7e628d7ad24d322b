"""One process compresses a month of a DataHub: who is there, and whether they still are.

The lease is one of the catalogue's. A process that was killed leaves one that runs out and is not renewed, so whoever
finds a lease held watches it: as soon as it is renewed its holder is alive, and `MonthBusy` says who that is; once it
has run out the month is free. Both are known within one life of the lease.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.catalog import leases
from des_platform.catalog.tables import leases as lease_rows
from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.leases import Lease

_LOOK_SECONDS = 0.2


class MonthBusy(SourceUnavailable):
    """Another process compresses this month of the DataHub."""


@contextmanager
def month_lease(catalog: Catalog, name: str, *, seconds: float) -> Iterator[Lease]:
    """Hold a month's lease as long as the context lasts.

    Args:
        catalog: where leases are.
        name: the lease.
        seconds: its life without renewal.

    Raises:
        MonthBusy: another process holds it and is alive.
    """
    _wait_while_unsure(catalog, name)
    try:
        with leases.held(catalog, name, seconds=seconds) as lease:
            yield lease
    except leases.LeaseLost as error:
        raise MonthBusy(f"{name}: {error}") from None


def _wait_while_unsure(catalog: Catalog, name: str) -> None:
    """Return as soon as the lease is free or has run out."""
    pause = threading.Event()
    first: tuple[str, datetime] | None = None
    while (found := _held_by(catalog, name)) is not None:
        holder, expires_at = found
        if first is not None and found != first:
            raise MonthBusy(
                f"{name}: {holder} (host:process) is at work there, and renewed its lease until "
                f"{expires_at:%H:%M:%S} UTC: wait for it, or end it"
            )
        first = found
        pause.wait(_LOOK_SECONDS)


def _held_by(catalog: Catalog, name: str) -> tuple[str, datetime] | None:
    alive = sa.and_(lease_rows.c.name == name, lease_rows.c.expires_at > sa.func.clock_timestamp())
    statement = sa.select(lease_rows.c.holder, sa.func.timezone("UTC", lease_rows.c.expires_at)).where(alive)
    with catalog.begin() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else (row[0].rpartition(":")[0], row[1])
