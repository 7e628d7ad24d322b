"""The table that the marker writes names into: which rows wait for one, and how they get it.

A row waits if it is pending, has no name, is young enough and fits the operator's `where_clause`. It is looked for
without a lock, then locked by its id, named and committed in one short transaction; a row that another marker holds, or
has named meanwhile, is passed over, so none is ever named twice.

Beside the name, `des_hash`, `des_shard` and `des_status` are written where the table has them, and `des_status`,
`last_error` and `retry_count` for a row that is given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from des_platform.settings import ConfigurationError
from des_platform.sources.databases.dialects import CHUNK, ERROR_CHARS
from des_platform.sources.databases.engine import is_transient, open_engine, schema_of
from des_platform.sources.databases.table import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from des_platform.sources.databases.config import DatabaseSource
    from des_platform.sources.databases.engine import Database

_FURTHER = ("des_hash", "des_shard", "des_status", "last_error", "retry_count")
_HASH_CHARS = 64
_MYSQL_DENIED = frozenset({1044, 1045, 1142, 1143})
MOST_ROWS = CHUNK
"""Most rows in one batch, whatever is configured: their ids stand in one statement."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a row is given: its name, the hash of the name in hex, and the shard that the hash's first byte is."""

    name: str
    hash: str
    shard: int


class RowRefused(Exception):
    """A row cannot be marked; the text says why, `kind` what sort of error it is."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class MarkerTable:
    """The table of one source, as the marker sees it.

    Args:
        database: its engine.
        source: as configured, with a `marker`.
        name_chars: length of the names to write.

    Raises:
        ConfigurationError: the table lacks a column, or one is too short for what it is to hold.
        SourceUnavailable: the server cannot be reached.
    """

    def __init__(self, database: Database, source: DatabaseSource, name_chars: int) -> None:
        self._database = database
        self._source = source
        self._mapped = read_table(database, source)
        self._further = self._read_further()
        self._check(name_chars)

    @classmethod
    def open(cls, source: DatabaseSource, name_chars: int) -> MarkerTable:
        """Connect, and look at the table."""
        database = open_engine(source.connection, source.what)
        try:
            return cls(database, source, name_chars)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def waiting(self, after: object, limit: int) -> list[object]:
        """Ids of rows that wait for a name, in order, none locked.

        Args:
            after: only greater ids; None from the first on.
            limit: most ids.

        Raises:
            SourceUnavailable: the server cannot be reached.
        """
        conditions = self._conditions()
        if after is not None:
            conditions.append(self._mapped.id > after)
        statement = sa.select(self._mapped.id).where(*conditions).order_by(self._mapped.id).limit(limit)
        with self._database.begin() as connection:
            return list(connection.scalars(statement))

    def row_ids(self, ids: Sequence[object]) -> list[str]:
        """Ids as the catalogue keeps them."""
        return [self._mapped.id_text(value) for value in ids]

    def mark(self, ids: Sequence[object], mark_of: Callable[[date], Mark]) -> int:
        """Name those of the rows that still wait and that nobody else holds, in one transaction.

        Returns:
            How many were named.

        Raises:
            RowRefused: a row holds what no name can be made of; none is named.
            sqlalchemy.exc.DBAPIError: a row is refused, or the server is away; none is named.
            ConfigurationError: the server does not understand the statement, or the user may not write.
        """
        try:
            with self._database.engine.begin() as connection:
                rows = connection.execute(self._locking(ids)).all()
                values = [self._values(row.id, row.created_at, mark_of) for row in rows]
                if values:
                    connection.execute(self._update(("des_name", *_FURTHER[:3])), values)
                return len(values)
        except sa.exc.DBAPIError as error:
            if _concerns_all_rows(error):
                raise ConfigurationError(str(self._database.translated(error))) from None
            raise

    def passes(self, error: BaseException) -> bool:
        """Whether the same transaction may succeed a little later."""
        if not isinstance(error, sa.exc.DBAPIError):
            return False
        return is_transient(error, self._database.engine.dialect.name) or not self.is_reachable()

    def refusal(self, error: sa.exc.DBAPIError) -> RowRefused:
        """Why a row was refused, without the values that SQLAlchemy's own text holds."""
        return RowRefused(type(error.orig).__name__, str(self._database.translated(error)))

    def is_reachable(self) -> bool:
        """Whether the server answers."""
        try:
            with self._database.engine.connect() as connection:
                connection.execute(sa.select(self._mapped.id).limit(1))
        except sa.exc.SQLAlchemyError:
            return False
        return True

    def note_failure(self, row_id: object, reason: str, attempts: int) -> None:
        """Tell the row why it was given up, where it has columns for that and takes it."""
        found = {"des_status": "failed", "last_error": reason[:ERROR_CHARS], "retry_count": attempts}
        if not set(found) & set(self._further):
            return
        try:
            with self._database.engine.begin() as connection:
                values = {f"new_{name}": value for name, value in found.items()}
                connection.execute(self._update(tuple(found)), {"row": row_id, **values})
        except sa.exc.SQLAlchemyError:
            return  # what refuses its name may refuse this too; the dead letter tells it all

    def _conditions(self) -> list[sa.ColumnElement[Any]]:
        table, columns = self._source.table, self._mapped.columns
        conditions: list[sa.ColumnElement[Any]] = [
            columns["des_name"].is_(None),
            self._mapped.status == self._mapped.status_value(table.status_pending_value),
        ]
        age = self._source.marker.max_age_days if self._source.marker else None
        if age is not None:
            oldest = datetime.now(UTC) - timedelta(days=age)
            created_at = columns["created_at"]
            zoned = getattr(created_at.type, "timezone", False)
            conditions.append(created_at >= (oldest if zoned else oldest.replace(tzinfo=None)))
        if table.where_clause:
            # The line's end closes a comment that the clause may end with.
            conditions.append(sa.literal_column(f"({table.where_clause}\n)"))
        return conditions

    def _locking(self, ids: Sequence[object]) -> sa.Select[Any]:
        created_at: sa.ColumnElement[Any] = self._mapped.columns.get("created_at", sa.null())
        if self._mapped.kind == "postgres":
            created_at = sa.cast(created_at, sa.Text)  # 'infinity' is more than Python's times can hold
        # In one order by all, or two markers would deadlock where locks cannot be skipped.
        statement = (
            sa.select(self._mapped.id.label("id"), created_at.label("created_at"))
            .where(self._mapped.id.in_(ids), *self._conditions())
            .order_by(self._mapped.id)
        )
        if self._mapped.kind == "mssql":
            return statement.with_hint(self._mapped.table, "WITH (ROWLOCK, UPDLOCK, READPAST)", "mssql")
        return statement.with_for_update(skip_locked=True)

    def _update(self, fields: tuple[str, ...]) -> sa.Update:
        columns = {"des_name": self._mapped.columns["des_name"]} | self._further
        values: dict[Any, Any] = {columns[field]: sa.bindparam(f"new_{field}") for field in fields if field in columns}
        return self._mapped.table.update().where(self._mapped.id == sa.bindparam("row")).values(values)

    def _values(self, row_id: object, created_at: object, mark_of: Callable[[date], Mark]) -> dict[str, object]:
        mark = mark_of(_day(created_at))
        return {
            "row": row_id,
            "new_des_name": mark.name,
            "new_des_hash": mark.hash,
            "new_des_shard": mark.shard,
            "new_des_status": "marked",
        }

    def _read_further(self) -> dict[str, sa.Column[Any]]:
        schema = schema_of(self._source.connection, self._source.table.schema_name, self._source.what)
        with self._database.begin() as connection:
            found = sa.inspect(connection).get_columns(self._source.table.name, schema=schema)
        table = self._mapped.table
        further = {}
        for column in found:
            name = column["name"]
            if name in _FURTHER:
                if name not in table.c:
                    table.append_column(sa.Column(name, column["type"]))
                further[name] = table.c[name]
        return further

    def _check(self, name_chars: int) -> None:
        columns = {"des_name": self._mapped.columns["des_name"]} | self._further
        for name, needed in (("des_name", name_chars), ("des_hash", _HASH_CHARS)):
            length = getattr(columns[name].type, "length", None) if name in columns else None
            if length is not None and length < needed:
                raise ConfigurationError(
                    f"column {columns[name].name} of {self._source.what} holds {length} characters, and the marker "
                    f"writes {needed}: widen it"
                )
        if self._source.marker and self._source.marker.max_age_days and "created_at" not in self._mapped.columns:
            raise ConfigurationError(f"marker.max_age_days of {self._source.what} needs table.columns.created_at")


def _concerns_all_rows(error: sa.exc.DBAPIError) -> bool:
    """Whether the statement itself is refused, or the user who sends it."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:  # PostgreSQL, where what a trigger raises is a "programming error", too
        return str(state).startswith("42")
    number = next(iter(getattr(error.orig, "args", ())), None)
    return isinstance(error, sa.exc.ProgrammingError | sa.exc.NotSupportedError) or number in _MYSQL_DENIED


def _day(created_at: object) -> date:
    """The UTC day that a row's name carries: that of its creation, or today.

    Raises:
        RowRefused: the row holds something else than a time.
    """
    if created_at is None:
        return datetime.now(UTC).date()
    found = created_at
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            raise RowRefused("BadTime", f"created_at is {created_at!r}, expected a time") from None
    if isinstance(found, datetime):
        return found.astimezone(UTC).date() if found.tzinfo else found.date()
    if isinstance(found, date):
        return found
    raise RowRefused("BadTime", f"created_at is {created_at!r}, expected a time")
