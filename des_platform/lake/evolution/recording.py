"""Changes of a schema, recorded beside the version that they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.catalog import schema_versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

    from des_platform.catalog.schema_versions import SchemaChange, SchemaVersion
    from des_platform.lake.evolution.changes import Change


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
