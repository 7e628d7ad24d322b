"""The schema that all tables of the catalogue stand in, and how their constraints are named."""

from __future__ import annotations

import sqlalchemy as sa

# Not "des": a schema named like the user comes first in PostgreSQL's search path and would swallow the other tables.
SCHEMA = "des_catalog"

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

now = sa.text("now()")
timestamp = sa.TIMESTAMP(timezone=True)
