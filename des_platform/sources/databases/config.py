"""What an operator writes about source databases: how to reach one, which table holds files, what its columns mean.

One `DatabaseSource` is one entry of the list `sources` in the sources file. Nothing is expanded here: `${VARIABLES}`
stand as written until a connection is made, so no printed or compared configuration holds a secret. A wrong entry
raises pydantic's `ValidationError` with one line per mistake.

`where_clause` is the operator's own SQL and trusted like the configuration that holds it; every identifier is checked
here and quoted by the statements, every value is bound.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from des_platform.sources.variables import SourceName

DatabaseType = Literal["postgres", "mysql", "mariadb", "oracle", "mssql"]

DEFAULT_PORTS: dict[DatabaseType, int] = {
    "postgres": 5432,
    "mysql": 3306,
    "mariadb": 3306,
    "oracle": 1521,
    "mssql": 1433,
}

# Quoting would make any text an identifier; what no sane table is called is a mistake in the file, and shown as one.
Identifier = Annotated[str, Field(pattern=r"^[^\W\d][\w$# ]{0,127}$")]
VariableOrIdentifier = Annotated[str, Field(pattern=r"^([^\W\d][\w$# ]{0,127}|\$\{[A-Za-z_][A-Za-z0-9_]*\})$")]
Variable = Annotated[str, Field(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True, protected_namespaces=()
    )


class Connection(_Section):
    """How to reach a database. Every text may hold `${VARIABLES}`, which are replaced when a connection is made.

    Attributes:
        type: the kind of server.
        host: its name or address.
        port: its TCP port; empty for the kind's own.
        database: database, or service name with Oracle.
        username: the user.
        password: the user's password.
        schema_name: schema of the tables that name none; `schema` in the file.
        charset: character set of the connection, MySQL and MariaDB and SQL Server alone; empty for the driver's.
        pool_size: connections that stay open.
        pool_recycle: seconds after which a connection is replaced; -1 for never.
        pool_pre_ping: whether a connection is tried before it is lent.
        driver_options: handed to the driver's `connect`.
    """

    type: DatabaseType
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | Variable | None = None
    database: Annotated[str, Field(min_length=1)]
    username: Annotated[str, Field(min_length=1)]
    password: SecretStr = SecretStr("")
    schema_name: VariableOrIdentifier | None = Field(default=None, alias="schema")
    charset: str | None = None
    pool_size: Annotated[int, Field(ge=1, le=100)] = 5
    pool_recycle: Annotated[int, Field(ge=-1)] = 3600
    pool_pre_ping: bool = True
    driver_options: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class Columns(_Section):
    """What the table's columns are called.

    The names with a default that the table need not have are written where it has them; one that the file names must be
    there; `null` is never written.

    Attributes:
        id: the row's unique key; the order in which rows are claimed.
        s3_bucket: the file's bucket.
        s3_key: the file's key.
        size_bytes: the file's size; empty where the table does not tell.
        etag: the object's entity tag; empty: the object store is asked for it.
        status: pending, claimed, packed or failed, in the table's own words.
        created_at: when the file was created, in UTC where it has no time zone; empty: when the object was.
        claimed_at: when the row was claimed; required, since without it the rows of a killed worker never come back.
        claimed_by: which worker claimed it.
        packed_at: when its archive was found published.
        des_name: the file's name in the platform, given by the marker or written back.
        des_container_id: the archive that holds it.
        error_message: why it failed, at most 500 characters.
        shard: a shard number that the table holds already; empty: the hash of the shard key.
        metadata_columns: what else of a row goes into the archive with its file, and stands in its dead letter.
    """

    id: Identifier = "id"
    s3_bucket: Identifier = "s3_bucket"
    s3_key: Identifier = "s3_key"
    size_bytes: Identifier | None = None
    etag: Identifier | None = None
    status: Identifier = "status"
    created_at: Identifier | None = None
    claimed_at: Identifier = "claimed_at"
    claimed_by: Identifier | None = "claimed_by"
    packed_at: Identifier | None = "packed_at"
    des_name: Identifier | None = "des_name"
    des_container_id: Identifier | None = "des_container_id"
    error_message: Identifier | None = "error_message"
    shard: Identifier | None = None
    metadata_columns: tuple[Identifier, ...] = ()


Status = Annotated[str, Field(min_length=1, max_length=100)] | int


class SourceTable(_Section):
    """A table whose rows are files. An index on status and id, in this order, lets a claim read what it takes alone.

    Attributes:
        name: the table.
        schema_name: its schema; empty for the connection's. `schema` in the file.
        columns: what its columns are called.
        where_clause: further condition on the rows to claim, in the database's own SQL; trusted.
        status_pending_value: status of a row that waits.
        status_claimed_value: status of a row in our hands.
        status_packed_value: status of a row whose file is in a published archive.
        status_failed_value: status of a row whose file was given up.
        shard_key_column: column whose hash chooses the worker; empty for the file's key.
    """

    name: Identifier
    schema_name: VariableOrIdentifier | None = Field(default=None, alias="schema")
    columns: Columns = Columns()
    where_clause: Annotated[str, Field(min_length=1)] | None = None
    status_pending_value: Status = "pending"
    status_claimed_value: Status = "claimed"
    status_packed_value: Status = "packed"
    status_failed_value: Status = "failed"
    shard_key_column: Identifier | None = None

    @model_validator(mode="after")
    def _four_statuses(self) -> SourceTable:
        names = ("pending", "claimed", "packed", "failed")
        values = [str(getattr(self, f"status_{name}_value")) for name in names]
        if len(set(values)) < len(names):
            raise ValueError(f"the four status values must differ, found {', '.join(values)}")
        return self


class MarkerConfig(_Section):
    """How names and shards are assigned to the rows of a table.

    Attributes:
        batch_size: rows in a batch.
        max_age_days: rows older than this are left alone; empty for no limit.
        max_retries: attempts of a batch before its rows become dead letters.
        backoff_base: seconds before the second attempt; doubles with each.
        rate_limit: rows a second; empty for no limit.
    """

    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_age_days: Annotated[int, Field(ge=1)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=20)] = 3
    backoff_base: Annotated[float, Field(gt=0, le=60)] = 1.0
    rate_limit: Annotated[float, Field(gt=0)] | None = None


class DatabaseSource(_Section):
    """A source database.

    Attributes:
        name: its name in metrics, the ledger and the UI.
        enabled: whether it is drained.
        connection: how to reach it.
        table: where the rows are.
        batch_size: rows claimed at once.
        claim_timeout_seconds: age, by the database's clock, at which a claim is void unless it is renewed.
        shard_bits: how many bits of the hash number the shards that workers share out.
        marker: assigns names to the rows before they are claimed; empty for a table without a marker.
    """

    name: SourceName
    enabled: bool = True
    connection: Connection
    table: SourceTable
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    claim_timeout_seconds: Annotated[int, Field(ge=1)] = 300
    shard_bits: Annotated[int, Field(ge=1, le=16)] = 8
    marker: MarkerConfig | None = None

    @model_validator(mode="after")
    def _marked_rows_have_a_name(self) -> DatabaseSource:
        if self.marker is not None and self.table.columns.des_name is None:
            raise ValueError("a marker needs table.columns.des_name, the column that it writes")
        return self

    @property
    def what(self) -> str:
        """How errors name it."""
        return f"source database {self.name!r}"
