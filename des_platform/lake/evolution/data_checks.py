"""What the rows that a table holds permit: no column becomes required over nulls, none narrower than its files.

Each check looks at the files of the newest snapshot, most often at their statistics alone, and raises `SchemaConflict`
before anything is staged.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, cast

import pyarrow.parquet as pq
from pyiceberg.exceptions import ResolveError
from pyiceberg.expressions import IsNull
from pyiceberg.io.pyarrow import pyarrow_to_schema
from pyiceberg.schema import Schema
from pyiceberg.table import DataScan

from des_platform.lake.column_rules import widens
from des_platform.lake.partitioning import rules_of
from des_platform.lake.schema import column_type
from des_platform.lake.types import SchemaConflict

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.types import NestedField

_FOOTERS_AT_ONCE: Final = 8


def check_drops(metadata: TableMetadata, io: FileIO, table: str, schema: Schema) -> None:
    """Refuse the drop of a column by which the table, or a file of it, is partitioned.

    pyiceberg cannot rewrite a manifest whose partition values come from a column that is gone, so days could no
    longer be replaced.
    """
    kept = {column.field_id for column in schema.fields}
    gone = {column.field_id: column.name for column in metadata.schema().fields if column.field_id not in kept}
    for rule in rules_of(metadata):
        if rule.column in gone.values():
            advice = "give the table another partitioning first, replace the days (or compact them), then drop it"
            raise SchemaConflict(table, rule.column, f"partitioning by {rule}", "no such column", advice)
    snapshot = metadata.current_snapshot()
    if snapshot is None or not gone:
        return
    live = {
        manifest.partition_spec_id
        for manifest in snapshot.manifests(io)
        if manifest.has_added_files() or manifest.has_existing_files()
    }
    for spec in metadata.partition_specs:
        for field in spec.fields if spec.spec_id in live else ():
            if name := gone.get(field.source_id):
                advice = "replace those days (or compact them), which writes them under the new partitioning"
                raise SchemaConflict(table, name, f"files partitioned by {field.transform} of it", "its drop", advice)


def check_required(metadata: TableMetadata, io: FileIO, table: str, schema: Schema) -> bool:
    """Refuse that a column become required of which a row has no value; return whether one does become required."""
    before = {column.field_id: column for column in metadata.schema().fields}
    newly = [
        column
        for column in schema.fields
        if column.required and not (column.field_id in before and before[column.field_id].required)
    ]
    for column in newly:
        if _one_without(metadata, io, schema, column).to_arrow().num_rows:
            advice = "replace the days that lack it with rows that have it, or leave the column optional"
            raise SchemaConflict(table, column.name, "rows without a value", "required", advice)
    return bool(newly)


def check_files(metadata: TableMetadata, io: FileIO, table: str, schema: Schema) -> bool:
    """Refuse a type that cannot be read from some file; return whether a column has another type, or is back.

    Only a roll-back needs it, and it reads the footer of every file: nothing else says what type is in one.
    """
    before = {column.field_id: column.field_type for column in metadata.schema().fields}
    changed = {column.field_id: column for column in schema.fields if before.get(column.field_id) != column.field_type}
    if not changed:
        return False
    paths = [task.file.file_path for task in DataScan(metadata, io).plan_files()]

    def unreadable(path: str) -> SchemaConflict | None:
        with io.new_input(path).open() as stream:
            arrow = pq.read_schema(cast("pa.NativeFile", stream))
        try:
            found = {column.field_id: column_type(column) for column in pyarrow_to_schema(arrow).fields}
        except (ResolveError, TypeError, ValueError):
            found = dict.fromkeys(changed, "a type that no field id tells")
        for field_id, column in changed.items():
            if field_id in found and not widens(found[field_id], column_type(column)):
                advice = "replace the days of that file first, or add a column of the former type beside it"
                return SchemaConflict(
                    table, column.name, f"{found[field_id]} in file {path}", column_type(column), advice
                )
        return None

    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        for conflict in pool.map(unreadable, paths):
            if conflict is not None:
                raise conflict
    return True


def _one_without(metadata: TableMetadata, io: FileIO, schema: Schema, column: NestedField) -> DataScan:
    """One row without a value of the column, as the new schema reads the table."""
    columns = [
        field.model_copy(update={"required": False}) if field.field_id == column.field_id else field
        for field in schema.fields
    ]
    probe = Schema(*columns, schema_id=schema.schema_id)
    seen = metadata.model_copy(update={"schemas": [*metadata.schemas, probe], "current_schema_id": probe.schema_id})
    return DataScan(seen, io, row_filter=IsNull(term=column.name), selected_fields=(column.name,), limit=1)
