"""The plan by which a table's files are written: kept as a property of the table, chosen anew when the data change."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from des_platform.parquet.plan import WritePlan, choose_plan

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyiceberg.table import Transaction

_LOG = logging.getLogger(__name__)
PROPERTY: Final = "des.write-plan"
# Fewer rows say little of what is to come: they are written by what suits most columns of their type.
_ROWS_TO_CHOOSE: Final = 4096


class Plans:
    """The plan of one table while files are written.

    Args:
        table: its name, for the log.
        kept: the table's property; None if it has none.
    """

    def __init__(self, table: str, kept: str | None) -> None:
        self._kept = kept
        self._plan: WritePlan | None = None
        self._proven = True
        try:
            self._plan = None if kept is None else WritePlan.from_json(kept)
        except ValueError as error:
            _LOG.warning("table %r: its write plan is chosen anew: %s", table, error)

    def for_rows(self, rows: pa.Table) -> WritePlan:
        """The plan for a file that begins with these rows."""
        if self._plan is None or set(rows.column_names) - self._plan.columns.keys():
            if rows.num_rows < _ROWS_TO_CHOOSE:
                return self._plan or WritePlan()
            self._plan, self._proven = choose_plan(rows), False
        return self._plan

    def finished(self, metadata: pq.FileMetaData) -> None:
        """Learn from a file that was written by the plan."""
        if self._plan is None:
            return
        if not self._proven:
            confirmed = self._plan.confirmed(metadata)
            self._plan, self._proven = confirmed, confirmed is not self._plan
        elif self._plan.has_drifted(metadata):
            self._plan = None

    def stage(self, transaction: Transaction) -> None:
        """Keep the plan with the table, if it is another than before."""
        chosen = None if self._plan is None else self._plan.to_json()
        if chosen == self._kept:
            return
        if chosen is not None:
            transaction.set_properties({PROPERTY: chosen})
        elif PROPERTY in transaction.table_metadata.properties:
            transaction.remove_properties(PROPERTY)
