"""A table's schema versions from outside: posted, applied, rolled back, with the table and the catalogue in step.

The first version makes the table. A later one is checked against the table and recorded with its changes pending;
applying them changes the table, all in one commit or none. Changes that no version asked for, and roll-backs, become a
version of their own, so that the newest version always says what the table is, or is about to be.

Whoever calls holds the table's row, so one of these runs at a time. The table is changed before the catalogue is: what
a crash leaves between the two is found by the next try, which records what the table has already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from des_platform.catalog import schema_versions
from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake.evolution import (
    Change,
    ChangeType,
    apply_changes,
    diff,
    fields_of,
    parse_definition,
    roll_back,
    violations,
)
from des_platform.lake.evolution.recording import record_changes, record_version
from des_platform.lake.types import SchemaConflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import sqlalchemy as sa

    from des_platform.catalog.lake_tables import LakeTable
    from des_platform.catalog.schema_versions import SchemaChange, SchemaVersion
    from des_platform.lake.evolution import Field
    from des_platform.lake.tables import Lake


class Incompatible(Exception):
    """A version's changes are not what the table's compatibility mode permits; nothing was changed."""


class VersionState(Exception):
    """A version or a change is not in the state that the step needs; nothing was changed."""


def post(
    connection: sa.Connection,
    lake: Lake,
    table: LakeTable,
    definition: Mapping[str, Any],
    *,
    created_by: str,
    description: str | None = None,
    allow_loss: bool = False,
) -> SchemaVersion:
    """Record a version as the table's current one; the first one makes the table, another one waits to be applied.

    Args:
        connection: a transaction that holds the table's row.
        lake: the tables.
        table: the registered table.
        definition: its columns, as `parse_definition` reads them.
        created_by: who posts it.
        description: for people.
        allow_loss: whether columns may be dropped.

    Raises:
        ConfigurationError: no table could have these columns, or not with its partitioning.
        Incompatible: the table's compatibility mode does not permit it; nothing was recorded.
    """
    wanted = parse_definition(definition)
    if not lake.exists(table.name):
        _make(lake, table, wanted)
    made = lake.table(table.name)
    changes = diff(fields_of(made), wanted)
    if refused := violations(changes, table.compatibility, allow_loss=allow_loss):
        raise Incompatible(f"table {table.name!r}: {'; '.join(refused)}")
    version = schema_versions.create(
        connection,
        table.table_id,
        definition,
        created_by=created_by,
        description=description,
        iceberg_schema_id=None if changes else made.metadata.current_schema_id,
    )
    record_changes(connection, version, changes)
    return version


def apply(
    connection: sa.Connection,
    lake: Lake,
    table: LakeTable,
    version: SchemaVersion,
    changes: Sequence[Change],
    *,
    applied_by: str,
    allow_loss: bool = False,
) -> tuple[list[SchemaChange], SchemaConflict | None]:
    """Change the table.

    Args:
        connection: a transaction that holds the table's row; what it records is true whether or not this fails.
        lake: the tables.
        table: the registered table.
        version: its current version.
        changes: those that the version waits for, or some of them; none for all. Or others, where it waits for none.
        applied_by: who applies them.
        allow_loss: whether columns may be dropped.

    Returns:
        What became of each change, and why they failed, if they did: then the table is as it was.

    Raises:
        VersionState: the version is not the current one, or waits for changes while others are asked for.
        SchemaConflict: changes that the version does not wait for are not permitted; nothing was changed.
        LookupError: no such table.
    """
    if not version.is_current:
        raise VersionState(f"version {version.version_number} is no longer current, so nothing is applied to it")
    waiting = {_key(_change(recorded)): recorded for recorded in _waiting(connection, version)}
    asked = list(changes) or [_change(recorded) for recorded in waiting.values()]
    if not waiting:
        return _apply_directly(connection, lake, table, asked, applied_by, allow_loss=allow_loss), None
    strange = [change for change in asked if _key(change) not in waiting]
    if strange:
        raise VersionState(
            f"version {version.version_number} waits for changes of its own, and {strange[0].type} of"
            f" {strange[0].column!r} is none of them: apply those first"
        )
    ids = [waiting[_key(change)].schema_change_id for change in asked]
    try:
        # Nothing left to change: a try before this one died between the table and the catalogue.
        if diff(fields_of(lake.table(table.name)), parse_definition(version.schema_definition)):
            apply_changes(lake, table.name, asked, compatibility=table.compatibility, allow_loss=allow_loss)
    except SchemaConflict as conflict:
        return schema_versions.mark_failed(connection, ids, str(conflict)), conflict
    applied = schema_versions.mark_applied(connection, ids, applied_by)
    if not _waiting(connection, version):
        newest = lake.table(table.name).metadata.current_schema_id
        schema_versions.set_iceberg_schema(connection, version.schema_version_id, newest)
    return applied, None


def undo(
    connection: sa.Connection, lake: Lake, table: LakeTable, change: SchemaChange, *, rolled_back_by: str
) -> SchemaChange:
    """Take an applied change back, which becomes a version of its own.

    Args:
        connection: a transaction that holds the table's row and the change's.
        lake: the tables.
        table: the registered table.
        change: the change.
        rolled_back_by: who wants it.

    Raises:
        VersionState: it is not applied.
        SchemaConflict: the table does not permit it; nothing was changed.
        LookupError: no such table.
    """
    if change.status != "applied":
        raise VersionState(f"change {change.schema_change_id} is {change.status}: only an applied one is rolled back")
    roll_back(lake, table.name, [_change(change)])
    _next(connection, lake, table, rolled_back_by, f"change {change.schema_change_id} rolled back")
    (marked,) = schema_versions.mark_rolled_back(connection, [change.schema_change_id], rolled_back_by)
    return marked


def _make(lake: Lake, table: LakeTable, wanted: Iterable[Field]) -> None:
    rules = [PartitionRule.parse(rule) for rule in table.partition_by]
    lake.ensure_table(table.name, {field.name: field.type for field in wanted}, rules)
    required = [
        Change(ChangeType.ADD_CONSTRAINT, field.name, {"required": False}, {"required": True})
        for field in wanted
        if field.required
    ]
    if required:
        apply_changes(lake, table.name, required, compatibility="none")


def _apply_directly(
    connection: sa.Connection,
    lake: Lake,
    table: LakeTable,
    changes: Sequence[Change],
    author: str,
    *,
    allow_loss: bool,
) -> list[SchemaChange]:
    if not changes:
        return []
    apply_changes(lake, table.name, changes, compatibility=table.compatibility, allow_loss=allow_loss)
    version = _next(
        connection, lake, table, author, "; ".join(filter(None, (change.description for change in changes)))
    )
    ids = [recorded.schema_change_id for recorded in record_changes(connection, version, changes)]
    return schema_versions.mark_applied(connection, ids, author)


def _next(connection: sa.Connection, lake: Lake, table: LakeTable, author: str, description: str) -> SchemaVersion:
    made = lake.table(table.name)
    return record_version(connection, table.table_id, made, created_by=author, description=description)


def _waiting(connection: sa.Connection, version: SchemaVersion) -> list[SchemaChange]:
    recorded = schema_versions.changes_of(connection, version.schema_version_id)
    return [change for change in recorded if change.status in {"pending", "failed"}]


def _change(recorded: SchemaChange) -> Change:
    kind, column = ChangeType(recorded.change_type), recorded.column_name
    return Change(kind, column, recorded.old_value, recorded.new_value, recorded.change_description or "")


def _key(change: Change) -> tuple[str, str, tuple[object, ...]]:
    new = change.new or {}
    return change.type.value, change.column, tuple(new.get(part) for part in ("name", "type", "required"))
