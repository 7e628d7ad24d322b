"""Where the files of ingestion jobs come from: a bucket and a prefix of the platform's store, under a name.

A definition comes from the API and is hostile: an address is a bucket and a prefix, never a path or another server, and
what it says of credentials are references such as `env:ERP_TOKEN`, never the credentials. Databases, streams and HTTP
sources are recorded, so that they are known; the platform takes them in through its configured sources, not by jobs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.table_spec import COLUMN_TYPE, ColumnName
from des_platform.catalog.tables import data_sources
from des_platform.catalog.text import storable
from des_platform.settings import BucketName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

SourceType = Literal["s3", "file", "kafka", "database", "api"]
AuthType = Literal["none", "basic", "oauth", "api_key"]
DataFormat = Literal["auto", "json", "jsonl", "csv", "avro", "parquet", "arrow", "dbn"]
READ_BY_JOBS: Final = frozenset({"s3", "file"})
"""The types whose files a job can read."""

SourceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]
Reference = Annotated[str, Field(pattern=r"^env:[A-Z][A-Z0-9_]{0,127}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
PlainText = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
WholeNumber = Annotated[int, Field(ge=-(2**53), le=2**53)]
Connection = Annotated[dict[Word, PlainText | bool | WholeNumber], Field(max_length=50)]
References = Annotated[dict[Word, Reference], Field(max_length=20)]
ColumnTypes = Annotated[dict[ColumnName, Annotated[str, Field(pattern=COLUMN_TYPE)]], Field(max_length=1000)]
_SECRET: Final = re.compile(r"passw|secret|token|credential|private|api_?key", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"://[^/\s]*@")


class Location(BaseModel):
    """Where the files are: everything in a bucket of the platform's store whose key begins with a prefix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: BucketName
    prefix: Annotated[str, Field(max_length=900)] = ""

    @field_validator("prefix")
    @classmethod
    def _relative(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/") or not value.isprintable():
            raise ValueError("a prefix neither starts with '/' nor holds '..' or unprintable characters")
        return value


class SourceDefinition(BaseModel):
    """A data source as its owner defines it.

    Attributes:
        name: how it is called.
        description: what it is, for people.
        source_type: `s3` and `file`: a bucket and a prefix of the platform's store, which jobs read; `kafka`,
            `database` and `api` are recorded only.
        connection_config: for `s3` and `file`: `bucket` and `prefix`; for the others plain values, no secrets.
        auth_type: how the source knows its callers.
        auth_config: references to credentials, such as `{"token": "env:ERP_TOKEN"}`.
        data_format: format of the files whose names do not tell one.
        schema_definition: column name to type, for the tables that its files are the first to fill; empty: inferred.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: SourceName
    description: PlainText | None = None
    source_type: SourceType
    connection_config: Connection = Field(default_factory=dict, examples=[{"bucket": "landing", "prefix": "orders/"}])
    auth_type: AuthType = "none"
    auth_config: References = Field(default_factory=dict)
    data_format: DataFormat = "json"
    schema_definition: ColumnTypes | None = None

    @field_validator("auth_config", mode="before")
    @classmethod
    def _references_alone(cls, value: object) -> object:
        # Before pydantic looks: its own error would repeat the secret that somebody put there.
        if isinstance(value, dict):
            for name, found in value.items():
                if not isinstance(found, str) or not re.fullmatch(r"env:[A-Z][A-Z0-9_]{0,127}", found):
                    raise ValueError(
                        f"auth_config.{str(name)[:60]!r} is no reference: name the environment variable that holds the"
                        " credential, as env:NAME"
                    )
        return value

    @model_validator(mode="after")
    def _addressed(self) -> SourceDefinition:
        if self.source_type in READ_BY_JOBS:
            try:
                Location.model_validate(self.connection_config)
            except ValidationError as error:
                told = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
                raise ValueError(
                    f"connection_config of a source of type {self.source_type} is a bucket and a prefix of the"
                    f" platform's own store ({told})"
                ) from None
        for name, value in self.connection_config.items():
            if _SECRET.search(name) or (isinstance(value, str) and _USER_INFO.search(value)):
                raise ValueError(f"connection_config.{name} looks like a credential: put a reference into auth_config")
        return self


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data source as kept; the fields that `SourceDefinition` has are described there."""

    source_id: int
    name: str
    description: str | None
    source_type: SourceType
    connection_config: dict[str, Any]
    auth_type: AuthType
    auth_config: dict[str, str]
    data_format: DataFormat
    schema_definition: dict[str, str] | None
    is_active: bool
    last_accessed: datetime | None
    last_error: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def location(self) -> Location:
        """Where its files are; only of a type that jobs read."""
        return Location.model_validate(self.connection_config)


class SourceNameTaken(Exception):
    """Another data source has that name."""


_COLUMNS = [data_sources.c[field.name] for field in fields(DataSource)]


def create(connection: sa.Connection, definition: SourceDefinition, *, created_by: str) -> DataSource:
    """Record a data source.

    Raises:
        SourceNameTaken: there is one of that name, perhaps a deactivated one.
    """
    statement = insert(data_sources).values(**definition.model_dump(), created_by=storable(created_by))
    statement = statement.on_conflict_do_nothing(index_elements=["name"])
    row = connection.execute(statement.returning(*_COLUMNS)).mappings().one_or_none()
    if row is None:
        raise SourceNameTaken(f"there is a data source {definition.name!r} already: choose another name")
    return DataSource(**row)


def get(connection: sa.Connection, source_id: int) -> DataSource | None:
    """A data source, deactivated or not."""
    statement = sa.select(*_COLUMNS).where(data_sources.c.source_id == source_id)
    row = connection.execute(statement).mappings().one_or_none()
    return DataSource(**row) if row else None


def page(connection: sa.Connection, *, active_only: bool, limit: int, offset: int) -> tuple[Sequence[DataSource], int]:
    """Some data sources in the order of their ids, and how many there are in all."""
    wanted = data_sources.c.is_active if active_only else sa.true()
    total = connection.scalar(sa.select(sa.func.count()).select_from(data_sources).where(wanted)) or 0
    statement = sa.select(*_COLUMNS).where(wanted).order_by(data_sources.c.source_id).limit(limit).offset(offset)
    return [DataSource(**row) for row in connection.execute(statement).mappings()], total


def change(connection: sa.Connection, source_id: int, changes: Mapping[str, JsonValue]) -> DataSource | None:
    """Change some fields of a definition, or whether it is active.

    Args:
        connection: inside a transaction.
        source_id: which.
        changes: field to new value; the whole definition must be right with them.

    Returns:
        The source as it is now; None if there is none.

    Raises:
        pydantic.ValidationError: the definition would be wrong.
        SourceNameTaken: the new name is another source's.
    """
    statement = sa.select(*_COLUMNS).where(data_sources.c.source_id == source_id).with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return None
    values = dict(changes)
    is_active = values.pop("is_active", row["is_active"])
    kept = {name: row[name] for name in SourceDefinition.model_fields}
    definition = SourceDefinition.model_validate(kept | values)
    taken = sa.select(data_sources.c.source_id).where(
        data_sources.c.name == definition.name, data_sources.c.source_id != source_id
    )
    if connection.scalar(taken) is not None:
        raise SourceNameTaken(f"there is a data source {definition.name!r} already: choose another name")
    update = data_sources.update().where(data_sources.c.source_id == source_id)
    update = update.values(**definition.model_dump(), is_active=is_active, updated_at=sa.func.now())
    return DataSource(**connection.execute(update.returning(*_COLUMNS)).mappings().one())


def record_access(connection: sa.Connection, source_id: int, error: str | None) -> None:
    """Keep when a job read the source last, and what went wrong then."""
    values = {"last_accessed": sa.func.now(), "last_error": None if error is None else storable(error[:4000])}
    connection.execute(data_sources.update().where(data_sources.c.source_id == source_id).values(**values))
