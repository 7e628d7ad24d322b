"""The containers: archives as catalogued, one published per shard and day.

Publishing is one transaction that checks the fencing token of the shard's lease, so a writer that lost its lease loses
here, cleanly, whatever it wrote before.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.catalog import leases
from des_platform.catalog.tables import containers, files

if TYPE_CHECKING:
    from datetime import date

    from des_platform.catalog.leases import Lease


@dataclass(frozen=True, slots=True)
class NewContainer:
    """An archive to publish.

    Attributes:
        dataset: whose files it holds.
        day: their day.
        shard: their shard.
        key: of the archive in the platform's own bucket.
        etag: the version under that key.
        size: bytes.
        sha256: of the whole archive, in hex.
        files: its members, external ones included.
        external_files: those of them whose bytes are an object of their own.
        archive_version: of the archive format.
        hint: 64 bytes with which the archive is opened without a request; None in version 1, which has none.
    """

    dataset: str
    day: date
    shard: int
    key: str
    etag: str
    size: int
    sha256: str
    files: int
    external_files: int
    archive_version: int
    hint: bytes | None


@dataclass(frozen=True, slots=True)
class Container(NewContainer):
    """A published archive."""

    container_id: int
    generation: int
    fencing_token: int


_COLUMNS = [containers.c[field.name] for field in fields(Container)]


def published(connection: sa.Connection, dataset: str, day: date, shard: int) -> Container | None:
    """The archive of one shard and day that readers use."""
    statement = sa.select(*_COLUMNS).where(
        containers.c.dataset == dataset,
        containers.c.day == day,
        containers.c.shard == shard,
        containers.c.state == "published",
    )
    row = connection.execute(statement).mappings().one_or_none()
    return Container(**row) if row else None


def by_id(connection: sa.Connection, container_id: int) -> Container:
    """One container."""
    return Container(
        **connection.execute(sa.select(*_COLUMNS).where(containers.c.container_id == container_id)).mappings().one()
    )


def publish(connection: sa.Connection, new: NewContainer, lease: Lease) -> Container:
    """Make an archive the shard's published one and supersede the one before it.

    Raises:
        LeaseLost: the lease's token is no longer the newest one.
    """
    leases.check(connection, lease)
    shard = sa.and_(containers.c.dataset == new.dataset, containers.c.day == new.day, containers.c.shard == new.shard)
    connection.execute(containers.update().where(shard, containers.c.state == "published").values(state="superseded"))
    generation = (connection.scalar(sa.select(sa.func.max(containers.c.generation)).where(shard)) or 0) + 1
    values = {field.name: getattr(new, field.name) for field in fields(NewContainer)}
    statement = (
        containers.insert()
        .values(**values, generation=generation, fencing_token=lease.token, state="published")
        .returning(*_COLUMNS)
    )
    return Container(**connection.execute(statement).mappings().one())


def count_published(connection: sa.Connection, dataset: str | None = None) -> tuple[int, int]:
    """Number and bytes of the published archives."""
    statement = sa.select(
        sa.func.count(), sa.cast(sa.func.coalesce(sa.func.sum(containers.c.size), 0), sa.BigInteger)
    ).where(containers.c.state == "published")
    if dataset is not None:
        statement = statement.where(containers.c.dataset == dataset)
    number, size = connection.execute(statement).one()
    return number, size


def misplaced_files(connection: sa.Connection) -> int:
    """Packed files whose container is not a published one; 0 unless something is wrong."""
    statement = (
        sa.select(sa.func.count())
        .select_from(files.outerjoin(containers, files.c.container_id == containers.c.container_id))
        .where(files.c.state == "packed", sa.func.coalesce(containers.c.state, "none") != "published")
    )
    return connection.scalar(statement) or 0
