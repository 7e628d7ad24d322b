"""What ingestion keeps: rows of source databases, checkpoints, deletions, counters, naming nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "des_catalog"


def upgrade() -> None:
    """Apply the change."""
    op.add_column("inbox", sa.Column("name", sa.Text()), schema=SCHEMA)
    op.add_column("inbox", sa.Column("meta", JSONB()), schema=SCHEMA)
    op.add_column("files", sa.Column("meta", JSONB()), schema=SCHEMA)
    _dead_letters()
    _source_rows()
    _checkpoints()
    _removals()
    _counters()
    _naming_nodes()


def _dead_letters() -> None:
    for column in (
        sa.Column("seq", sa.BigInteger()),
        sa.Column("origin", sa.Text()),
        sa.Column("reference", sa.Text()),
    ):
        op.add_column("dead_letters", column, schema=SCHEMA)
    op.create_foreign_key(
        op.f("dead_letters_seq_fkey"),
        "dead_letters",
        "inbox",
        ["seq"],
        ["seq"],
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
    )


def _source_rows() -> None:
    op.create_table(
        "source_rows",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("claimed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("source_rows_state_check")),
        sa.ForeignKeyConstraint(["seq"], [f"{SCHEMA}.inbox.seq"], name=op.f("source_rows_seq_fkey")),
        sa.PrimaryKeyConstraint("source", "row_id", name=op.f("source_rows_pkey")),
        schema=SCHEMA,
    )
    op.create_index(
        "source_rows_open_idx",
        "source_rows",
        ["source", "claimed_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'open'"),
    )


def _checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("source", "part", name=op.f("checkpoints_pkey")),
        schema=SCHEMA,
    )


def _removals() -> None:
    op.create_table(
        "removals",
        sa.Column("removal_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("removal_id", name=op.f("removals_pkey")),
        sa.UniqueConstraint("bucket", "key", "removed_at", name=op.f("removals_bucket_key_removed_at_key")),
        schema=SCHEMA,
    )


def _counters() -> None:
    op.create_table(
        "counters",
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("metric", "labels", "slot", name=op.f("counters_pkey")),
        schema=SCHEMA,
    )


def _naming_nodes() -> None:
    op.create_table(
        "naming_nodes",
        sa.Column("node", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reserved_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("naming_nodes_pkey")),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Take the change back."""
    for table in ("naming_nodes", "counters", "removals", "checkpoints", "source_rows"):
        op.drop_table(table, schema=SCHEMA)
    for column in ("reference", "origin", "seq"):
        op.drop_column("dead_letters", column, schema=SCHEMA)
    op.drop_column("files", "meta", schema=SCHEMA)
    op.drop_column("inbox", "meta", schema=SCHEMA)
    op.drop_column("inbox", "name", schema=SCHEMA)
