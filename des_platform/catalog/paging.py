"""A page of a query and the number of rows on all pages, in one trip to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence


def page(
    connection: sa.Connection, rows: sa.Select[Any], limit: int | None, offset: int
) -> tuple[list[Sequence[Any]], int]:
    """Run a query for one page.

    Args:
        connection: a transaction.
        rows: what to select, in which order.
        limit: most rows of the page; None for all.
        offset: rows before it.

    Returns:
        The page's rows, and how many there are on all pages.
    """
    number = sa.select(sa.func.count()).select_from(rows.order_by(None).subquery())
    found = connection.execute(rows.add_columns(number.scalar_subquery()).limit(limit).offset(offset)).all()
    if found:
        return [row[:-1] for row in found], found[0][-1]
    return [], connection.scalar(number) or 0 if offset else 0
