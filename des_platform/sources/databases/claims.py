"""Rows of a source table taken, kept and told of, each in a transaction of its own.

Every call is one transaction, repeated as a whole when it failed for a reason that passes (`TransientFailure`), and
harmless when it is done twice: a claim whose commit's answer was lost runs out and comes back, a write-back finds its
rows written.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from des_platform.settings import ConfigurationError
from des_platform.sources.databases.dialects import CHUNK, Statements, Worker
from des_platform.sources.databases.engine import Database, TransientFailure, open_engine
from des_platform.sources.databases.outcomes import Outcomes
from des_platform.sources.databases.table import MappedTable, read_table
from des_platform.sources.retrying import retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from des_platform.catalog.source_rows import SettledRow
    from des_platform.sources.databases.config import DatabaseSource

_ATTEMPTS = 4
_PAUSE_SECONDS = 0.1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row in our hands.

    Attributes:
        row_id: its id as text.
        values: by field of the configuration's `columns`; as the driver gave them, with PostgreSQL as text.
        metadata: by column.
    """

    row_id: str
    values: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows claimed at once, oldest first, and the id behind which the next claim may go on."""

    rows: list[ClaimedRow]
    last: object = None


class SourceTable:
    """A source's table, for one worker.

    Args:
        database: its engine.
        mapped: as the server has it.
        statements: that claim, for this worker.
        outcomes: that keep claims and tell what became of them.
    """

    def __init__(self, database: Database, mapped: MappedTable, statements: Statements, outcomes: Outcomes) -> None:
        self._database = database
        if statements.at_once:
            # Every call is one statement then, and needs no transaction: two journeys to the server less for each.
            alone = database.engine.execution_options(isolation_level="AUTOCOMMIT")
            self._database = replace(database, engine=alone)
        self._mapped = mapped
        self._statements = statements
        self._outcomes = outcomes
        weakref.finalize(self, database.close)

    @classmethod
    def open(cls, source: DatabaseSource, worker: Worker) -> SourceTable:
        """Connect and look at the table.

        Raises:
            ConfigurationError: the table is not as configured, or the connection's settings are wrong.
            SourceUnavailable: the server cannot be reached.
        """
        database = open_engine(source.connection, source.what)
        try:
            mapped = _repeated(lambda: read_table(database, source))
            return cls(database, mapped, Statements(source, mapped, worker), Outcomes(source, mapped, worker))
        except BaseException:
            database.close()
            raise

    @property
    def name(self) -> str:
        """The table, with its schema."""
        return self._mapped.table.fullname

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def claim(self, limit: int, *, after: object = None, expired: bool = False) -> Claim:
        """Claim the oldest rows of this worker's shards that nobody else is claiming.

        Args:
            limit: most rows.
            after: only rows with a greater id, where an earlier claim ended; None from the first on.
            expired: rows whose claim has run out, instead of pending ones.

        Raises:
            SourceUnavailable: the server cannot be reached, or the claim failed again and again.
            ConfigurationError: the server does not understand the statement.
        """
        return _repeated(lambda: self._claim(limit, after=after, expired=expired))

    def renew(self, row_ids: Sequence[str]) -> int:
        """Make claims that are still ours young again; returns how many were.

        Raises:
            SourceUnavailable: the server cannot be reached.
        """
        return sum(_repeated(partial(self._update, self._outcomes.renew, part)) for part in _parts(row_ids))

    def reset(self, row_ids: Sequence[str]) -> int:
        """Let rows that failed wait again, as their owner would; returns how many had failed.

        Raises:
            SourceUnavailable: the server cannot be reached.
        """
        return sum(_repeated(partial(self._update, self._outcomes.reset, part)) for part in _parts(row_ids))

    def write_back(self, rows: Sequence[SettledRow]) -> dict[str, str]:
        """Tell the table what became of rows that are still claimed by this platform.

        Returns:
            Why, by id, for each row that the table refuses while it takes its neighbours.

        Raises:
            ConfigurationError: the table refuses every row.
            SourceUnavailable: the server cannot be reached.
        """
        refused = self._write_back(rows)
        if len(refused) == len(rows) > 1:
            raise ConfigurationError(next(iter(refused.values())))
        return refused

    def count(self, most: int) -> tuple[int, int]:
        """How many rows are pending and claimed, whoever's they are, each counted up to a limit.

        Raises:
            SourceUnavailable: the server cannot be reached.
        """
        with self._database.begin() as connection:
            pending, claimed = (connection.scalar(statement) or 0 for statement in self._statements.counts(most))
        return pending, claimed

    def _claim(self, limit: int, *, after: object, expired: bool) -> Claim:
        statement = self._statements.pick(limit, resumed=after is not None, expired=expired)
        with self._database.begin() as connection:
            found = connection.execute(statement, {} if after is None else {"after": after}).all()
            keys = [row[0] for row in found]
            if not self._statements.at_once:
                for start in range(0, len(keys), CHUNK):
                    connection.execute(self._statements.take(keys[start : start + CHUNK]))
        return Claim([self._row(row) for row in found], keys[-1] if keys else None)

    def _row(self, found: Sequence[Any]) -> ClaimedRow:
        fields, metadata = self._statements.fields, self._statements.metadata
        values = dict(zip(fields, found[1:], strict=False))
        return ClaimedRow(
            self._mapped.id_text(found[0]), values, dict(zip(metadata, found[1 + len(fields) :], strict=True))
        )

    def _update(self, statement: Callable[[Sequence[object]], sa.Update], row_ids: Sequence[str]) -> int:
        with self._database.begin() as connection:
            return connection.execute(statement([self._mapped.id_value(text) for text in row_ids])).rowcount

    def _write_back(self, rows: Sequence[SettledRow]) -> dict[str, str]:
        try:
            for part in _parts(rows):
                _repeated(partial(self._write_part, part))
        except ConfigurationError as error:
            if len(rows) == 1:
                return {rows[0].row_id: str(error)}
            half = len(rows) // 2  # what was written above is not touched again
            return self._write_back(rows[:half]) | self._write_back(rows[half:])
        return {}

    def _write_part(self, rows: Sequence[SettledRow]) -> None:
        # In one order by all, or two that write the same rows would deadlock.
        ordered = sorted(rows, key=lambda row: row.row_id)
        with self._database.begin() as connection:
            for statement, values in self._outcomes.write_back(ordered):
                connection.execute(statement, values)


def _repeated(call: Callable[[], _T]) -> _T:
    return retrying(_ATTEMPTS, base=_PAUSE_SECONDS, on=TransientFailure)(call)


def _parts(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
