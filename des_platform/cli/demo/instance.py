"""Dagster's tables in the demo's database, which Dagster makes one by one, each for good.

A kill between two of them would leave a database that Dagster takes for a whole one, and that no later start could use.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_log = logging.getLogger(__name__)

_VERSION = "alembic_version"


def drop_half_made_tables(engine: sa.Engine) -> bool:
    """Drop Dagster's tables where a killed start has made only some of them; Dagster makes all anew then.

    Tables that hold a run are never dropped: they were whole once, and what they lack is for a migration to add.

    Args:
        engine: the database; nobody else works on it.

    Returns:
        Whether there was something to drop.
    """
    from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
    from dagster._core.storage.runs.schema import RunStorageSqlMetadata
    from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

    parts = (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)
    wanted = {_VERSION}.union(*(part.tables for part in parts))
    with engine.begin() as connection:
        found = wanted.intersection(sa.inspect(connection).get_table_names())
        if found in (wanted, set()) or _has_runs(connection, found):
            return False
        _log.info("dropping %d of Dagster's %d tables, left over from a start that was killed", len(found), len(wanted))
        for part in parts:
            part.drop_all(connection)
        sa.Table(_VERSION, sa.MetaData()).drop(connection, checkfirst=True)
    return True


def _has_runs(connection: sa.Connection, tables: AbstractSet[str]) -> bool:
    return "runs" in tables and bool(connection.scalar(sa.text("SELECT EXISTS (SELECT FROM runs)")))
