"""What the platform knows of files: from the inbox to the container, and what sources and sensors remember."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from des_platform.catalog.tables.base import metadata
from des_platform.catalog.tables.base import now as _now
from des_platform.catalog.tables.base import timestamp as _timestamp

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
)

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("dataset", sa.Text, sa.ForeignKey(datasets.c.name), nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("claimed_size", sa.BigInteger),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("meta", JSONB(none_as_null=True)),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("received_at", _timestamp, nullable=False, server_default=_now),
    sa.UniqueConstraint("bucket", "key", "etag"),
    sa.CheckConstraint("state IN ('pending', 'done', 'dead')", name="state"),
)
# Claims and the catalogue sensor look at pending rows alone: the index stays as small as the backlog.
sa.Index(
    "inbox_pending_idx",
    inbox.c.dataset,
    inbox.c.day,
    inbox.c.seq,
    postgresql_where=inbox.c.state == sa.literal_column("'pending'"),
)

containers = sa.Table(
    "containers",
    metadata,
    sa.Column("container_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("dataset", sa.Text, sa.ForeignKey(datasets.c.name), nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("external_files", sa.Integer, nullable=False),
    sa.Column("fencing_token", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("archive_version", sa.SmallInteger, nullable=False),
    sa.Column("hint", sa.LargeBinary),
    sa.UniqueConstraint("dataset", "day", "shard", "generation"),
    sa.CheckConstraint("state IN ('published', 'superseded')", name="state"),
    sa.CheckConstraint("octet_length(hint) = 64", name="hint"),
)
sa.Index(
    "containers_published_key",
    containers.c.dataset,
    containers.c.day,
    containers.c.shard,
    unique=True,
    postgresql_where=containers.c.state == sa.literal_column("'published'"),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("file_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("seq", sa.BigInteger, sa.ForeignKey(inbox.c.seq), nullable=False, unique=True),
    sa.Column("dataset", sa.Text, sa.ForeignKey(datasets.c.name), nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("meta", JSONB(none_as_null=True)),
    sa.Column("state", sa.Text, nullable=False, server_default="catalogued"),
    sa.Column("codec", sa.Text),
    sa.Column("codec_reason", sa.Text),
    sa.Column("object_key", sa.Text),
    sa.Column("stored_size", sa.BigInteger),
    sa.Column("codec_level", sa.SmallInteger),
    sa.Column("compress_seconds", sa.Double),
    sa.Column("compress_cpu_seconds", sa.Double),
    sa.Column("prove_seconds", sa.Double),
    sa.Column("indexed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("original_removed_at", _timestamp),
    sa.Column("container_id", sa.BigInteger, sa.ForeignKey(containers.c.container_id), index=True),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
    sa.UniqueConstraint("bucket", "key", "etag"),
    sa.CheckConstraint("state IN ('catalogued', 'ready', 'packed', 'failed')", name="state"),
)
sa.Index("files_partition_idx", files.c.dataset, files.c.day, files.c.shard)
sa.Index(
    "files_unpacked_idx",
    files.c.dataset,
    files.c.day,
    files.c.file_id,
    postgresql_where=files.c.state.in_([sa.literal_column("'catalogued'"), sa.literal_column("'ready'")]),
)

cleanups = sa.Table(
    "cleanups",
    metadata,
    sa.Column("file_id", sa.BigInteger, sa.ForeignKey(files.c.file_id), primary_key=True, autoincrement=False),
    sa.Column("due_at", _timestamp, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="planned"),
    sa.Column("reason", sa.Text),
    sa.Column("planned_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("settled_at", _timestamp),
    sa.CheckConstraint("state IN ('planned', 'withdrawn', 'removed', 'refused')", name="state"),
)
sa.Index(
    "cleanups_planned_idx",
    cleanups.c.due_at,
    postgresql_where=cleanups.c.state == sa.literal_column("'planned'"),
)

manifests = sa.Table(
    "manifests",
    metadata,
    sa.Column("dataset", sa.Text, sa.ForeignKey(datasets.c.name), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("files", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
)

table_loads = sa.Table(
    "table_loads",
    metadata,
    sa.Column("dataset", sa.Text, sa.ForeignKey(datasets.c.name), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files", sa.BigInteger, nullable=False),
    sa.Column("parsed_rows", sa.BigInteger, nullable=False),
    sa.Column("table_rows", sa.BigInteger, nullable=False),
    sa.Column("rejected_rows", sa.BigInteger, nullable=False),
    sa.Column("snapshot_id", sa.BigInteger),
    sa.Column("undeclared_columns", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", _timestamp, nullable=False),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("dead_letter_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("body", sa.Text),
    sa.Column("seq", sa.BigInteger, sa.ForeignKey(inbox.c.seq)),
    sa.Column("origin", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("fingerprint", sa.Text, nullable=False, unique=True),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("last_seen_at", _timestamp, nullable=False, server_default=_now),
)

source_rows = sa.Table(
    "source_rows",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("row_id", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, sa.ForeignKey(inbox.c.seq)),
    sa.Column("error", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="open"),
    sa.Column("claimed_at", _timestamp, nullable=False, server_default=_now),
    sa.CheckConstraint("state IN ('open', 'closed')", name="state"),
)
# What waits to be written back or renewed: the index stays as small as the work in hand.
sa.Index(
    "source_rows_open_idx",
    source_rows.c.source,
    source_rows.c.claimed_at,
    postgresql_where=source_rows.c.state == sa.literal_column("'open'"),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("position", sa.Text, nullable=False),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
)

removals = sa.Table(
    "removals",
    metadata,
    sa.Column("removal_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("removed_at", _timestamp, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("received_at", _timestamp, nullable=False, server_default=_now),
    sa.UniqueConstraint("bucket", "key", "removed_at"),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("metric", sa.Text, primary_key=True),
    sa.Column("labels", JSONB, primary_key=True),
    sa.Column("slot", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Double, nullable=False),
)

naming_nodes = sa.Table(
    "naming_nodes",
    metadata,
    sa.Column("node", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("reserved_until_ms", sa.BigInteger, nullable=False),
)
