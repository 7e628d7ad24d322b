"""How much of everything there is now: what waits, what is done, what was given up."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from des_platform.catalog.tables import dead_letters, files, inbox, source_rows


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of rows, named as Prometheus names it."""

    metric: str
    help: str
    labels: dict[str, str]
    value: int


def gauges(connection: sa.Connection) -> list[Gauge]:
    """Rows of the inbox, files, dead letters and source rows in hand, by state.

    Rows that are done are counted through the files that they became, so that nothing here reads the whole inbox.
    """
    number = sa.func.count()
    waiting = sa.select(inbox.c.dataset, number).where(inbox.c.state == "pending").group_by(inbox.c.dataset)
    by_state = sa.select(files.c.dataset, files.c.state, number).group_by(files.c.dataset, files.c.state)
    letters = sa.select(dead_letters.c.stage, number).group_by(dead_letters.c.stage)
    claimed = (
        sa.select(source_rows.c.source, number).where(source_rows.c.state == "open").group_by(source_rows.c.source)
    )
    found = [
        Gauge("des_inbox_pending", "Files that wait for their partition's run.", {"dataset": dataset}, count)
        for dataset, count in connection.execute(waiting.order_by(inbox.c.dataset)).tuples()
    ]
    found += [
        Gauge("des_files", "Catalogued files.", {"dataset": dataset, "state": state}, count)
        for dataset, state, count in connection.execute(by_state.order_by(files.c.dataset, files.c.state)).tuples()
    ]
    found += [
        Gauge("des_dead_letters", "Dead letters.", {"stage": stage}, count)
        for stage, count in connection.execute(letters.order_by(dead_letters.c.stage)).tuples()
    ]
    found += [
        Gauge("des_source_rows_open", "Rows of source databases in hand.", {"source_db": source}, count)
        for source, count in connection.execute(claimed.order_by(source_rows.c.source)).tuples()
    ]
    return found
