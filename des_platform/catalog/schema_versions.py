"""The versions of a table's schema, and the changes that each one brought.

Versions of a table are numbered 1, 2, 3 and exactly one is current: whoever creates one holds the table's row until
the transaction ends, so of two at once the second waits and gets the next number. A change goes from pending to applied
or failed, and from applied to rolled back; a step that its status does not permit changes nothing and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from des_platform.catalog.tables import lake_tables, schema_changes, schema_versions
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

ChangeStatus = Literal["pending", "applied", "failed", "rolled_back"]


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One version of a table's schema.

    Attributes:
        schema_version_id: its number in the catalogue.
        table_id: the table's number there.
        version_number: 1 for the table's first.
        schema_definition: the columns, as `lake.evolution.parse_definition` reads them.
        is_current: whether it is the table's newest.
        iceberg_schema_id: the Iceberg schema that has these columns; None until the table has it.
        description: what its author says of it.
        created_by: who made it.
        created_at: when.
    """

    schema_version_id: int
    table_id: int
    version_number: int
    schema_definition: dict[str, Any]
    is_current: bool
    iceberg_schema_id: int | None
    description: str | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change that a version brought.

    Attributes:
        schema_change_id: its number in the catalogue.
        schema_version_id: the version that brought it.
        change_type: one of `lake.evolution.ChangeType`.
        status: what became of it.
        column_name: the column's name before the change.
        old_value: what was there before.
        new_value: what came.
        change_description: the change in words.
        error_message: why it failed.
        applied_at: when it was applied, by `applied_by`.
        rolled_back_at: when it was undone, by `rolled_back_by`.
        created_at: when it was recorded.
    """

    schema_change_id: int
    schema_version_id: int
    change_type: str
    status: ChangeStatus
    column_name: str
    old_value: dict[str, Any] | None
    new_value: dict[str, Any] | None
    change_description: str | None
    error_message: str | None
    applied_at: datetime | None
    applied_by: str | None
    rolled_back_at: datetime | None
    rolled_back_by: str | None
    created_at: datetime


_VERSION = [schema_versions.c[field.name] for field in fields(SchemaVersion)]
_CHANGE = [schema_changes.c[field.name] for field in fields(SchemaChange)]


def create(
    connection: sa.Connection,
    table_id: int,
    definition: Mapping[str, Any],
    *,
    created_by: str,
    description: str | None = None,
    iceberg_schema_id: int | None = None,
) -> SchemaVersion:
    """Record a version as the table's current one.

    Args:
        connection: a transaction.
        table_id: the table.
        definition: the columns, checked.
        created_by: who makes it.
        description: for people.
        iceberg_schema_id: the Iceberg schema that has these columns, if the table has it already.

    Raises:
        LookupError: no such table.
    """
    held = sa.select(lake_tables.c.table_id).where(lake_tables.c.table_id == table_id).with_for_update()
    if connection.execute(held).one_or_none() is None:
        raise LookupError(f"the catalogue has no lake table {table_id}")
    of_table = schema_versions.c.table_id == table_id
    last = connection.scalar(sa.select(sa.func.max(schema_versions.c.version_number)).where(of_table)) or 0
    connection.execute(
        sa.update(schema_versions).where(of_table & schema_versions.c.is_current).values(is_current=False)
    )
    connection.execute(
        sa.update(lake_tables)
        .where(lake_tables.c.table_id == table_id)
        .values(schema_version=last + 1, updated_at=sa.func.now())
    )
    values = {
        "table_id": table_id,
        "version_number": last + 1,
        "schema_definition": dict(definition),
        "is_current": True,
        "iceberg_schema_id": iceberg_schema_id,
        "description": storable(description) if description is not None else None,
        "created_by": storable(created_by),
    }
    return SchemaVersion(*connection.execute(sa.insert(schema_versions).values(values).returning(*_VERSION)).one())


def current(connection: sa.Connection, table_id: int) -> SchemaVersion | None:
    """The table's newest version; None while it has none."""
    wanted = (schema_versions.c.table_id == table_id) & schema_versions.c.is_current
    row = connection.execute(sa.select(*_VERSION).where(wanted)).one_or_none()
    return SchemaVersion(*row) if row else None


def get(connection: sa.Connection, schema_version_id: int) -> SchemaVersion | None:
    """The version with that number in the catalogue."""
    wanted = schema_versions.c.schema_version_id == schema_version_id
    row = connection.execute(sa.select(*_VERSION).where(wanted)).one_or_none()
    return SchemaVersion(*row) if row else None


def listing(connection: sa.Connection, table_id: int, limit: int, offset: int) -> tuple[list[SchemaVersion], int]:
    """A page of the table's versions, the newest first, and how many there are on all pages."""
    of_table = schema_versions.c.table_id == table_id
    total = connection.scalar(sa.select(sa.func.count()).select_from(schema_versions).where(of_table)) or 0
    page = sa.select(*_VERSION).where(of_table).order_by(schema_versions.c.version_number.desc())
    return [SchemaVersion(*row) for row in connection.execute(page.limit(limit).offset(offset))], total


def set_iceberg_schema(connection: sa.Connection, schema_version_id: int, iceberg_schema_id: int) -> None:
    """Record which Iceberg schema has the version's columns, once the table has it."""
    connection.execute(
        sa.update(schema_versions)
        .where(schema_versions.c.schema_version_id == schema_version_id)
        .values(iceberg_schema_id=iceberg_schema_id)
    )


def add_change(
    connection: sa.Connection,
    schema_version_id: int,
    *,
    change_type: str,
    column_name: str,
    old_value: Mapping[str, Any] | None,
    new_value: Mapping[str, Any] | None,
    description: str | None = None,
) -> SchemaChange:
    """Record a change of a version, pending.

    Args:
        connection: a transaction.
        schema_version_id: the version.
        change_type: one of `lake.evolution.ChangeType`.
        column_name: the column's name before the change.
        old_value: what is there before, JSON.
        new_value: what comes, JSON.
        description: the change in words.
    """
    values = {
        "schema_version_id": schema_version_id,
        "change_type": change_type,
        "column_name": column_name,
        "old_value": dict(old_value) if old_value is not None else None,
        "new_value": dict(new_value) if new_value is not None else None,
        "change_description": storable(description) if description is not None else None,
    }
    return SchemaChange(*connection.execute(sa.insert(schema_changes).values(values).returning(*_CHANGE)).one())


def change(connection: sa.Connection, schema_change_id: int, *, lock: bool = False) -> SchemaChange | None:
    """The change with that number.

    Args:
        connection: a transaction.
        schema_change_id: its number.
        lock: let nobody else change its status until the transaction ends.
    """
    statement = sa.select(*_CHANGE).where(schema_changes.c.schema_change_id == schema_change_id)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return SchemaChange(*row) if row else None


def changes_of(connection: sa.Connection, schema_version_id: int) -> list[SchemaChange]:
    """The changes of a version, as they were recorded."""
    statement = sa.select(*_CHANGE).where(schema_changes.c.schema_version_id == schema_version_id)
    return [SchemaChange(*row) for row in connection.execute(statement.order_by(schema_changes.c.schema_change_id))]


def mark_applied(connection: sa.Connection, schema_change_ids: Iterable[int], by: str) -> list[SchemaChange]:
    """Record that changes are in the table; returns those that were pending or had failed."""
    values = {"status": "applied", "applied_at": sa.func.now(), "applied_by": storable(by), "error_message": None}
    return _mark(connection, schema_change_ids, ("pending", "failed"), values)


def mark_failed(connection: sa.Connection, schema_change_ids: Iterable[int], error: str) -> list[SchemaChange]:
    """Record why changes are not in the table; returns those that were pending or had failed before."""
    values = {"status": "failed", "error_message": storable(error)}
    return _mark(connection, schema_change_ids, ("pending", "failed"), values)


def mark_rolled_back(connection: sa.Connection, schema_change_ids: Iterable[int], by: str) -> list[SchemaChange]:
    """Record that changes were undone; returns those that were applied."""
    values = {"status": "rolled_back", "rolled_back_at": sa.func.now(), "rolled_back_by": storable(by)}
    return _mark(connection, schema_change_ids, ("applied",), values)


def _mark(
    connection: sa.Connection, schema_change_ids: Iterable[int], before: tuple[str, ...], values: Mapping[str, Any]
) -> list[SchemaChange]:
    wanted = schema_changes.c.schema_change_id.in_(list(schema_change_ids)) & schema_changes.c.status.in_(before)
    rows = connection.execute(sa.update(schema_changes).where(wanted).values(**values).returning(*_CHANGE))
    return sorted((SchemaChange(*row) for row in rows), key=lambda marked: marked.schema_change_id)
