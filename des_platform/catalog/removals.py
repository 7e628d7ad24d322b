"""Deletions that events announced: recorded once, and acted on by nobody.

The platform's own copies stay; who looks for a file's original learns here when it left its bucket.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import removals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class Removal:
    """An object left its bucket at a moment (aware), as the source tells."""

    bucket: str
    key: str
    removed_at: datetime
    source: str


def record(connection: sa.Connection, found: Sequence[Removal]) -> int:
    """Insert the deletions that are not known yet.

    Returns:
        How many were new.
    """
    if not found:
        return 0
    statement = (
        insert(removals)
        .on_conflict_do_nothing(index_elements=["bucket", "key", "removed_at"])
        .returning(removals.c.removal_id)
    )
    # One order for all writers, or two would deadlock on the unique index.
    return len(connection.execute(statement, [asdict(removal) for removal in sorted(found)]).all())


def of_key(connection: sa.Connection, bucket: str, key: str) -> list[Removal]:
    """The deletions of one key, the first first."""
    columns = [removals.c[name] for name in Removal.__dataclass_fields__]
    statement = sa.select(*columns).where(removals.c.bucket == bucket, removals.c.key == key)
    return [Removal(**row) for row in connection.execute(statement.order_by(removals.c.removed_at)).mappings()]
