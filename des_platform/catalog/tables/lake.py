"""What the platform knows of the lake's tables beside Iceberg: registration, schema versions, ingestion jobs, keys."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from des_platform.catalog.tables.base import metadata
from des_platform.catalog.tables.base import now as _now
from des_platform.catalog.tables.base import timestamp as _timestamp
from des_platform.catalog.tables.files import datasets

lake_tables = sa.Table(
    "lake_tables",
    metadata,
    sa.Column("table_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("dataset", sa.Text, sa.ForeignKey(datasets.c.name)),
    sa.Column("description", sa.Text),
    sa.Column("schema_version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("partition_strategy", sa.Text, nullable=False, server_default="date"),
    sa.Column("partition_columns", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.Column("partition_by", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.Column("compatibility", sa.Text, nullable=False, server_default="backward"),
    sa.Column("storage_format", sa.Text, nullable=False, server_default="parquet"),
    sa.Column("compression", sa.Text, nullable=False, server_default="zstd"),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("synced_snapshot_id", sa.BigInteger),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
    sa.CheckConstraint("partition_strategy IN ('date', 'hash', 'range', 'list')", name="partition_strategy"),
    sa.CheckConstraint("compatibility IN ('backward', 'forward', 'full', 'none')", name="compatibility"),
)

lake_partitions = sa.Table(
    "lake_partitions",
    metadata,
    sa.Column("partition_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("table_id", sa.BigInteger, sa.ForeignKey(lake_tables.c.table_id), nullable=False),
    sa.Column("partition_path", sa.Text, nullable=False),
    sa.Column("partition_values", JSONB, nullable=False),
    sa.Column("first_day", sa.Date),
    sa.Column("last_day", sa.Date),
    sa.Column("record_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("file_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("last_updated", _timestamp, nullable=False, server_default=_now),
    sa.UniqueConstraint("table_id", "partition_path"),
)
sa.Index("lake_partitions_days_idx", lake_partitions.c.table_id, lake_partitions.c.first_day)

schema_versions = sa.Table(
    "schema_versions",
    metadata,
    sa.Column("schema_version_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("table_id", sa.BigInteger, sa.ForeignKey(lake_tables.c.table_id), nullable=False),
    sa.Column("version_number", sa.Integer, nullable=False),
    sa.Column("schema_definition", JSONB, nullable=False),
    sa.Column("is_current", sa.Boolean, nullable=False),
    sa.Column("iceberg_schema_id", sa.Integer),
    sa.Column("description", sa.Text),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.UniqueConstraint("table_id", "version_number"),
)
sa.Index(
    "schema_versions_current_key",
    schema_versions.c.table_id,
    unique=True,
    postgresql_where=schema_versions.c.is_current,
)

schema_changes = sa.Table(
    "schema_changes",
    metadata,
    sa.Column("schema_change_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column(
        "schema_version_id",
        sa.BigInteger,
        sa.ForeignKey(schema_versions.c.schema_version_id),
        nullable=False,
        index=True,
    ),
    sa.Column("change_type", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="pending"),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("old_value", JSONB(none_as_null=True)),
    sa.Column("new_value", JSONB(none_as_null=True)),
    sa.Column("change_description", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("applied_at", _timestamp),
    sa.Column("applied_by", sa.Text),
    sa.Column("rolled_back_at", _timestamp),
    sa.Column("rolled_back_by", sa.Text),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.CheckConstraint(
        "change_type IN ('add_column', 'drop_column', 'rename_column', 'change_type', 'add_constraint',"
        " 'drop_constraint')",
        name="change_type",
    ),
    sa.CheckConstraint("status IN ('pending', 'applied', 'failed', 'rolled_back')", name="status"),
)

data_sources = sa.Table(
    "data_sources",
    metadata,
    sa.Column("source_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("description", sa.Text),
    sa.Column("source_type", sa.Text, nullable=False),
    sa.Column("connection_config", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("auth_type", sa.Text, nullable=False, server_default="none"),
    sa.Column("auth_config", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("data_format", sa.Text, nullable=False, server_default="json"),
    sa.Column("schema_definition", JSONB(none_as_null=True)),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("last_accessed", _timestamp),
    sa.Column("last_error", sa.Text),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
    sa.CheckConstraint("source_type IN ('s3', 'kafka', 'database', 'api', 'file')", name="source_type"),
    sa.CheckConstraint("auth_type IN ('none', 'basic', 'oauth', 'api_key')", name="auth_type"),
)

ingestion_jobs = sa.Table(
    "ingestion_jobs",
    metadata,
    sa.Column("job_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("job_name", sa.Text, nullable=False),
    sa.Column("data_source_id", sa.BigInteger, sa.ForeignKey(data_sources.c.source_id), nullable=False),
    sa.Column("table_id", sa.BigInteger, sa.ForeignKey(lake_tables.c.table_id), nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="pending"),
    sa.Column("priority", sa.SmallInteger, nullable=False, server_default="5"),
    sa.Column("batch_size", sa.Integer, nullable=False, server_default="10000"),
    sa.Column("max_retries", sa.SmallInteger, nullable=False, server_default="3"),
    sa.Column("retry_delay_seconds", sa.Integer, nullable=False, server_default="60"),
    sa.Column("schedule_cron", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("requested_at", _timestamp),
    sa.Column("not_before", _timestamp),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("run_id", sa.Text),
    sa.Column("records_processed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("records_failed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("error_message", sa.Text),
    sa.Column("started_at", _timestamp),
    sa.Column("completed_at", _timestamp),
    sa.Column("last_run_at", _timestamp),
    sa.Column("next_run_at", _timestamp),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
    sa.CheckConstraint("status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"),
    sa.CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
)

ingestion_batches = sa.Table(
    "ingestion_batches",
    metadata,
    sa.Column("batch_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("job_id", sa.BigInteger, sa.ForeignKey(ingestion_jobs.c.job_id), nullable=False),
    sa.Column("batch_number", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("source_file_path", sa.Text),
    sa.Column("source_offset", sa.BigInteger),
    sa.Column("record_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("records_processed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("records_failed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("processing_time_seconds", sa.Double),
    sa.Column("error_message", sa.Text),
    sa.Column("output_partition_path", sa.Text),
    sa.Column("output_files", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("started_at", _timestamp),
    sa.Column("completed_at", _timestamp),
    sa.UniqueConstraint("job_id", "batch_number"),
    sa.CheckConstraint("status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"),
)

ingested_files = sa.Table(
    "ingested_files",
    metadata,
    sa.Column("table_id", sa.BigInteger, sa.ForeignKey(lake_tables.c.table_id), primary_key=True),
    sa.Column("url", sa.Text, primary_key=True),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("batch_id", sa.BigInteger, sa.ForeignKey(ingestion_batches.c.batch_id), nullable=False),
    sa.Column("rows", sa.BigInteger),
    sa.Column("updated_at", _timestamp, nullable=False, server_default=_now),
    sa.CheckConstraint("state IN ('writing', 'done')", name="state"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("key_hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("scopes", JSONB, nullable=False),
    sa.Column("created_at", _timestamp, nullable=False, server_default=_now),
    sa.Column("last_used_at", _timestamp),
    sa.Column("revoked_at", _timestamp),
)
