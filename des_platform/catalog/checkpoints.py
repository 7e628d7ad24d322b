"""How far each source was read: the last position in each of its parts.

A position is saved in the transaction that records what was read up to it, so whatever dies, reading goes on exactly
behind what is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import checkpoints

if TYPE_CHECKING:
    from collections.abc import Mapping


def positions(connection: sa.Connection, source: str) -> dict[str, str]:
    """The position in each part of a source that was read before."""
    statement = sa.select(checkpoints.c.part, checkpoints.c.position).where(checkpoints.c.source == source)
    return dict(connection.execute(statement).tuples().all())


def save(connection: sa.Connection, source: str, read: Mapping[str, str]) -> None:
    """Move the positions of some parts of a source.

    Args:
        connection: inside the transaction that records what was read.
        source: the source.
        read: position by part.
    """
    if not read:
        return
    statement = insert(checkpoints)
    statement = statement.on_conflict_do_update(
        index_elements=["source", "part"],
        set_={"position": statement.excluded.position, "updated_at": sa.func.now()},
    )
    connection.execute(statement, [{"source": source, "part": part, "position": read[part]} for part in sorted(read)])
