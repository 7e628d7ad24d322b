"""From declared columns to an Iceberg schema, and the changes that a table survives.

A new column is metadata only and reads null for the days before it. A column that is no longer declared stays, null
from now on: its old days keep their values. A type may widen (int to long, float to double, more digits before a
decimal's point); any other change is refused with `SchemaConflict`. All columns are optional.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pyiceberg.exceptions import TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from des_platform.catalog.table_spec import COLUMN_TYPES, is_column_type
from des_platform.lake.column_rules import check_names, widens
from des_platform.lake.commit import commit
from des_platform.lake.partitioning import check_rules, stage_partitioning
from des_platform.lake.types import DAY, FILE, JSON_DOC, LINE, RESERVED_COLUMNS, SchemaConflict
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Transaction
    from pyiceberg.types import IcebergType, PrimitiveType

    from des_platform.catalog.table_spec import PartitionRule

_ICEBERG: Final[dict[str, PrimitiveType]] = {
    "string": StringType(),
    "int": IntegerType(),
    "long": LongType(),
    "float": FloatType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "time": TimeType(),
    "timestamp": TimestamptzType(),
    "timestamp_ntz": TimestampType(),
    "binary": BinaryType(),
}
_NAMES: Final[dict[IcebergType, str]] = {iceberg: name for name, iceberg in _ICEBERG.items()}
_MOST_DIGITS: Final = 38

_PROPERTIES: Final = {
    "format-version": "2",
    # Unbounded history is what slows commits down: every commit reads and writes the whole metadata file.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "commit.manifest-merge.enabled": "true",
    # Every commit reads and writes a line for each manifest, and each merge rewrites what it merges, up to that size.
    "commit.manifest.min-count-to-merge": "20",
    "commit.manifest.target-size-bytes": str(2 << 20),
    # 8 writers of different days: 96 retries for 80 commits. The default of 4 with 100 ms waits loses some of them.
    "commit.retry.num-retries": "50",
    "commit.retry.min-wait-ms": "20",
    "commit.retry.max-wait-ms": "500",
    # Files are dropped whole by the bounds of these columns; truncated or absent ones would make it a rewrite.
    f"write.metadata.metrics.column.{DAY}": "full",
    f"write.metadata.metrics.column.{FILE}": "full",
}


def check_columns(table: str, columns: Mapping[str, str]) -> None:
    """Refuse a declaration that no table could have.

    Raises:
        ConfigurationError: naming the table, the column, what was found and what is expected.
    """
    check_names(columns, f"table {table!r}, column")
    for name, type_name in columns.items():
        if not is_column_type(type_name):
            known = ", ".join([*COLUMN_TYPES, f"decimal(P,S) of at most {_MOST_DIGITS} digits"])
            raise ConfigurationError(
                f"table {table!r}, column {name!r}: unknown type {type_name!r}, expected one of {known}"
            )


def iceberg_type(kind: str) -> PrimitiveType:
    """The Iceberg type of a column type; that of json is string."""
    if kind.startswith("decimal"):
        digits, scale = map(int, re.findall(r"\d+", kind))
        return DecimalType(digits, scale)
    return StringType() if kind == "json" else _ICEBERG[kind]


def column_type(field: NestedField) -> str:
    """The column type of an Iceberg field; in Iceberg's words for one that nobody may declare."""
    if isinstance(field.field_type, StringType) and field.doc == JSON_DOC:
        return "json"
    if isinstance(field.field_type, DecimalType):
        return f"decimal({field.field_type.precision},{field.field_type.scale})"
    return _NAMES.get(field.field_type, str(field.field_type))


def column_types(schema: Schema) -> list[tuple[str, str]]:
    """Return a table's columns in order with their types."""
    return [(field.name, column_type(field)) for field in schema.fields]


def create_or_evolve(
    catalog: Catalog,
    identifier: tuple[str, str],
    columns: Mapping[str, str],
    partitioning: Sequence[PartitionRule] | None,
    *,
    location: str | None = None,
) -> None:
    """Make the table have the declared columns and partitioning, whoever else does the same right now.

    Args:
        catalog: the tables' catalogue.
        identifier: namespace and name.
        columns: declared columns, checked; `_rescued` may be among them.
        partitioning: rules beside the day; None: as it is.
        location: URL of a new table's folder; None: the catalogue's choice.

    Raises:
        SchemaConflict: the table has such a column with a type that cannot become the declared one, or one that
            differs in case alone.
        ConfigurationError: a rule that does not suit the columns; the table is as it was, or there is none.
        pyiceberg.exceptions.CommitFailedException: other writers won every attempt.
    """
    if not catalog.table_exists(identifier):
        _create(catalog, identifier, columns, partitioning or (), location)
    table = catalog.load_table(identifier)

    def stage(transaction: Transaction) -> None:
        _stage_columns(transaction, columns, identifier[-1])
        if partitioning is not None:
            stage_partitioning(transaction, partitioning, identifier[-1])

    commit(table, stage)


def _create(
    catalog: Catalog,
    identifier: tuple[str, str],
    columns: Mapping[str, str],
    partitioning: Sequence[PartitionRule],
    location: str | None,
) -> None:
    schema = _schema(columns)
    check_rules(identifier[-1], schema, partitioning)
    spec = PartitionSpec(PartitionField(schema.find_field(DAY).field_id, 1000, IdentityTransform(), DAY))
    # Resolves Parquet files registered without field ids; pyiceberg keeps it right when a column is added.
    mapping = {"schema.name-mapping.default": schema.name_mapping.model_dump_json()}
    with suppress(TableAlreadyExistsError):
        catalog.create_table(identifier, schema, location, partition_spec=spec, properties=_PROPERTIES | mapping)


def _schema(columns: Mapping[str, str]) -> Schema:
    ordered = {DAY: RESERVED_COLUMNS[DAY], **columns, FILE: RESERVED_COLUMNS[FILE], LINE: RESERVED_COLUMNS[LINE]}
    return Schema(
        *(
            NestedField(number, name, iceberg_type(kind), required=False, doc=JSON_DOC if kind == "json" else None)
            for number, (name, kind) in enumerate(ordered.items(), start=1)
        )
    )


def _stage_columns(transaction: Transaction, columns: Mapping[str, str], table: str) -> None:
    schema = transaction.table_metadata.schema()
    existing = dict(column_types(schema))
    by_lower = {column.lower(): column for column in existing}
    missing, wider = {}, {}
    for column, declared in {**columns, **RESERVED_COLUMNS}.items():
        found = existing.get(column)
        if found is None and column.lower() in by_lower:
            advice = "many engines cannot tell the two apart: declare it under the table's name"
            raise SchemaConflict(table, column, f"column {by_lower[column.lower()]!r}", declared, advice)
        if found is None:
            missing[column] = declared
        elif found != declared.replace(" ", ""):
            if not widens(found, declared):
                advice = "declare the table's type, or give the new values a column (or a table) of their own"
                raise SchemaConflict(table, column, found, declared, advice)
            wider[column] = declared
    if missing or wider:
        with transaction.update_schema() as update:
            for column, declared in missing.items():
                update.add_column(column, iceberg_type(declared), doc=JSON_DOC if declared == "json" else None)
            for column, declared in wider.items():
                doc = "" if existing[column] == "json" else None
                update.update_column(column, field_type=iceberg_type(declared), doc=doc)
