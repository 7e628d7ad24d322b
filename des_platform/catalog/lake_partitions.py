"""The partitions of the lake's tables with their statistics, so that nobody has to open a table to know them.

They follow the table: `synchronize` makes the rows what a snapshot of it holds. A partition that the table no longer
has keeps its row, inactive and empty.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.paging import page
from des_platform.catalog.tables import lake_partitions, lake_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

_EMPTY = {"record_count": 0, "size_bytes": 0, "file_count": 0}


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a partition holds.

    Attributes:
        partition_path: `key=value/key=value`, the keys in order, both escaped.
        partition_values: key to value; a value is None where the column is null.
        first_day: the first UTC day that its values stand for; None if they name no day.
        last_day: the last one.
        record_count: rows.
        size_bytes: bytes of its files.
        file_count: files.
    """

    partition_path: str
    partition_values: dict[str, Any]
    first_day: date | None
    last_day: date | None
    record_count: int
    size_bytes: int
    file_count: int


@dataclass(frozen=True, slots=True)
class LakePartition:
    """A partition as it is registered; see `Statistics` for what it holds."""

    partition_id: int
    table_id: int
    partition_path: str
    partition_values: dict[str, Any]
    first_day: date | None
    last_day: date | None
    record_count: int
    size_bytes: int
    file_count: int
    is_active: bool
    created_at: datetime
    last_updated: datetime


_COLUMNS = [lake_partitions.c[field.name] for field in fields(LakePartition)]


def upsert(connection: sa.Connection, table_id: int, found: Statistics) -> LakePartition:
    """Register a partition, or what it holds now; either way it is active afterwards."""
    statement = insert(lake_partitions).values(table_id=table_id, **asdict(found))
    replaced = {field.name: statement.excluded[field.name] for field in fields(Statistics)}
    statement = statement.on_conflict_do_update(
        index_elements=["table_id", "partition_path"],
        set_=replaced | {"is_active": True, "last_updated": sa.func.now()},
    )
    return LakePartition(*connection.execute(statement.returning(*_COLUMNS)).one())


def get(connection: sa.Connection, partition_id: int) -> LakePartition | None:
    """The partition with that number, active or not."""
    row = connection.execute(sa.select(*_COLUMNS).where(lake_partitions.c.partition_id == partition_id)).one_or_none()
    return LakePartition(*row) if row else None


def update(connection: sa.Connection, partition_id: int, **changed: Any) -> LakePartition | None:  # noqa: ANN401
    """Change columns of a partition's row; None if there is no such partition."""
    statement = (
        sa.update(lake_partitions)
        .where(lake_partitions.c.partition_id == partition_id)
        .values(**changed, last_updated=sa.func.now())
        .returning(*_COLUMNS)
    )
    row = connection.execute(statement).one_or_none()
    return LakePartition(*row) if row else None


def of_table(
    connection: sa.Connection,
    table_id: int,
    limit: int | None = None,
    offset: int = 0,
    *,
    days: tuple[date, date] | None = None,
) -> tuple[list[LakePartition], int]:
    """A page of a table's active partitions by path, and how many there are on all pages.

    Args:
        connection: a transaction.
        table_id: the table.
        limit: most partitions on the page; None for all.
        offset: partitions before it.
        days: the first and the last day of a range that a partition must share a day with.
    """
    wanted = [lake_partitions.c.table_id == table_id, lake_partitions.c.is_active]
    if days is not None:
        first, last = days
        wanted += [lake_partitions.c.first_day <= last, lake_partitions.c.last_day >= first]
    rows = sa.select(*_COLUMNS).where(*wanted).order_by(lake_partitions.c.partition_path)
    found, total = page(connection, rows, limit, offset)
    return [LakePartition(*row) for row in found], total


def synchronized_snapshot(connection: sa.Connection, table_id: int) -> int | None:
    """The snapshot that the rows were last made of; the table's row stays locked until the transaction ends."""
    statement = sa.select(lake_tables.c.synced_snapshot_id).where(lake_tables.c.table_id == table_id)
    snapshot: int | None = connection.scalar(statement.with_for_update())
    return snapshot


def synchronize(connection: sa.Connection, table_id: int, found: Sequence[Statistics], snapshot_id: int | None) -> None:
    """Make a table's rows what one of its snapshots holds."""
    statement = insert(lake_partitions)
    replaced = {field.name: statement.excluded[field.name] for field in fields(Statistics)}
    statement = statement.on_conflict_do_update(
        index_elements=["table_id", "partition_path"],
        # An empty row is one whose partition had gone, and comes back; one that a user gave up stays so.
        set_=replaced
        | {
            "is_active": lake_partitions.c.is_active | (lake_partitions.c.file_count == 0),
            "last_updated": sa.func.now(),
        },
        where=sa.or_(*(lake_partitions.c[name].is_distinct_from(value) for name, value in replaced.items())),
    )
    if found:
        connection.execute(statement, [{"table_id": table_id, **asdict(partition)} for partition in found])
    known = sa.select(lake_partitions.c.partition_path).where(
        lake_partitions.c.table_id == table_id, lake_partitions.c.is_active
    )
    gone = set(connection.scalars(known)) - {partition.partition_path for partition in found}
    if gone:
        emptied = sa.update(lake_partitions).where(
            lake_partitions.c.table_id == table_id, lake_partitions.c.partition_path == sa.bindparam("gone")
        )
        emptied = emptied.values(**_EMPTY, is_active=False, last_updated=sa.func.now())
        connection.execute(emptied, [{"gone": path} for path in sorted(gone)])
    noted = sa.update(lake_tables).where(lake_tables.c.table_id == table_id).values(synced_snapshot_id=snapshot_id)
    connection.execute(noted)
