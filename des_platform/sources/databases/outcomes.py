"""The statements that keep claims and write outcomes into a source table; every value in them is bound.

They touch rows that are still claimed by this platform, and no others: what somebody else has claimed meanwhile, or its
owner has set to pending again, stays as it is. So each may be repeated, and come late.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from des_platform.sources.databases.dialects import ERROR_CHARS, now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from des_platform.catalog.source_rows import SettledRow
    from des_platform.sources.databases.config import DatabaseSource
    from des_platform.sources.databases.dialects import Worker
    from des_platform.sources.databases.table import MappedTable

Outcome = Literal["packed", "failed"]
_TOLD: Mapping[Outcome, tuple[str, ...]] = {
    "packed": ("des_name", "des_container_id"),
    "failed": ("error_message",),
}


class Outcomes:
    """The statements of one table for the workers of one platform."""

    def __init__(self, source: DatabaseSource, mapped: MappedTable, worker: Worker) -> None:
        self._mapped = mapped
        self._worker = worker
        self._claimed = mapped.status_value(source.table.status_claimed_value)
        self._statuses: Mapping[Outcome, str | int] = {
            "packed": mapped.status_value(source.table.status_packed_value),
            "failed": mapped.status_value(source.table.status_failed_value),
        }
        self._pending = mapped.status_value(source.table.status_pending_value)
        self._made: dict[Outcome, sa.Update] = {}

    def renew(self, ids: Sequence[object]) -> sa.Update:
        """Make claims young again; at most `CHUNK`."""
        claimed_at = self._mapped.columns["claimed_at"]
        return (
            self._mapped.table.update()
            .where(self._mapped.id.in_(ids), *self._held)
            .values({claimed_at: now(self._mapped.kind)})
        )

    def reset(self, ids: Sequence[object]) -> sa.Update:
        """Let rows that failed wait again; at most `CHUNK`."""
        failed = self._mapped.status == self._statuses["failed"]
        return (
            self._mapped.table.update()
            .where(self._mapped.id.in_(ids), failed)
            .values({self._mapped.status: self._pending})
        )

    def write_back(self, rows: Sequence[SettledRow]) -> list[tuple[sa.Update, Any]]:
        """What became of rows: statements, and the parameters to execute each with."""
        statements: list[tuple[sa.Update, Any]] = []
        outcomes: tuple[Outcome, ...] = ("packed", "failed")
        for outcome in outcomes:
            settled = [row for row in rows if row.outcome == outcome]
            if not settled:
                continue
            if outcome not in self._made:
                self._made[outcome] = self._statement(outcome)
            columns = self._columns(outcome, settled)
            parameters: Any = columns
            if self._mapped.kind != "postgres":
                parameters = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            statements.append((self._made[outcome], parameters))
        return statements

    @cached_property
    def _held(self) -> list[sa.ColumnElement[bool]]:
        held: list[sa.ColumnElement[bool]] = [self._mapped.status == self._claimed]
        if "claimed_by" in self._mapped.columns:
            # Any worker of this platform: whichever took the row, the ledger is common to all.
            mine = self._mapped.fitting("claimed_by", f"{self._worker.holder}/")
            held.append(self._mapped.columns["claimed_by"].startswith(mine, autoescape=True))
        return held

    def _told(self, outcome: Outcome) -> dict[str, sa.Column[Any]]:
        return {field: self._mapped.columns[field] for field in _TOLD[outcome] if field in self._mapped.columns}

    def _columns(self, outcome: Outcome, rows: Sequence[SettledRow]) -> dict[str, list[object]]:
        """The parameters, each with a value for every row."""
        columns: dict[str, list[object]] = {"row_id": [self._mapped.id_value(row.row_id) for row in rows]}
        for field in self._told(outcome):
            match field:
                case "des_name":
                    values: list[object] = [row.name for row in rows]
                case "des_container_id":
                    values = [None if row.container_id is None else str(row.container_id) for row in rows]
                case _:
                    values = [self._error(row.error) for row in rows]
            columns[f"new_{field}"] = values
        return columns

    def _error(self, error: str | None) -> str:
        return self._mapped.fitting("error_message", (error or "failed")[:ERROR_CHARS].replace("\0", "\ufffd"))

    def _statement(self, outcome: Outcome) -> sa.Update:
        given = self._arrays(outcome) if self._mapped.kind == "postgres" else self._parameters(outcome)
        values: dict[Any, Any] = {self._mapped.status: self._statuses[outcome]}
        if outcome == "packed" and "packed_at" in self._mapped.columns:
            values[self._mapped.columns["packed_at"]] = now(self._mapped.kind)
        if outcome == "packed" and "error_message" in self._mapped.columns:
            values[self._mapped.columns["error_message"]] = None
        values |= {column: given[field] for field, column in self._told(outcome).items()}
        return self._mapped.table.update().where(self._mapped.id == given["id"], *self._held).values(values)

    def _parameters(self, outcome: Outcome) -> dict[str, sa.ColumnElement[Any]]:
        """One row at a time: Oracle's and SQL Server's drivers send them together, MySQL's does not."""
        given: dict[str, sa.ColumnElement[Any]] = {"id": sa.bindparam("row_id", type_=self._mapped.id.type)}
        for field, column in self._told(outcome).items():
            given[field] = sa.bindparam(f"new_{field}", type_=column.type)
        return given

    def _arrays(self, outcome: Outcome) -> dict[str, sa.ColumnElement[Any]]:
        """All rows at once, an array for each column."""
        told = self._told(outcome)
        kinds = {"row_id": self._mapped.id.type} | {f"new_{field}": sa.Text() for field in told}
        arrays = [sa.bindparam(name, type_=ARRAY(kind)) for name, kind in kinds.items()]
        rows = sa.func.unnest(*arrays).table_valued(*kinds).render_derived("given")
        given: dict[str, sa.ColumnElement[Any]] = {"id": rows.c.row_id}
        for field, column in told.items():
            value = rows.c[f"new_{field}"]
            # Not cast to a text of a certain length, which would cut a name without a word.
            given[field] = value if isinstance(column.type, sa.String) else sa.cast(value, column.type)
        return given
