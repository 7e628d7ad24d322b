"""The clean-up of originals: which are to go and when, which were kept back, which are gone.

A row belongs to one file. `planned` ones go when they are due; `withdrawn` and `refused` ones stay until somebody
reinstates them; `removed` is the end. Nothing here deletes an object, and what is planned is only a proposal: whoever
carries it out claims the rows, looks at each file again, and settles the row in the same transaction. A claim locks the
file's row too, so no packer moves a file between its proof and its removal.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.files import FileRow
from des_platform.catalog.tables import cleanups, containers, files
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from des_platform.catalog.dataset import Dataset

State = Literal["planned", "withdrawn", "removed", "refused"]
STATES: tuple[State, ...] = ("planned", "withdrawn", "removed", "refused")
POLICY_IS_KEEP = "the dataset's policy is keep"

_REASON_CHARS = 2000
_COLUMNS = [files.c[column.name] for column in fields(FileRow)]


@dataclass(frozen=True, slots=True)
class Share:
    """The files of one day in one state: how many, their bytes, and when the first and the last of them are due."""

    day: date
    state: State
    files: int
    bytes: int
    first_due: datetime
    last_due: datetime


@dataclass(frozen=True, slots=True)
class Cleanup:
    """One file's clean-up."""

    day: date
    name: str
    bucket: str
    key: str
    size: int
    state: State
    due_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class DueDay:
    """Files of one day whose originals are due: how many, and the last one's id."""

    day: date
    files: int
    newest_file_id: int


@dataclass(frozen=True, slots=True)
class PackedDay:
    """A day with a published archive, and when its newest one was published."""

    day: date
    packed_at: datetime


def plan(connection: sa.Connection, dataset: Dataset, day: date | None, *, own_bucket: str) -> None:
    """Plan the originals of a day, or of all days, that the dataset's policy lets go; `keep` plans none.

    A planned file that was packed anew since, or whose policy has another number of days, gets another due time. What
    was withdrawn, refused or removed stays so.

    Args:
        connection: inside a transaction.
        dataset: whose policy and place (bucket and prefix) hold.
        day: the partition's day; None for all days.
        own_bucket: the platform's own bucket, of which nothing is ever planned.
    """
    days = dataset.originals_after_days
    if days is None:
        return
    # A file's row changes when its copy is written or moves into another archive: then it was proven where it is now.
    due_at = files.c.updated_at + sa.func.make_interval(0, 0, 0, days)
    candidates = (
        sa.select(files.c.file_id, due_at)
        .join(containers, files.c.container_id == containers.c.container_id)
        .where(
            files.c.dataset == dataset.name,
            files.c.state == "packed",
            containers.c.state == "published",
            sa.or_(files.c.codec.is_(None), files.c.object_key.is_not(None)),
            files.c.original_removed_at.is_(None),
            files.c.bucket == dataset.bucket,
            files.c.bucket != own_bucket,
            files.c.key.startswith(dataset.prefix, autoescape=True),
        )
        .order_by(files.c.file_id)
    )
    if day is not None:
        candidates = candidates.where(files.c.day == day)
    statement = insert(cleanups).from_select(["file_id", "due_at"], candidates)
    statement = statement.on_conflict_do_update(
        index_elements=["file_id"],
        set_={"due_at": statement.excluded.due_at},
        where=sa.and_(cleanups.c.state == "planned", cleanups.c.due_at != statement.excluded.due_at),
    )
    connection.execute(statement)


def claim(connection: sa.Connection, dataset: str, day: date, *, large: bool, after: int, limit: int) -> list[FileRow]:
    """Lock files whose originals are due, by file id from `after` on, until the transaction ends.

    Args:
        connection: inside the transaction.
        dataset: the partition's dataset.
        day: the partition's day.
        large: those with an object of their own, or those that live inside an archive.
        after: file id to start behind, so that one run never claims a file twice.
        limit: most files to lock; those that others hold are skipped.
    """
    has_object = files.c.object_key.is_not(None)
    statement = (
        _of(sa.select(*_COLUMNS), dataset, day)
        .where(
            cleanups.c.state == "planned",
            cleanups.c.due_at <= sa.func.now(),
            has_object if large else ~has_object,
            files.c.file_id > after,
        )
        .order_by(files.c.file_id)
        .limit(limit)
        .with_for_update(of=[cleanups, files], skip_locked=True)
    )
    return [FileRow(**row) for row in connection.execute(statement).mappings()]


def mark_removed(connection: sa.Connection, file_ids: Sequence[int]) -> None:
    """Close claimed rows whose originals are gone, and tell their files."""
    values = {"state": "removed", "reason": None, "settled_at": sa.func.now()}
    connection.execute(cleanups.update().where(cleanups.c.file_id.in_(file_ids)).values(values))
    connection.execute(files.update().where(files.c.file_id.in_(file_ids)).values(original_removed_at=sa.func.now()))


def refuse(connection: sa.Connection, file_id: int, reason: str) -> None:
    """Close a claimed row whose original must stay."""
    values = {"state": "refused", "reason": _storable(reason), "settled_at": sa.func.now()}
    connection.execute(cleanups.update().where(cleanups.c.file_id == file_id).values(values))


def note(connection: sa.Connection, file_id: int, reason: str) -> None:
    """Say why a claimed row's original could not be removed this time; it stays planned."""
    connection.execute(cleanups.update().where(cleanups.c.file_id == file_id).values(reason=_storable(reason)))


def withdraw(connection: sa.Connection, dataset: str, day: date | None, reason: str) -> int:
    """Keep what is planned, of a day or of all days, until it is reinstated; returns how many files."""
    values = {"state": "withdrawn", "reason": _storable(reason), "settled_at": sa.func.now()}
    return _change(connection, dataset, day, ("planned",), values)


def reinstate(connection: sa.Connection, dataset: str, day: date | None) -> int:
    """Plan again what was withdrawn or refused, due as it was; returns how many files."""
    values = {"state": "planned", "reason": None, "settled_at": None}
    return _change(connection, dataset, day, ("withdrawn", "refused"), values)


def sharing_their_place(connection: sa.Connection, rows: Sequence[FileRow]) -> set[int]:
    """Ids of those files under whose bucket and key another file's original was catalogued and not removed."""
    other = files.alias("other")
    statement = sa.select(files.c.file_id).where(
        files.c.file_id.in_([row.file_id for row in rows]),
        sa.exists().where(
            other.c.bucket == files.c.bucket,
            other.c.key == files.c.key,
            other.c.file_id != files.c.file_id,
            other.c.original_removed_at.is_(None),
        ),
    )
    return set(connection.scalars(statement))


def due_days(connection: sa.Connection, dataset: str, limit: int) -> list[DueDay]:
    """Days with originals that are due, the longest overdue first."""
    statement = (
        sa.select(files.c.day, sa.func.count(), sa.func.max(files.c.file_id))
        .join_from(cleanups, files, cleanups.c.file_id == files.c.file_id)
        # The words of the partial index, so that it serves.
        .where(cleanups.c.state == sa.literal_column("'planned'"), cleanups.c.due_at <= sa.func.now())
        .where(files.c.dataset == dataset)
        .group_by(files.c.day)
        .order_by(sa.func.min(cleanups.c.due_at), files.c.day)
        .limit(limit)
    )
    return [DueDay(*row) for row in connection.execute(statement)]


def overdue(connection: sa.Connection, dataset: str, day: date, *, hours: int) -> int:
    """Files of a day that are planned and were due some hours ago."""
    due_by = sa.func.now() - sa.func.make_interval(0, 0, 0, 0, hours)
    statement = _of(sa.select(sa.func.count()), dataset, day)
    return connection.scalar(statement.where(cleanups.c.state == "planned", cleanups.c.due_at < due_by)) or 0


def packed_since(connection: sa.Connection, dataset: str, since: datetime | None) -> list[PackedDay]:
    """Days that got an archive since a moment (aware), in that order; all days with an archive without one."""
    packed_at = sa.func.max(containers.c.created_at)
    statement = (
        sa.select(containers.c.day, packed_at)
        .where(containers.c.dataset == dataset, containers.c.state == "published")
        .group_by(containers.c.day)
        .order_by(packed_at, containers.c.day)
    )
    if since is not None:
        statement = statement.where(containers.c.created_at > since)
    return [PackedDay(*row) for row in connection.execute(statement)]


def shares(connection: sa.Connection, dataset: str, day: date | None = None) -> list[Share]:
    """How many files of each day, or of one, are in each state."""
    statement = sa.select(
        files.c.day,
        cleanups.c.state,
        sa.func.count(),
        sa.cast(sa.func.sum(files.c.size), sa.BigInteger),
        sa.func.min(cleanups.c.due_at),
        sa.func.max(cleanups.c.due_at),
    )
    statement = _of(statement, dataset, day).group_by(files.c.day, cleanups.c.state)
    return [Share(*row) for row in connection.execute(statement.order_by(files.c.day, cleanups.c.state))]


def of_day(connection: sa.Connection, dataset: str, day: date, limit: int) -> list[Cleanup]:
    """The clean-ups of one day in order of the files' keys."""
    return _cleanups(connection, dataset, day, limit, sa.true())


def kept_back(connection: sa.Connection, dataset: str, day: date, limit: int) -> list[Cleanup]:
    """Those of a day that something speaks against: refused, withdrawn, or not let go by the store."""
    return _cleanups(connection, dataset, day, limit, cleanups.c.reason.is_not(None))


def _cleanups(
    connection: sa.Connection, dataset: str, day: date, limit: int, condition: sa.ColumnElement[bool]
) -> list[Cleanup]:
    columns = [
        (cleanups if column.name in ("state", "due_at", "reason") else files).c[column.name]
        for column in fields(Cleanup)
    ]
    statement = _of(sa.select(*columns), dataset, day).where(condition)
    statement = statement.order_by(files.c.key, files.c.file_id).limit(limit)
    return [Cleanup(**row) for row in connection.execute(statement).mappings()]


def _of(statement: sa.Select[Any], dataset: str, day: date | None) -> sa.Select[Any]:
    statement = statement.join_from(cleanups, files, cleanups.c.file_id == files.c.file_id)
    statement = statement.where(files.c.dataset == dataset)
    return statement if day is None else statement.where(files.c.day == day)


def _change(
    connection: sa.Connection, dataset: str, day: date | None, states: Sequence[State], values: dict[str, Any]
) -> int:
    chosen = sa.select(files.c.file_id).where(files.c.dataset == dataset)
    if day is not None:
        chosen = chosen.where(files.c.day == day)
    statement = cleanups.update().where(cleanups.c.file_id.in_(chosen), cleanups.c.state.in_(states)).values(values)
    return connection.execute(statement).rowcount


def _storable(reason: str) -> str:
    return storable(reason[:_REASON_CHARS])
