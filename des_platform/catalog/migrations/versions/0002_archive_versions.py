"""Containers say which version of the archive format they are of, and keep the archive's hint."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    # Whatever was published until now is of version 1; from here on each row says so itself.
    op.add_column(
        "containers",
        sa.Column("archive_version", sa.SmallInteger(), server_default="1", nullable=False),
        schema="des_catalog",
    )
    op.alter_column("containers", "archive_version", server_default=None, schema="des_catalog")
    op.add_column("containers", sa.Column("hint", sa.LargeBinary(), nullable=True), schema="des_catalog")
    op.create_check_constraint(
        op.f("containers_hint_check"), "containers", "octet_length(hint) = 64", schema="des_catalog"
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_constraint(op.f("containers_hint_check"), "containers", schema="des_catalog")
    op.drop_column("containers", "hint", schema="des_catalog")
    op.drop_column("containers", "archive_version", schema="des_catalog")
