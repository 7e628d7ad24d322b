"""Alembic's entry: runs the migrations on the connection that `des_platform.catalog.database.migrate` hands it."""

from __future__ import annotations

from alembic import context

from des_platform.catalog.tables import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    transaction_per_migration=False,
)
context.run_migrations()
