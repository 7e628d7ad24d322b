"""From declared columns to an Iceberg schema, and the changes that a table survives.

A new column is metadata only and reads null for the days before it. A column that is no longer declared stays, null
from now on: its old days keep their values. A changed type is refused with `SchemaConflict`. All columns are
optional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import BooleanType, DateType, DoubleType, LongType, NestedField, StringType, TimestamptzType

from des_platform.lake.types import COLUMN_TYPES, DAY, FILE, LINE, RESERVED_COLUMNS, SchemaConflict
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType, PrimitiveType

_ICEBERG: Final[dict[str, PrimitiveType]] = {
    "string": StringType(),
    "long": LongType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "timestamp": TimestamptzType(),
}
_NAMES: Final[dict[IcebergType, str]] = {iceberg: name for name, iceberg in _ICEBERG.items()}
_LONGEST_NAME: Final = 128
_EVOLUTION_ATTEMPTS: Final = 20

_PROPERTIES: Final = {
    "format-version": "2",
    # Unbounded history is what slows commits down: every commit reads and writes the whole metadata file.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "30",
    # 8 writers of different days: 96 retries for 80 commits. The default of 4 with 100 ms waits loses some of them.
    "commit.retry.num-retries": "50",
    "commit.retry.min-wait-ms": "20",
    "commit.retry.max-wait-ms": "500",
    # A day is dropped by the bounds of this column alone; truncated or absent ones would make it a rewrite.
    "write.metadata.metrics.column.day": "full",
}


def check_columns(table: str, columns: Mapping[str, str]) -> None:
    """Refuse a declaration that no table could have.

    Raises:
        ConfigurationError: naming the table, the column, what was found and what is expected.
    """
    seen: dict[str, str] = {name.lower(): name for name in RESERVED_COLUMNS}
    for name, type_name in columns.items():
        where = f"table {table!r}, column {name!r}"
        if not name.isprintable() or name != name.strip() or "." in name or not 0 < len(name) <= _LONGEST_NAME:
            raise ConfigurationError(
                f"{where}: a name is 1 to {_LONGEST_NAME} printable characters, no dot, no space around it"
            )
        if type_name not in COLUMN_TYPES:
            raise ConfigurationError(f"{where}: unknown type {type_name!r}, expected one of {', '.join(COLUMN_TYPES)}")
        if name.lower() in RESERVED_COLUMNS:
            raise ConfigurationError(
                f"{where}: the name is reserved ({', '.join(RESERVED_COLUMNS)}); rename the column"
            )
        if name.lower() in seen:
            raise ConfigurationError(
                f"{where}: differs from {seen[name.lower()]!r} in case alone, which many engines ignore; rename one"
            )
        seen[name.lower()] = name


def column_types(table: Table) -> list[tuple[str, str]]:
    """Return the table's columns in order with their types, in Iceberg's words for one that nobody may declare."""
    return [(field.name, _NAMES.get(field.field_type, str(field.field_type))) for field in table.schema().fields]


def create_or_evolve(catalog: Catalog, identifier: tuple[str, str], columns: Mapping[str, str]) -> None:
    """Make the table have the declared columns, whoever else does the same right now.

    Args:
        catalog: the tables' catalogue.
        identifier: namespace and name.
        columns: declared columns, checked, each with one of `COLUMN_TYPES`.

    Raises:
        SchemaConflict: the table has such a column with another type, or one that differs in case alone.
        pyiceberg.exceptions.CommitFailedException: other writers won every attempt.
    """
    if not catalog.table_exists(identifier):
        schema = _schema(columns)
        day = schema.find_field(DAY)
        spec = PartitionSpec(PartitionField(day.field_id, 1000, IdentityTransform(), DAY))
        # Resolves Parquet files registered without field ids; pyiceberg keeps it right when a column is added.
        mapping = {"schema.name-mapping.default": schema.name_mapping.model_dump_json()}
        try:
            catalog.create_table(identifier, schema, partition_spec=spec, properties=_PROPERTIES | mapping)
        except TableAlreadyExistsError:
            pass
        else:
            return
    for attempts_left in reversed(range(_EVOLUTION_ATTEMPTS)):
        try:
            _evolve(catalog.load_table(identifier), columns)
        except CommitFailedException:
            if not attempts_left:
                raise
        else:
            return


def _schema(columns: Mapping[str, str]) -> Schema:
    ordered = {DAY: RESERVED_COLUMNS[DAY], **columns, FILE: RESERVED_COLUMNS[FILE], LINE: RESERVED_COLUMNS[LINE]}
    return Schema(
        *(
            NestedField(number, name, _ICEBERG[type_name], required=False)
            for number, (name, type_name) in enumerate(ordered.items(), start=1)
        )
    )


def _evolve(table: Table, columns: Mapping[str, str]) -> None:
    name = table.name()[-1]
    existing = dict(column_types(table))
    by_lower = {column.lower(): column for column in existing}
    missing = {}
    for column, declared in {**columns, **RESERVED_COLUMNS}.items():
        found = existing.get(column)
        if found is None and column.lower() in by_lower:
            advice = "many engines cannot tell the two apart: declare it under the table's name"
            raise SchemaConflict(name, column, f"column {by_lower[column.lower()]!r}", declared, advice)
        if found is None:
            missing[column] = declared
        elif found != declared:
            advice = "declare the table's type, or give the new values a column (or a table) of their own"
            raise SchemaConflict(name, column, found, declared, advice)
    if missing:
        with table.update_schema() as update:
            for column, declared in missing.items():
                update.add_column(column, _ICEBERG[declared])
