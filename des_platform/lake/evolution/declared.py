"""A dataset's table follows its definition: columns come, widen and are renamed as it says, and each step is a version.

A column that is no longer declared stays, null from now on, unless the definition lists it among its drops. What the
definition's compatibility mode does not permit is refused before anything is written. An unchanged definition costs
one look at the table's metadata and one at the catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.catalog import lake_tables, schema_versions
from des_platform.lake.column_rules import canonical
from des_platform.lake.evolution.apply import evolve, fields_of, stage_changes
from des_platform.lake.evolution.changes import Change, diff
from des_platform.lake.evolution.fields import Field, to_definition
from des_platform.lake.evolution.recording import record_changes, record_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa
    from pyiceberg.table import Table, Transaction

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.table_spec import TableSpec
    from des_platform.lake.tables import Lake

AUTHOR = "definition"


def evolve_declared(lake: Lake, catalog: Catalog, name: str, spec: TableSpec) -> list[Change]:
    """Bring a table to its definition, and record what its schema is now.

    Args:
        lake: the tables; this one is made where it is missing.
        catalog: keeps the versions.
        name: the dataset and its table.
        spec: the definition; without columns nothing but its drops is done.

    Returns:
        What was changed.

    Raises:
        ConfigurationError: the definition contradicts itself, or the lake API made a table of that name.
        SchemaConflict: the mode, the table's rows or its partitioning do not permit a change; nothing was changed.
    """
    made: list[Change] = []
    with catalog.begin() as connection:
        known = lake_tables.register(
            connection, name, dataset=name, partition_by=spec.partition_by, compatibility=spec.compatibility
        )
    if not lake.exists(name):
        lake.ensure_table(name, spec.columns, spec.partitioning)
    table = lake.table(name)

    def stage(transaction: Transaction, table: Table) -> None:
        from des_platform.lake.evolution.schemas import declared_fields

        wanted = _changes(declared_fields(transaction.table_metadata.schema()), spec)
        made[:] = stage_changes(
            transaction, table, wanted, compatibility=spec.compatibility, allow_loss=bool(spec.drops)
        )

    if _changes(fields_of(table), spec):
        table = evolve(lake, name, stage)
    with catalog.begin() as connection:
        _record(connection, lake, known.table_id, table, made)
    return made


def _changes(have: Sequence[Field], spec: TableSpec) -> list[Change]:
    """What leads from the table to the definition; whether a column is required is the table's own affair."""
    by_name = {field.name: field for field in have}
    declared = []
    for name, kind in spec.columns.items():
        former = by_name.get(name) or by_name.get(spec.renames.get(name, ""))
        declared.append(Field(name, canonical(kind), required=former.required if former else False))
    taken = spec.columns.keys() | set(spec.drops)
    taken |= {former for name, former in spec.renames.items() if name not in by_name}
    return diff(have, [*declared, *(field for field in have if field.name not in taken)], spec.renames)


def _record(connection: sa.Connection, lake: Lake, table_id: int, table: Table, made: Sequence[Change]) -> None:
    """Record the table's columns as a version, unless the newest version has them; also after a load that died."""
    newest = schema_versions.current(connection, table_id)
    if newest is not None and newest.schema_definition == to_definition(fields_of(table)):
        return
    lake_tables.get(connection, table_id, lock=True)
    table = lake.table(table.name()[-1])  # who held the lock may have recorded a schema that is newer than ours
    newest = schema_versions.current(connection, table_id)
    if newest is not None and newest.schema_definition == to_definition(fields_of(table)):
        return
    version = record_version(connection, table_id, table, created_by=AUTHOR)
    recorded = record_changes(connection, version, made)
    schema_versions.mark_applied(connection, [change.schema_change_id for change in recorded], AUTHOR)
