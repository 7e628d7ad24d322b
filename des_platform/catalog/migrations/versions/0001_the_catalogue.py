"""The catalogue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "datasets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("datasets_pkey")),
        schema="des_catalog",
    )
    op.create_table(
        "dead_letters",
        sa.Column("dead_letter_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id", name=op.f("dead_letters_pkey")),
        sa.UniqueConstraint("fingerprint", name=op.f("dead_letters_fingerprint_key")),
        schema="des_catalog",
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("leases_pkey")),
        schema="des_catalog",
    )
    op.create_table(
        "containers",
        sa.Column("container_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("external_files", sa.Integer(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('published', 'superseded')", name=op.f("containers_state_check")),
        sa.ForeignKeyConstraint(["dataset"], ["des_catalog.datasets.name"], name=op.f("containers_dataset_fkey")),
        sa.PrimaryKeyConstraint("container_id", name=op.f("containers_pkey")),
        sa.UniqueConstraint(
            "dataset", "day", "shard", "generation", name=op.f("containers_dataset_day_shard_generation_key")
        ),
        schema="des_catalog",
    )
    op.create_index(
        "containers_published_key",
        "containers",
        ["dataset", "day", "shard"],
        unique=True,
        schema="des_catalog",
        postgresql_where=sa.text("state = 'published'"),
    )
    op.create_table(
        "inbox",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("claimed_size", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'done', 'dead')", name=op.f("inbox_state_check")),
        sa.ForeignKeyConstraint(["dataset"], ["des_catalog.datasets.name"], name=op.f("inbox_dataset_fkey")),
        sa.PrimaryKeyConstraint("seq", name=op.f("inbox_pkey")),
        sa.UniqueConstraint("bucket", "key", "etag", name=op.f("inbox_bucket_key_etag_key")),
        schema="des_catalog",
    )
    op.create_index(
        "inbox_pending_idx",
        "inbox",
        ["dataset", "day", "seq"],
        unique=False,
        schema="des_catalog",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "manifests",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["des_catalog.datasets.name"], name=op.f("manifests_dataset_fkey")),
        sa.PrimaryKeyConstraint("dataset", "day", name=op.f("manifests_pkey")),
        schema="des_catalog",
    )
    op.create_table(
        "table_loads",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("parsed_rows", sa.BigInteger(), nullable=False),
        sa.Column("table_rows", sa.BigInteger(), nullable=False),
        sa.Column("rejected_rows", sa.BigInteger(), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["des_catalog.datasets.name"], name=op.f("table_loads_dataset_fkey")),
        sa.PrimaryKeyConstraint("dataset", "day", name=op.f("table_loads_pkey")),
        schema="des_catalog",
    )
    op.create_table(
        "files",
        sa.Column("file_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="catalogued", nullable=False),
        sa.Column("codec", sa.Text(), nullable=True),
        sa.Column("codec_reason", sa.Text(), nullable=True),
        sa.Column("object_key", sa.Text(), nullable=True),
        sa.Column("stored_size", sa.BigInteger(), nullable=True),
        sa.Column("container_id", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('catalogued', 'ready', 'packed', 'failed')", name=op.f("files_state_check")),
        sa.ForeignKeyConstraint(
            ["container_id"], ["des_catalog.containers.container_id"], name=op.f("files_container_id_fkey")
        ),
        sa.ForeignKeyConstraint(["dataset"], ["des_catalog.datasets.name"], name=op.f("files_dataset_fkey")),
        sa.ForeignKeyConstraint(["seq"], ["des_catalog.inbox.seq"], name=op.f("files_seq_fkey")),
        sa.PrimaryKeyConstraint("file_id", name=op.f("files_pkey")),
        sa.UniqueConstraint("bucket", "key", "etag", name=op.f("files_bucket_key_etag_key")),
        sa.UniqueConstraint("name", name=op.f("files_name_key")),
        sa.UniqueConstraint("seq", name=op.f("files_seq_key")),
        schema="des_catalog",
    )
    op.create_index(op.f("files_container_id_idx"), "files", ["container_id"], unique=False, schema="des_catalog")
    op.create_index("files_partition_idx", "files", ["dataset", "day", "shard"], unique=False, schema="des_catalog")
    op.create_index(
        "files_unpacked_idx",
        "files",
        ["dataset", "day", "file_id"],
        unique=False,
        schema="des_catalog",
        postgresql_where=sa.text("state IN ('catalogued', 'ready')"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index(
        "files_unpacked_idx",
        table_name="files",
        schema="des_catalog",
        postgresql_where=sa.text("state IN ('catalogued', 'ready')"),
    )
    op.drop_index("files_partition_idx", table_name="files", schema="des_catalog")
    op.drop_index(op.f("files_container_id_idx"), table_name="files", schema="des_catalog")
    op.drop_table("files", schema="des_catalog")
    op.drop_table("table_loads", schema="des_catalog")
    op.drop_table("manifests", schema="des_catalog")
    op.drop_index(
        "inbox_pending_idx", table_name="inbox", schema="des_catalog", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_table("inbox", schema="des_catalog")
    op.drop_index(
        "containers_published_key",
        table_name="containers",
        schema="des_catalog",
        postgresql_where=sa.text("state = 'published'"),
    )
    op.drop_table("containers", schema="des_catalog")
    op.drop_table("leases", schema="des_catalog")
    op.drop_table("dead_letters", schema="des_catalog")
    op.drop_table("datasets", schema="des_catalog")
