"""The lake: registered tables, partitions, schema versions, data sources, ingestion jobs and keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "des_catalog"


def upgrade() -> None:
    """Apply the change."""
    op.add_column(
        "table_loads",
        sa.Column("undeclared_columns", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", JSONB(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("key_id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("key_hash", name=op.f("api_keys_key_hash_key")),
        sa.UniqueConstraint("name", name=op.f("api_keys_name_key")),
        schema=SCHEMA,
    )
    op.create_table(
        "data_sources",
        sa.Column("source_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("connection_config", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("auth_type", sa.Text(), server_default="none", nullable=False),
        sa.Column("auth_config", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("data_format", sa.Text(), server_default="json", nullable=False),
        sa.Column("schema_definition", JSONB(none_as_null=True)),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("last_accessed", sa.TIMESTAMP(timezone=True)),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "auth_type IN ('none', 'basic', 'oauth', 'api_key')", name=op.f("data_sources_auth_type_check")
        ),
        sa.CheckConstraint(
            "source_type IN ('s3', 'kafka', 'database', 'api', 'file')", name=op.f("data_sources_source_type_check")
        ),
        sa.PrimaryKeyConstraint("source_id", name=op.f("data_sources_pkey")),
        sa.UniqueConstraint("name", name=op.f("data_sources_name_key")),
        schema=SCHEMA,
    )
    op.create_table(
        "lake_tables",
        sa.Column("table_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text()),
        sa.Column("description", sa.Text()),
        sa.Column("schema_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("partition_strategy", sa.Text(), server_default="date", nullable=False),
        sa.Column("partition_columns", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("partition_by", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("compatibility", sa.Text(), server_default="backward", nullable=False),
        sa.Column("storage_format", sa.Text(), server_default="parquet", nullable=False),
        sa.Column("compression", sa.Text(), server_default="zstd", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("synced_snapshot_id", sa.BigInteger()),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "compatibility IN ('backward', 'forward', 'full', 'none')", name=op.f("lake_tables_compatibility_check")
        ),
        sa.CheckConstraint(
            "partition_strategy IN ('date', 'hash', 'range', 'list')", name=op.f("lake_tables_partition_strategy_check")
        ),
        sa.ForeignKeyConstraint(["dataset"], [f"{SCHEMA}.datasets.name"], name=op.f("lake_tables_dataset_fkey")),
        sa.PrimaryKeyConstraint("table_id", name=op.f("lake_tables_pkey")),
        sa.UniqueConstraint("name", name=op.f("lake_tables_name_key")),
        schema=SCHEMA,
    )
    op.create_table(
        "ingestion_jobs",
        sa.Column("job_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("data_source_id", sa.BigInteger(), nullable=False),
        sa.Column("table_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="5", nullable=False),
        sa.Column("batch_size", sa.Integer(), server_default="10000", nullable=False),
        sa.Column("max_retries", sa.SmallInteger(), server_default="3", nullable=False),
        sa.Column("retry_delay_seconds", sa.Integer(), server_default="60", nullable=False),
        sa.Column("schedule_cron", sa.Text()),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requested_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("not_before", sa.TIMESTAMP(timezone=True)),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("records_processed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("records_failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error_message", sa.Text()),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("completed_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("last_run_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("next_run_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("ingestion_jobs_status_check"),
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ingestion_jobs_priority_check")),
        sa.ForeignKeyConstraint(
            ["data_source_id"], [f"{SCHEMA}.data_sources.source_id"], name=op.f("ingestion_jobs_data_source_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["table_id"], [f"{SCHEMA}.lake_tables.table_id"], name=op.f("ingestion_jobs_table_id_fkey")
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("ingestion_jobs_pkey")),
        schema=SCHEMA,
    )
    op.create_table(
        "lake_partitions",
        sa.Column("partition_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("table_id", sa.BigInteger(), nullable=False),
        sa.Column("partition_path", sa.Text(), nullable=False),
        sa.Column("partition_values", JSONB(), nullable=False),
        sa.Column("first_day", sa.Date()),
        sa.Column("last_day", sa.Date()),
        sa.Column("record_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("file_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_updated", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["table_id"], [f"{SCHEMA}.lake_tables.table_id"], name=op.f("lake_partitions_table_id_fkey")
        ),
        sa.PrimaryKeyConstraint("partition_id", name=op.f("lake_partitions_pkey")),
        sa.UniqueConstraint("table_id", "partition_path", name=op.f("lake_partitions_table_id_partition_path_key")),
        schema=SCHEMA,
    )
    op.create_index(
        "lake_partitions_days_idx", "lake_partitions", ["table_id", "first_day"], unique=False, schema=SCHEMA
    )
    op.create_table(
        "schema_versions",
        sa.Column("schema_version_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("table_id", sa.BigInteger(), nullable=False),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("schema_definition", JSONB(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("iceberg_schema_id", sa.Integer()),
        sa.Column("description", sa.Text()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["table_id"], [f"{SCHEMA}.lake_tables.table_id"], name=op.f("schema_versions_table_id_fkey")
        ),
        sa.PrimaryKeyConstraint("schema_version_id", name=op.f("schema_versions_pkey")),
        sa.UniqueConstraint("table_id", "version_number", name=op.f("schema_versions_table_id_version_number_key")),
        schema=SCHEMA,
    )
    op.create_index(
        "schema_versions_current_key",
        "schema_versions",
        ["table_id"],
        unique=True,
        schema=SCHEMA,
        postgresql_where="is_current",
    )
    op.create_table(
        "ingestion_batches",
        sa.Column("batch_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("batch_number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source_file_path", sa.Text()),
        sa.Column("source_offset", sa.BigInteger()),
        sa.Column("record_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("records_processed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("records_failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("processing_time_seconds", sa.Double()),
        sa.Column("error_message", sa.Text()),
        sa.Column("output_partition_path", sa.Text()),
        sa.Column("output_files", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("completed_at", sa.TIMESTAMP(timezone=True)),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("ingestion_batches_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], [f"{SCHEMA}.ingestion_jobs.job_id"], name=op.f("ingestion_batches_job_id_fkey")
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("ingestion_batches_pkey")),
        sa.UniqueConstraint("job_id", "batch_number", name=op.f("ingestion_batches_job_id_batch_number_key")),
        schema=SCHEMA,
    )
    op.create_table(
        "schema_changes",
        sa.Column("schema_change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("schema_version_id", sa.BigInteger(), nullable=False),
        sa.Column("change_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("old_value", JSONB(none_as_null=True)),
        sa.Column("new_value", JSONB(none_as_null=True)),
        sa.Column("change_description", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("applied_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("applied_by", sa.Text()),
        sa.Column("rolled_back_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("rolled_back_by", sa.Text()),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "change_type IN ('add_column', 'drop_column', 'rename_column', 'change_type', 'add_constraint',"
            " 'drop_constraint')",
            name=op.f("schema_changes_change_type_check"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'applied', 'failed', 'rolled_back')", name=op.f("schema_changes_status_check")
        ),
        sa.ForeignKeyConstraint(
            ["schema_version_id"],
            [f"{SCHEMA}.schema_versions.schema_version_id"],
            name=op.f("schema_changes_schema_version_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("schema_change_id", name=op.f("schema_changes_pkey")),
        schema=SCHEMA,
    )
    op.create_index(
        op.f("schema_changes_schema_version_id_idx"),
        "schema_changes",
        ["schema_version_id"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_table(
        "ingested_files",
        sa.Column("table_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('writing', 'done')", name=op.f("ingested_files_state_check")),
        sa.ForeignKeyConstraint(
            ["batch_id"], [f"{SCHEMA}.ingestion_batches.batch_id"], name=op.f("ingested_files_batch_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["table_id"], [f"{SCHEMA}.lake_tables.table_id"], name=op.f("ingested_files_table_id_fkey")
        ),
        sa.PrimaryKeyConstraint("table_id", "url", name=op.f("ingested_files_pkey")),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Undo the change."""
    for table in (
        "ingested_files",
        "schema_changes",
        "ingestion_batches",
        "schema_versions",
        "lake_partitions",
        "ingestion_jobs",
        "lake_tables",
        "data_sources",
        "api_keys",
    ):
        op.drop_table(table, schema=SCHEMA)
    op.drop_column("table_loads", "undeclared_columns", schema=SCHEMA)
