"""The statements that claim rows of a source table, for each kind of server; every value in them is bound.

A claim locks the oldest rows that wait and belong to this worker's shards, skips what others hold, and marks them, in
one transaction. The shard is part of the condition, before the limit: filtered afterwards, a worker would fetch the
same head of the table again and again and starve behind rows that are not its own.

* PostgreSQL does it in one statement, which is its own transaction; `picked` is a common table expression because a
  plain subquery may be run again for every row, and lock more than the limit.
* MySQL, MariaDB: `FOR UPDATE SKIP LOCKED`, then an update of the ids; there is no `UPDATE ... RETURNING`.
* SQL Server: `WITH (ROWLOCK, UPDLOCK, READPAST)` is the same under another name.
* Oracle refuses `FETCH FIRST` beside `FOR UPDATE` (ORA-02014), and a `ROWNUM` beside it counts before the order. So the
  oldest rows are chosen by their addresses in a subquery, and locked outside it, where the status is asked once more.
  Two processes under one worker's number may choose the same rows; one of them then gets fewer, and asks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from des_platform.sources.databases.shards import shard_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.sources.databases.config import DatabaseSource, DatabaseType
    from des_platform.sources.databases.table import MappedTable

ERROR_CHARS = 500
"""Most characters of an error that are written into a row."""
CHUNK = 1000
"""Most ids in one statement: Oracle takes no more in a list, SQL Server 2,100 values in all."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several processes that share a table: it takes the shards whose number modulo `of` is `index`.

    Attributes:
        index: from 0.
        of: how many there are.
        holder: the platform, as `claimed_by` shows it in front of the index.
    """

    index: int = 0
    of: int = 1
    holder: str = "des"

    @property
    def label(self) -> str:
        """What stands in `claimed_by`."""
        return f"{self.holder}/{self.index}"


class Statements:
    """The statements of one table for one worker."""

    def __init__(self, source: DatabaseSource, mapped: MappedTable, worker: Worker) -> None:
        self._source = source
        self._mapped = mapped
        self._worker = worker
        self._pending = mapped.status_value(source.table.status_pending_value)
        self._claimed = mapped.status_value(source.table.status_claimed_value)
        self._made: dict[tuple[int, bool, bool], sa.Select[Any]] = {}

    @property
    def at_once(self) -> bool:
        """Whether `pick` also marks what it locks, so that neither `take` nor a transaction around both is needed."""
        return self._mapped.kind == "postgres"

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """What a picked row tells behind its id, in front of the metadata: fields of the configuration's `columns`."""
        known = ("s3_bucket", "s3_key", "size_bytes", "etag", "created_at", "des_name")
        return tuple(field for field in known if field in self._mapped.columns)

    @cached_property
    def metadata(self) -> tuple[str, ...]:
        """What it tells behind those: the names of the metadata columns."""
        return tuple(column.name for column in self._mapped.metadata)

    def pick(self, limit: int, *, resumed: bool = False, expired: bool = False) -> sa.Select[Any]:
        """Lock the oldest waiting rows of this worker.

        Args:
            limit: most rows.
            resumed: only rows with an id greater than the parameter `after`.
            expired: rows whose claim has run out, instead of pending ones.
        """
        key = limit, resumed, expired
        if key not in self._made:  # to build one anew takes as long as the server takes to run it
            self._made[key] = self._pick(limit, resumed=resumed, expired=expired)
        return self._made[key]

    def _pick(self, limit: int, *, resumed: bool, expired: bool) -> sa.Select[Any]:
        condition = sa.and_(*self._conditions(resumed=resumed, expired=expired))
        if self._mapped.kind == "postgres":
            return self._pick_and_take(condition, limit)
        if self._mapped.kind == "oracle":
            return self._pick_by_address(condition, limit, self._claimed if expired else self._pending)
        statement = sa.select(*self._selected).where(condition).order_by(self._mapped.id).limit(limit)
        if self._mapped.kind == "mssql":
            return statement.with_hint(self._mapped.table, "WITH (ROWLOCK, UPDLOCK, READPAST)", "mssql")
        return statement.with_for_update(skip_locked=True)

    def take(self, ids: Sequence[object]) -> sa.Update:
        """Mark rows that this transaction has locked as claimed; at most `CHUNK`."""
        return self._mapped.table.update().where(self._mapped.id.in_(ids)).values(self._claim_values)

    def counts(self, most: int) -> list[sa.Select[tuple[int]]]:
        """How many rows are pending and how many are claimed, of all workers, counted up to a limit."""
        counts = []
        for status in (self._pending, self._claimed):
            waiting = sa.select(self._mapped.id).where(self._mapped.status == status, *self._owners_condition)
            counts.append(sa.select(sa.func.count()).select_from(waiting.limit(most).subquery("waiting")))
        return counts

    def _conditions(self, *, resumed: bool, expired: bool) -> list[sa.ColumnElement[Any]]:
        status, claimed_at = self._mapped.status, self._mapped.columns["claimed_at"]
        if expired:
            too_old = sa.or_(
                claimed_at.is_(None), claimed_at < ago(self._mapped.kind, self._source.claim_timeout_seconds)
            )
            conditions = [status == self._claimed, too_old]
        else:
            conditions = [status == self._pending]
        if resumed:
            conditions.append(self._mapped.id > sa.bindparam("after", type_=self._mapped.id.type))
        if self._source.marker is not None:
            conditions.append(self._mapped.columns["des_name"].is_not(None))
        if self._worker.of > 1:
            # Below one, not equal to the index: PostgreSQL takes every two-hundredth row for one that equals something
            # it has no statistics of, and would rather read and sort all that wait than follow the index.
            to_zero = self._shard + sa.literal(self._worker.of - self._worker.index)
            conditions.append(to_zero % sa.literal(self._worker.of) < sa.literal_column("1"))
        return [*conditions, *self._owners_condition]

    @property
    def _owners_condition(self) -> list[sa.ColumnElement[Any]]:
        clause = self._source.table.where_clause
        # The line's end closes a comment that the clause may end with.
        return [sa.literal_column(f"({clause}\n)")] if clause else []

    @cached_property
    def _shard(self) -> sa.ColumnElement[int]:
        if "shard" in self._mapped.columns:
            return sa.func.coalesce(self._mapped.columns["shard"], 0)
        return shard_expression(self._mapped.kind, self._mapped.shard_key, self._source.shard_bits)

    @cached_property
    def _selected(self) -> list[sa.ColumnElement[Any]]:
        named = [(self._mapped.columns[field], field) for field in self.fields]
        named += [(column, f"metadata.{column.name}") for column in self._mapped.metadata]
        # As text: times like 'infinity' are more than Python's can hold, and as a value one would end the whole claim.
        texts = self._mapped.kind == "postgres"
        wanted = [(sa.cast(column, sa.Text) if texts else column).label(name) for column, name in named]
        return [self._mapped.id.label("id"), *wanted]

    def _pick_and_take(self, condition: sa.ColumnElement[bool], limit: int) -> sa.Select[Any]:
        picked = (
            sa.select(*self._selected)
            .where(condition)
            .order_by(self._mapped.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("picked")
        )
        taken = self._mapped.table.update().where(self._mapped.id == picked.c.id).values(self._claim_values)
        return sa.select(picked).add_cte(taken.cte("taken")).order_by(picked.c.id)

    def _pick_by_address(self, condition: sa.ColumnElement[bool], limit: int, status: str | int) -> sa.Select[Any]:
        address: sa.ColumnElement[Any] = sa.literal_column("ROWID")
        ordered = sa.select(address.label("address")).select_from(self._mapped.table).where(condition)
        oldest = ordered.order_by(self._mapped.id).subquery("oldest")
        first = sa.select(oldest.c.address).where(sa.literal_column("ROWNUM") <= limit)
        return (
            sa.select(*self._selected)
            .where(address.in_(first), self._mapped.status == status)
            .order_by(self._mapped.id)
            .with_for_update(skip_locked=True)
        )

    @cached_property
    def _claim_values(self) -> dict[Any, object]:
        values: dict[Any, object] = {
            self._mapped.status: self._claimed,
            self._mapped.columns["claimed_at"]: now(self._mapped.kind),
        }
        if "claimed_by" in self._mapped.columns:
            values[self._mapped.columns["claimed_by"]] = self._mapped.fitting("claimed_by", self._worker.label)
        return values


def now(kind: DatabaseType) -> sa.ColumnElement[Any]:
    """The server's clock, in UTC; sessions are in UTC, so naive columns hold it too."""
    clocks: dict[DatabaseType, str] = {
        "oracle": "SYS_EXTRACT_UTC(SYSTIMESTAMP)",
        "mssql": "SYSUTCDATETIME()",
        "postgres": "clock_timestamp()",
    }
    return sa.literal_column(clocks.get(kind, "CURRENT_TIMESTAMP(6)"))


def ago(kind: DatabaseType, seconds: int) -> sa.ColumnElement[Any]:
    """A time before the server's clock."""
    if kind == "postgres":
        # Not clock_timestamp(), which is another for every row and no index can be asked for.
        return sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    if kind == "oracle":
        return now(kind) - sa.func.numtodsinterval(seconds, sa.literal_column("'SECOND'"))
    if kind == "mssql":
        return sa.func.dateadd(sa.literal_column("second"), -seconds, now(kind))
    return sa.func.timestampadd(sa.literal_column("SECOND"), -seconds, now(kind))
