"""The table of a source database as the server has it, beside what the operator wrote about it.

Read once per opened source: a column that the file names and the table lacks is a `ConfigurationError` before any row
is touched; optional columns that the table lacks are left out of every statement. The types decide how a row's id,
which the catalogue keeps as text, becomes a value of its column again.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa

from des_platform.settings import ConfigurationError
from des_platform.sources.databases.engine import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from des_platform.sources.databases.config import DatabaseSource, DatabaseType
    from des_platform.sources.databases.engine import Database

_REQUIRED = ("id", "s3_bucket", "s3_key", "status", "claimed_at")
_OPTIONAL = (
    "size_bytes",
    "etag",
    "created_at",
    "claimed_by",
    "packed_at",
    "des_name",
    "des_container_id",
    "error_message",
    "shard",
)


@dataclass(frozen=True)
class MappedTable:
    """A table and its columns by what they mean.

    Attributes:
        table: as the server has it, with the columns that are mapped.
        columns: by field of the configuration's `columns`, those that are there.
        metadata: further columns that go into a row's dead letter.
        shard_key: the column whose hash is the row's shard where no column holds it.
    """

    kind: DatabaseType
    table: sa.Table
    columns: Mapping[str, sa.Column[Any]]
    metadata: tuple[sa.Column[Any], ...]
    shard_key: sa.Column[Any]

    @property
    def id(self) -> sa.Column[Any]:
        """The row's key."""
        return self.columns["id"]

    @property
    def status(self) -> sa.Column[Any]:
        """Pending, claimed, packed or failed."""
        return self.columns["status"]

    @cached_property
    def _id_type(self) -> type:
        return _python_type(self.id)

    def id_text(self, value: object) -> str:
        """A row's id as the catalogue keeps it."""
        return value.hex() if isinstance(value, bytes) else str(value)

    def id_value(self, text: str) -> object:
        """The id of a row, as its column takes it."""
        kind = self._id_type
        if kind is bytes:
            return bytes.fromhex(text)
        # A NUMBER without a scale is an integer to some drivers and a decimal to others.
        number = int if kind is int or (kind is Decimal and text.lstrip("-").isdigit()) else kind
        return number(text) if number in (int, Decimal, UUID) else text

    def status_value(self, configured: str | int) -> str | int:
        """A status as its column takes it: `0` and `"0"` are the same in the file."""
        if _python_type(self.status) in (int, Decimal):
            if isinstance(configured, str) and not configured.lstrip("-").isdigit():
                raise ConfigurationError(
                    f"status {configured!r} is none: column {self.status.name} of {self.table.fullname} holds numbers"
                )
            return int(configured)
        return str(configured)

    def fitting(self, field: str, text: str) -> str:
        """A text cut to what its column holds."""
        length = getattr(self.columns[field].type, "length", None)
        return text[:length] if length else text


def read_table(database: Database, source: DatabaseSource) -> MappedTable:
    """Look at a source's table.

    Raises:
        ConfigurationError: there is no such table, or it lacks a column that the configuration names.
        SourceUnavailable: the server cannot be reached.
    """
    schema = schema_of(source.connection, source.table.schema_name, source.what)
    with database.begin() as connection:
        try:
            found = sa.inspect(connection).get_columns(source.table.name, schema=schema)
        except sa.exc.NoSuchTableError:
            where = f"schema {schema}" if schema else "its user's schema"
            raise ConfigurationError(
                f"{source.what} at {database.where} has no table {source.table.name!r} in {where}: correct table.name "
                "or table.schema, or let the user see it"
            ) from None
        normalize = getattr(connection.dialect, "normalize_name", str)
        folds = connection.dialect.requires_name_normalize
    types = {column["name"]: column["type"] for column in found}
    names = _wanted(source)
    if folds:  # Oracle: FILES, files and an unquoted Files are one table there
        names = {field: normalize(name) for field, name in names.items()}
    return map_table(source, schema, {field: (name, types.get(name)) for field, name in names.items()})


def map_table(
    source: DatabaseSource, schema: str | None, found: Mapping[str, tuple[str, sa.types.TypeEngine[Any] | None]]
) -> MappedTable:
    """Put a table together from names and types; a type that is None stands for a column that is not there.

    Raises:
        ConfigurationError: a column is missing.
    """
    said = {*source.table.columns.model_fields_set, *_REQUIRED, "shard_key"}
    missing = [
        f"{field.partition(' ')[0]}: {name}"
        for field, (name, kind) in found.items()
        if kind is None and (field in said or field.startswith("metadata"))
    ]
    if source.marker is not None and found["des_name"][1] is None:
        missing.append(f"des_name: {found['des_name'][0]}")
    if missing:
        raise ConfigurationError(
            f"table {source.table.name!r} of {source.what} lacks columns ({'; '.join(sorted(set(missing)))}): correct "
            "table.columns, or add them"
        )
    unique: dict[str, sa.Column[Any]] = {
        name: sa.Column(name, kind) for name, kind in found.values() if kind is not None
    }
    table = sa.Table(source.table.name, sa.MetaData(), *unique.values(), schema=schema)
    columns = {field: table.c[name] for field, (name, kind) in found.items() if kind is not None}
    metadata = tuple(column for field, column in columns.items() if field.startswith("metadata"))
    named = {field: column for field, column in columns.items() if field in (*_REQUIRED, *_OPTIONAL)}
    return MappedTable(source.connection.type, table, named, metadata, columns["shard_key"])


def _wanted(source: DatabaseSource) -> dict[str, str]:
    columns = source.table.columns
    fields: Iterable[tuple[str, str | None]] = ((field, getattr(columns, field)) for field in (*_REQUIRED, *_OPTIONAL))
    names = {field: name for field, name in fields if name is not None}
    names |= {f"metadata {number}": name for number, name in enumerate(columns.metadata_columns)}
    return names | {"shard_key": source.table.shard_key_column or columns.s3_key}


def _python_type(column: sa.Column[Any]) -> type:
    try:
        return column.type.python_type
    except NotImplementedError:
        return str
