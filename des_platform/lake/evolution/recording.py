"""What the catalogue is told of a table's schema: the version that it has, and the changes that lead there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.catalog import schema_versions
from des_platform.lake.evolution.apply import fields_of
from des_platform.lake.evolution.fields import to_definition

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa
    from pyiceberg.table import Table

    from des_platform.catalog.schema_versions import SchemaChange, SchemaVersion
    from des_platform.lake.evolution.changes import Change


def record_version(
    connection: sa.Connection, table_id: int, table: Table, *, created_by: str, description: str | None = None
) -> SchemaVersion:
    """Record the columns that a table has as its newest version."""
    return schema_versions.create(
        connection,
        table_id,
        to_definition(fields_of(table)),
        created_by=created_by,
        description=description,
        iceberg_schema_id=table.metadata.current_schema_id,
    )


def record_changes(connection: sa.Connection, version: SchemaVersion, changes: Iterable[Change]) -> list[SchemaChange]:
    """Record changes as pending ones of a version."""
    return [
        schema_versions.add_change(
            connection,
            version.schema_version_id,
            change_type=change.type,
            column_name=change.column,
            old_value=change.old,
            new_value=change.new,
            description=change.description or None,
        )
        for change in changes
    ]
