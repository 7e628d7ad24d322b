"""A table of files in a source database, and the verbs that tests of database sources begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from des_platform.catalog import partitions
from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.databases.engine import open_engine
from des_platform.sources.databases.source import DatabaseDrain
from des_platform.sources.recording import Recorder
from des_platform_tests.platform import DAY, LANDING, noon

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from des_platform_tests.platform import Platform

METADATA = sa.MetaData()
FILES = sa.Table(
    "source_files",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
    sa.Column("s3_bucket", sa.String(63)),
    sa.Column("s3_key", sa.String(1024)),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("etag", sa.String(80)),
    sa.Column("status", sa.String(20), nullable=False, server_default="pending"),
    sa.Column("created_at", sa.DateTime),
    sa.Column("claimed_by", sa.String(64)),
    sa.Column("claimed_at", sa.DateTime),
    sa.Column("packed_at", sa.DateTime),
    sa.Column("des_name", sa.String(64)),
    sa.Column("des_container_id", sa.String(64)),
    sa.Column("error_message", sa.String(200)),
    sa.Column("des_shard", sa.Integer),
    sa.Column("amount", sa.Numeric(10, 2)),
    sa.Column("content", sa.LargeBinary(100)),
    sa.Index("source_files_status_idx", "status", "id"),
)
COLUMNS = {"size_bytes": "size_bytes", "etag": "etag", "created_at": "created_at"}


@dataclass
class SourceFiles:
    """A table of files, and how the platform is told of it.

    Attributes:
        connection: as in the sources file.
        engine: the owner's own connections.
    """

    connection: dict[str, Any]
    engine: sa.Engine
    table: sa.Table = field(default_factory=lambda: FILES)

    def source(self, *, columns: Mapping[str, Any] | None = None, **changes: Any) -> DatabaseSource:
        """The entry of the sources file; `columns`, `where_clause` and the like go where they belong."""
        table = {"name": self.table.name, "columns": {**COLUMNS, **(columns or {})}}
        for name in list(changes):
            if name in ("where_clause", "shard_key_column") or name.startswith("status_"):
                table[name] = changes.pop(name)
        entry = {"name": "erp", "connection": self.connection, "table": table, "batch_size": 10}
        return DatabaseSource.model_validate(entry | changes)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with self.engine.begin() as connection:
            # Many rows in one statement take the columns of the first.
            empty = dict.fromkeys(name for row in rows for name in row)
            connection.execute(self.table.insert(), [{**empty, **row} for row in rows])

    def add_files(self, platform: Platform, names: Sequence[str]) -> None:
        """Put files, and a row for each."""
        self.add([row_of(platform, name) for name in names])

    def execute(self, statement: sa.Executable) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement)

    def set(self, where: sa.ColumnElement[bool], **values: Any) -> None:
        self.execute(self.table.update().where(where).values(**values))

    def rows(self) -> list[dict[str, Any]]:
        with self.engine.begin() as connection:
            found = connection.execute(sa.select(self.table).order_by(self.table.c.id)).mappings()
            return [dict(row) for row in found]

    def statuses(self) -> dict[str, int]:
        """How many rows have each status."""
        with self.engine.begin() as connection:
            statement = sa.select(self.table.c.status, sa.func.count()).group_by(self.table.c.status)
            return dict(connection.execute(statement).tuples().all())

    def age_claims(self, seconds: int = 3600) -> None:
        """Let time pass for all claims."""
        earlier = self.table.c.claimed_at - sa.text(f"INTERVAL '{seconds}' SECOND")
        self.execute(self.table.update().values(claimed_at=earlier))


def row_of(platform: Platform, name: str) -> dict[str, Any]:
    """Put a file; returns the row that announces it."""
    key = platform.put(name, name.encode())
    etag = platform.buckets.bucket(LANDING).head(key).etag
    return {"s3_bucket": LANDING, "s3_key": key, "size_bytes": len(name), "etag": etag, "created_at": naive_noon()}


def announced(name: str) -> dict[str, Any]:
    """A row of a file that nobody has put."""
    return {
        "s3_bucket": LANDING,
        "s3_key": f"things/{DAY}/{name}",
        "size_bytes": 7,
        "etag": "e1",
        "created_at": naive_noon(),
    }


def naive_noon() -> Any:
    return noon().replace(tzinfo=None)


def drain_of(platform: Platform, source: DatabaseSource, worker: int = 0, workers: int = 1) -> DatabaseDrain:
    """A worker on a source."""
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
    recorder = Recorder(platform.catalog, platform.buckets, [platform.dataset])
    return DatabaseDrain(source, recorder, worker=worker, workers=workers)


def owners_engine(connection: Mapping[str, Any]) -> sa.Engine:
    """What the table's owner connects with: an ordinary engine in the same time zone."""
    source = DatabaseSource.model_validate({"name": "own", "connection": connection, "table": {"name": "x"}})
    return open_engine(source.connection, "the owner").engine
