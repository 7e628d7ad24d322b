"""The ledger of rows taken from source databases and DataHubs: which file each became, and whether its source knows.

A row is open from the moment its file is recorded (or refused) until the outcome stands in its source; then it is
closed. A row that its owner sets to pending again is taken again: `open_rows` opens it anew and gives a file that had
been given up another chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog import files as file_rows
from des_platform.catalog import inbox as inbox_rows
from des_platform.catalog.tables import files, inbox, source_rows

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row that was taken: the inbox row of its file, or why it became none."""

    row_id: str
    seq: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SettledRow:
    """A row whose file's fate is known: packed under a name into a container, or failed for a reason."""

    row_id: str
    outcome: Literal["packed", "failed"]
    name: str | None
    container_id: int | None
    error: str | None


def open_rows(connection: sa.Connection, source: str, rows: Sequence[SourceRow]) -> None:
    """Enter rows that were taken, or open them again."""
    if not rows:
        return
    statement = insert(source_rows)
    statement = statement.on_conflict_do_update(
        index_elements=["source", "row_id"],
        set_={
            "seq": statement.excluded.seq,
            "error": statement.excluded.error,
            "state": "open",
            "claimed_at": sa.func.now(),
        },
    )
    connection.execute(
        statement,
        # One order for all writers, or two that take the same rows would deadlock on the ledger.
        [
            {"source": source, "row_id": row.row_id, "seq": row.seq, "error": row.error}
            for row in sorted(rows, key=lambda row: row.row_id)
        ],
    )
    seqs = [row.seq for row in rows if row.seq is not None]
    inbox_rows.revive(connection, seqs)
    file_rows.revive(connection, seqs)


def settled(connection: sa.Connection, source: str, limit: int) -> list[SettledRow]:
    """Open rows whose fate is known, the oldest claim first."""
    packed = files.c.state == "packed"
    failed = sa.or_(source_rows.c.error.is_not(None), files.c.state == "failed", inbox.c.state == "dead")
    statement = (
        sa.select(
            source_rows.c.row_id,
            sa.case((packed, "packed"), else_="failed"),
            files.c.name,
            files.c.container_id,
            sa.func.coalesce(
                source_rows.c.error, files.c.last_error, sa.case((inbox.c.state == "dead", "see the dead letters"))
            ),
        )
        .select_from(
            source_rows.outerjoin(inbox, inbox.c.seq == source_rows.c.seq).outerjoin(
                files, files.c.seq == source_rows.c.seq
            )
        )
        .where(source_rows.c.source == source, source_rows.c.state == "open", sa.or_(packed, failed))
        .order_by(source_rows.c.claimed_at, source_rows.c.row_id)
        .limit(limit)
    )
    return [
        SettledRow(row_id, outcome, name, container_id, None if outcome == "packed" else error)
        for row_id, outcome, name, container_id, error in connection.execute(statement)
    ]


def close(connection: sa.Connection, source: str, row_ids: Sequence[str]) -> None:
    """Close rows whose outcome stands in their source."""
    mine = sa.and_(source_rows.c.source == source, source_rows.c.row_id.in_(row_ids))
    connection.execute(source_rows.update().where(mine).values(state="closed"))


def expiring(connection: sa.Connection, source: str, *, older_than_seconds: float, limit: int) -> list[str]:
    """Open rows that were claimed, or renewed, so many seconds ago, the oldest first."""
    age = sa.func.make_interval(0, 0, 0, 0, 0, 0, older_than_seconds)
    statement = (
        sa.select(source_rows.c.row_id)
        .where(
            source_rows.c.source == source,
            source_rows.c.state == "open",
            source_rows.c.claimed_at < sa.func.clock_timestamp() - age,
        )
        .order_by(source_rows.c.claimed_at, source_rows.c.row_id)
        .limit(limit)
    )
    return list(connection.scalars(statement))


def renew(connection: sa.Connection, source: str, row_ids: Sequence[str]) -> None:
    """Note that the claims of open rows were renewed in their source."""
    mine = sa.and_(source_rows.c.source == source, source_rows.c.row_id.in_(row_ids), source_rows.c.state == "open")
    connection.execute(source_rows.update().where(mine).values(claimed_at=sa.func.clock_timestamp()))


def known(connection: sa.Connection, source: str, row_ids: Sequence[str]) -> set[str]:
    """Those of the rows that the ledger holds, open or closed."""
    mine = sa.and_(source_rows.c.source == source, source_rows.c.row_id.in_(row_ids))
    return set(connection.scalars(sa.select(source_rows.c.row_id).where(mine)))


def forget(connection: sa.Connection, source: str, row_id: str) -> bool:
    """Take a row that failed out of the ledger, so that its source is asked for it again.

    Returns:
        Whether there was such a row.
    """
    mine = sa.and_(source_rows.c.source == source, source_rows.c.row_id == row_id, source_rows.c.seq.is_(None))
    return connection.execute(source_rows.delete().where(mine)).rowcount == 1
