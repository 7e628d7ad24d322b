"""How much there is to do now: what waits, what is under way, what was given up."""

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
    """What waits or was given up: pending rows, unfinished files, dead letters, source rows in hand.

    What is done the counters tell: each query here costs as much as there is to do, not as much as there ever was.
    """
    number = sa.func.count()
    waiting = sa.select(inbox.c.dataset, number).where(inbox.c.state == "pending").group_by(inbox.c.dataset)
    # The words of the partial index, so that it serves.
    unfinished = files.c.state.in_([sa.literal_column("'catalogued'"), sa.literal_column("'ready'")])
    by_state = sa.select(files.c.dataset, files.c.state, number).where(unfinished)
    by_state = by_state.group_by(files.c.dataset, files.c.state)
    letters = sa.select(dead_letters.c.stage, number).group_by(dead_letters.c.stage)
    claimed = (
        sa.select(source_rows.c.source, number).where(source_rows.c.state == "open").group_by(source_rows.c.source)
    )
    found = [
        Gauge("des_inbox_pending", "Files that wait for their partition's run.", {"dataset": dataset}, count)
        for dataset, count in connection.execute(waiting.order_by(inbox.c.dataset)).tuples()
    ]
    found += [
        Gauge(
            "des_files_unfinished",
            "Catalogued files that are in no archive yet.",
            {"dataset": dataset, "state": state},
            count,
        )
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
