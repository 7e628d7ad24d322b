"""What a day's compression report reads, summed by PostgreSQL: a day of a million files costs a few hundred rows here.

Everything is read in one transaction that sees one state of the catalogue (`snapshot`), so the numbers of a page agree
with each other, and the same catalogue gives the same numbers: times are summed as whole microseconds, since a sum of
floats depends on its order.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa

from des_platform.catalog.tables import containers, files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    from des_platform.catalog.database import Catalog

Fate = Literal["compressed", "kept", "packed", "waiting", "failed"]
"""What became of a file: an object of its own, left as it was, a member of an archive, nothing yet, given up."""

FATES: tuple[Fate, ...] = get_args(Fate)


@dataclass(frozen=True, slots=True)
class Group:
    """The files of one fate and codec.

    Attributes:
        fate: what became of them.
        codec: their codec; None where they have no object of their own.
        codec_level: its level.
        files: how many.
        bytes_in: of the originals.
        bytes_out: of what stands for them now; of the originals where nothing does, members of archives among them.
        timed_bytes: of those originals whose times are known.
        compress_seconds: wall time of them all, one after the other; None where no time is known.
        compress_cpu_seconds: CPU time of the same.
        prove_seconds: wall time of reading them back and comparing.
        removed_files: originals that were removed after the proof.
        removed_bytes: of the same.
    """

    fate: Fate
    codec: str | None
    codec_level: int | None
    files: int
    bytes_in: int
    bytes_out: int
    timed_bytes: int
    compress_seconds: float | None
    compress_cpu_seconds: float | None
    prove_seconds: float | None
    removed_files: int
    removed_bytes: int


@dataclass(frozen=True, slots=True)
class Archives:
    """The day's published archives: how many, and their bytes."""

    number: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """One file as the report lists it; sizes in bytes, times in seconds and None where they are not known."""

    name: str
    bucket: str
    key: str
    fate: Fate
    codec: str | None
    codec_level: int | None
    codec_reason: str | None
    size: int
    stored_size: int | None
    compress_seconds: float | None
    compress_cpu_seconds: float | None
    prove_seconds: float | None
    attempts: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class DayTotal:
    """One day of a dataset: its files, their bytes, and the bytes of the objects that stand for them now."""

    day: date
    files: int
    bytes_in: int
    bytes_out: int


_FATE = sa.case(
    (files.c.state == "failed", "failed"),
    (files.c.object_key.is_not(None), "compressed"),
    (files.c.codec.is_not(None), "kept"),
    (files.c.state == "packed", "packed"),
    else_="waiting",
)
_STORED = sa.func.coalesce(files.c.stored_size, files.c.size)
_COLUMNS = [_FATE if name == "fate" else files.c[name] for name in ReportedFile.__dataclass_fields__]


@contextmanager
def snapshot(catalog: Catalog) -> Iterator[sa.Connection]:
    """A connection that only reads, and sees the catalogue as it is now until the end of `with`."""
    with catalog.engine.connect() as connection:
        reading = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with reading.begin():
            yield reading


def groups(connection: sa.Connection, dataset: str, day: date) -> list[Group]:
    """The day's files by fate and codec."""
    timed = files.c.compress_seconds.is_not(None)
    removed = files.c.original_removed_at.is_not(None)
    statement = sa.select(
        _FATE,
        files.c.codec,
        files.c.codec_level,
        sa.func.count(),
        _total(files.c.size),
        _total(_STORED),
        _total(files.c.size, timed),
        _seconds(files.c.compress_seconds),
        _seconds(files.c.compress_cpu_seconds),
        _seconds(files.c.prove_seconds),
        sa.func.count().filter(removed),
        _total(files.c.size, removed),
    )
    # By position: spelled out again, the CASE would have other parameters and be another expression to PostgreSQL.
    keys: list[sa.ColumnClause[Any]] = [sa.literal_column(position) for position in ("1", "2", "3")]
    statement = statement.where(_of(dataset, day)).group_by(*keys).order_by(*keys)
    return [Group(*row) for row in connection.execute(statement)]


def last_change(connection: sa.Connection, dataset: str, day: date) -> datetime | None:
    """When one of the day's files or archives last changed; None where there are none."""
    changes = sa.union_all(
        sa.select(sa.func.max(files.c.updated_at).label("at")).where(_of(dataset, day)),
        sa.select(sa.func.max(containers.c.created_at)).where(_published(dataset), containers.c.day == day),
    ).subquery()
    found: datetime | None = connection.scalar(sa.select(sa.func.max(changes.c.at)))
    return found


def archives(connection: sa.Connection, dataset: str, day: date) -> Archives:
    """The day's published archives."""
    statement = sa.select(sa.func.count(), _total(containers.c.size))
    return Archives(*connection.execute(statement.where(_published(dataset), containers.c.day == day)).one())


def largest(connection: sa.Connection, dataset: str, day: date, limit: int) -> list[ReportedFile]:
    """The day's files, the largest first."""
    order = (files.c.size.desc(), files.c.name)
    return _files(connection, sa.select(*_COLUMNS).where(_of(dataset, day)).order_by(*order).limit(limit))


def in_trouble(connection: sa.Connection, dataset: str, day: date, limit: int) -> list[ReportedFile]:
    """The day's files that were given up, and then those that failed and will be tried again; by name."""
    order = (files.c.state != "failed", files.c.name)
    statement = sa.select(*_COLUMNS).where(_of(dataset, day), files.c.last_error.is_not(None))
    return _files(connection, statement.order_by(*order).limit(limit))


def sizes_before(connection: sa.Connection, dataset: str, day: date, edges: Sequence[int]) -> list[int]:
    """Files by size: how many are below the first edge (bytes), between two, and from the last one on."""
    return _histogram(connection, sa.select(files.c.size).where(_of(dataset, day)), edges)


def sizes_after(connection: sa.Connection, dataset: str, day: date, edges: Sequence[int]) -> list[int]:
    """Objects by size, as `sizes_before`: those of the large files, the archives, and files that nothing replaced."""
    own = sa.select(_STORED).where(_of(dataset, day), _FATE != "packed")
    packed = sa.select(containers.c.size).where(_published(dataset), containers.c.day == day)
    return _histogram(connection, sa.union_all(own, packed), edges)


def ratios(connection: sa.Connection, dataset: str, day: date, edges: Sequence[float]) -> list[int]:
    """Compressed files by original size over compressed size, as `sizes_before`."""
    ratio = sa.cast(files.c.size, sa.Double) / sa.func.nullif(files.c.stored_size, 0)
    return _histogram(connection, sa.select(ratio).where(_of(dataset, day), _FATE == "compressed"), edges)


def trend(connection: sa.Connection, dataset: str, first: date, last: date) -> list[DayTotal]:
    """The dataset's days from `first` to `last` that have files, the oldest first."""
    per_day = (
        sa.select(
            files.c.day,
            sa.func.count().label("files"),
            _total(files.c.size).label("bytes_in"),
            _total(_STORED, _FATE != "packed").label("bytes_out"),
        )
        .where(files.c.dataset == dataset, files.c.day.between(first, last))
        .group_by(files.c.day)
        .subquery()
    )
    packed = (
        sa.select(containers.c.day, _total(containers.c.size).label("bytes"))
        .where(_published(dataset), containers.c.day.between(first, last))
        .group_by(containers.c.day)
        .subquery()
    )
    statement = (
        sa.select(
            per_day.c.day,
            per_day.c.files,
            per_day.c.bytes_in,
            per_day.c.bytes_out + sa.func.coalesce(packed.c.bytes, 0),
        )
        .select_from(per_day.outerjoin(packed, per_day.c.day == packed.c.day))
        .order_by(per_day.c.day)
    )
    return [DayTotal(*row) for row in connection.execute(statement)]


def _of(dataset: str, day: date) -> sa.ColumnElement[bool]:
    return sa.and_(files.c.dataset == dataset, files.c.day == day)


def _published(dataset: str) -> sa.ColumnElement[bool]:
    return sa.and_(containers.c.dataset == dataset, containers.c.state == "published")


def _total(column: sa.ColumnElement[Any], condition: sa.ColumnElement[bool] | None = None) -> sa.ColumnElement[int]:
    total = sa.func.sum(column)
    chosen = total if condition is None else total.filter(condition)
    return sa.cast(sa.func.coalesce(chosen, 0), sa.BigInteger)


def _seconds(column: sa.ColumnElement[float]) -> sa.ColumnElement[Any]:
    microseconds = sa.cast(column * 1_000_000, sa.BigInteger)
    return sa.cast(sa.func.sum(microseconds), sa.Double) / 1_000_000


def _files(connection: sa.Connection, statement: sa.Select[Any]) -> list[ReportedFile]:
    return [ReportedFile(*row) for row in connection.execute(statement)]


def _histogram(connection: sa.Connection, values: sa.SelectBase, edges: Sequence[float]) -> list[int]:
    value = values.subquery().c[0]
    bounds = sa.cast([float(edge) for edge in edges], sa.ARRAY(sa.Double))
    number = sa.func.width_bucket(sa.cast(value, sa.Double), bounds)
    counted = connection.execute(sa.select(number, sa.func.count()).group_by(sa.literal_column("1")))
    found = {row[0]: row[1] for row in counted}
    return [found.get(number, 0) for number in range(len(edges) + 1)]
