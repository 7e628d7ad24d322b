"""What compression tells of each file, and which originals are to be removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "des_catalog"


def upgrade() -> None:
    """Apply the change."""
    for column in (
        sa.Column("codec_level", sa.SmallInteger()),
        sa.Column("compress_seconds", sa.Double()),
        sa.Column("compress_cpu_seconds", sa.Double()),
        sa.Column("prove_seconds", sa.Double()),
        sa.Column("indexed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("original_removed_at", sa.TIMESTAMP(timezone=True)),
    ):
        op.add_column("files", column, schema=SCHEMA)
    op.create_table(
        "cleanups",
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("planned_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.TIMESTAMP(timezone=True)),
        sa.CheckConstraint(
            "state IN ('planned', 'withdrawn', 'removed', 'refused')", name=op.f("cleanups_state_check")
        ),
        sa.ForeignKeyConstraint(["file_id"], [f"{SCHEMA}.files.file_id"], name=op.f("cleanups_file_id_fkey")),
        sa.PrimaryKeyConstraint("file_id", name=op.f("cleanups_pkey")),
        schema=SCHEMA,
    )
    op.create_index(
        "cleanups_planned_idx",
        "cleanups",
        ["due_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'planned'"),
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("cleanups", schema=SCHEMA)
    for column in (
        "original_removed_at",
        "indexed",
        "prove_seconds",
        "compress_cpu_seconds",
        "compress_seconds",
        "codec_level",
    ):
        op.drop_column("files", column, schema=SCHEMA)
