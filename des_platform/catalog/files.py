"""The files: what each one is, where its bytes live now, and how far it has come.

A file's state only moves forward: `catalogued` (its checksum and name are known), `ready` (a large one is compressed
and proven, a small one waits for its shard), `packed` (its name stands in a published container); or `failed`, with a
dead letter, after `MAX_ATTEMPTS` errors. `object_key` is the platform's own copy; where it is empty, the original in
its source bucket is the only one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from des_platform.catalog.tables import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to catalogue: read once, so size (bytes) and SHA-256 (hex) are facts; `meta` is its source's word."""

    seq: int
    dataset: str
    day: date
    bucket: str
    key: str
    etag: str
    size: int
    sha256: str
    name: str
    shard: int
    meta: Mapping[str, object] | None = field(default=None, kw_only=True, hash=False)


@dataclass(frozen=True, slots=True)
class Copy:
    """The platform's proven copy of a large file.

    Attributes:
        object_key: key of the object; None for a file that did not shrink and stays as it is.
        stored_size: bytes of the object, else of the original.
        codec: name of the codec.
        codec_level: its level.
        codec_reason: why it was chosen.
        indexed: whether an index stands beside the object, under `index_key`.
        compress_seconds: time to read, compress and write.
        compress_cpu_seconds: CPU time of the compressing threads, reading and writing left out.
        prove_seconds: time to read back, decompress and compare.
    """

    object_key: str | None
    stored_size: int
    codec: str
    codec_level: int
    codec_reason: str
    indexed: bool
    compress_seconds: float
    compress_cpu_seconds: float
    prove_seconds: float


def index_key(object_key: str) -> str:
    """Key of the index that stands beside a compressed object."""
    return f"{object_key}.index"


@dataclass(frozen=True, slots=True)
class FileRow(NewFile):
    """A catalogued file; the seconds are those of its `Copy`."""

    file_id: int
    state: str
    codec: str | None
    object_key: str | None
    stored_size: int | None
    container_id: int | None
    attempts: int
    last_error: str | None
    codec_level: int | None
    compress_seconds: float | None
    compress_cpu_seconds: float | None
    prove_seconds: float | None
    indexed: bool

    @property
    def subject(self) -> str:
        """How errors and dead letters name the file."""
        return f"{self.bucket}/{self.key} ({self.name})"


@dataclass(frozen=True, slots=True)
class WaitingDay:
    """Files of one day that wait for the next stage: since when the first waits, and since when no other has come."""

    day: date
    files: int
    newest_file_id: int
    waited_seconds: float
    quiet_seconds: float


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of a set of files: counts, and sizes in bytes."""

    files: int
    bytes: int
    large: int
    compressed: int
    compressed_bytes_in: int
    compressed_bytes_out: int
    catalogued: int
    ready: int
    packed: int
    failed: int


_COLUMNS = [files.c[column.name] for column in fields(FileRow)]


def _rows(connection: sa.Connection, statement: sa.Select[Any]) -> list[FileRow]:
    return [FileRow(**row) for row in connection.execute(statement).mappings()]


def insert_new(connection: sa.Connection, new: Sequence[NewFile]) -> None:
    """Catalogue files; their inbox rows are locked by this transaction, so nobody else does."""
    if new:
        connection.execute(
            files.insert(), [{column.name: getattr(row, column.name) for column in fields(NewFile)} for row in new]
        )


def lock_names(connection: sa.Connection) -> None:
    """Let one transaction at a time use names that it has not minted; the next one sees what this one commits."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("names", 0))))


def names_in_use(connection: sa.Connection, names: Sequence[str]) -> set[str]:
    """Those of the names that files bear already."""
    return set(connection.scalars(sa.select(files.c.name).where(files.c.name.in_(names)))) if names else set()


def by_name(connection: sa.Connection, name: str) -> FileRow | None:
    """The file that bears a DES name."""
    return next(iter(_rows(connection, sa.select(*_COLUMNS).where(files.c.name == name))), None)


def by_key(connection: sa.Connection, bucket: str, key: str) -> FileRow | None:
    """The newest version of the file that arrived under a key."""
    statement = (
        sa.select(*_COLUMNS)
        .where(files.c.bucket == bucket, files.c.key == key)
        .order_by(files.c.file_id.desc())
        .limit(1)
    )
    return next(iter(_rows(connection, statement)), None)


def by_keys(connection: sa.Connection, bucket: str, keys: Sequence[str]) -> dict[str, FileRow]:
    """The newest version of each file that arrived under one of the keys, by key."""
    statement = sa.select(*_COLUMNS).where(files.c.bucket == bucket, files.c.key.in_(keys)).order_by(files.c.file_id)
    return {row.key: row for row in _rows(connection, statement)}


def recorded_twice(connection: sa.Connection) -> int:
    """Files catalogued more than once with the same content under the same key; 0 unless something is wrong."""
    same = sa.select((sa.func.count(files.c.file_id) - 1).label("surplus"))
    surplus = same.group_by(files.c.bucket, files.c.key, files.c.sha256).subquery().c.surplus
    return connection.scalar(sa.select(sa.cast(sa.func.sum(surplus), sa.BigInteger))) or 0


def of_day(connection: sa.Connection, dataset: str, day: date, *, batch: int = 1000) -> Iterator[list[FileRow]]:
    """All files of a partition in order of their names, a batch at a time, so that a day of any size fits in memory."""
    after = ""
    while True:
        statement = (
            sa.select(*_COLUMNS)
            .where(files.c.dataset == dataset, files.c.day == day, files.c.name > after)
            .order_by(files.c.name)
            .limit(batch)
        )
        found = _rows(connection, statement)
        if not found:
            return
        yield found
        after = found[-1].name


def claim_large(
    connection: sa.Connection, dataset: str, day: date, *, larger_than: int, after: int, limit: int
) -> list[FileRow]:
    """Lock catalogued files above a size (bytes), by file id from `after` on, until the transaction ends."""
    statement = (
        sa.select(*_COLUMNS)
        .where(
            files.c.dataset == dataset,
            files.c.day == day,
            files.c.state == "catalogued",
            files.c.size > larger_than,
            files.c.file_id > after,
        )
        .order_by(files.c.file_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _rows(connection, statement)


def leave_small_to_shards(connection: sa.Connection, dataset: str, day: date, *, up_to: int) -> int:
    """Mark the catalogued files of up to a size (bytes) as ready for their shards; returns how many."""
    statement = (
        files.update()
        .where(files.c.dataset == dataset, files.c.day == day, files.c.state == "catalogued", files.c.size <= up_to)
        .values(state="ready", updated_at=sa.func.now())
    )
    return connection.execute(statement).rowcount


def mark_ready(connection: sa.Connection, file_id: int, copy: Copy) -> None:
    """Record where a large file's proven copy lives."""
    facts = {column.name: getattr(copy, column.name) for column in fields(Copy)}
    values = facts | {"state": "ready", "last_error": None, "updated_at": sa.func.now()}
    connection.execute(files.update().where(files.c.file_id == file_id).values(values))


def revive(connection: sa.Connection, seqs: Sequence[int]) -> int:
    """Give files that had failed another chance, by their inbox rows; returns how many there were."""
    failed = sa.and_(files.c.seq.in_(seqs), files.c.state == "failed")
    values = {"state": "catalogued", "attempts": 0, "last_error": None, "updated_at": sa.func.now()}
    return connection.execute(files.update().where(failed).values(values)).rowcount


def record_failure(connection: sa.Connection, file_id: int, error: str) -> bool:
    """Count an error against a file.

    Returns:
        Whether the file has failed for good (`MAX_ATTEMPTS` errors).
    """
    attempts = files.c.attempts + 1
    statement = (
        files.update()
        .where(files.c.file_id == file_id)
        .values(
            attempts=attempts,
            last_error=error[:2000],
            state=sa.case((attempts >= MAX_ATTEMPTS, "failed"), else_=files.c.state),
            updated_at=sa.func.now(),
        )
        .returning(files.c.state)
    )
    return connection.scalar(statement) == "failed"


def waiting_days(connection: sa.Connection, dataset: str, state: str, limit: int) -> list[WaitingDay]:
    """Days with files in a state that is not the last one, the one that waits longest first.

    `ready` files wait for their shards; `catalogued` ones for a compressed_objects run, since theirs died after
    raw_files.
    """
    waited = sa.func.extract("epoch", sa.func.now() - sa.func.min(files.c.updated_at))
    quiet = sa.func.extract("epoch", sa.func.now() - sa.func.max(files.c.updated_at))
    statement = (
        sa.select(
            files.c.day,
            sa.func.count(),
            sa.func.max(files.c.file_id),
            sa.cast(waited, sa.Float),
            sa.cast(quiet, sa.Float),
        )
        .where(files.c.dataset == dataset, files.c.state == state)
        .group_by(files.c.day)
        .order_by(sa.func.min(files.c.file_id))
        .limit(limit)
    )
    return [WaitingDay(*row) for row in connection.execute(statement)]


def of_shard(connection: sa.Connection, dataset: str, day: date, shard: int) -> list[FileRow]:
    """The files that belong into one archive, ready or packed, in order of their names."""
    statement = (
        sa.select(*_COLUMNS)
        .where(
            files.c.dataset == dataset,
            files.c.day == day,
            files.c.shard == shard,
            files.c.state.in_(["ready", "packed"]),
        )
        .order_by(files.c.name)
    )
    return _rows(connection, statement)


def mark_packed(
    connection: sa.Connection, dataset: str, day: date, shard: int, names: Sequence[str], container_id: int
) -> None:
    """Point the files of one archive at its container."""
    for start in range(0, len(names), 5000):
        connection.execute(
            files.update()
            .where(
                files.c.dataset == dataset,
                files.c.day == day,
                files.c.shard == shard,
                files.c.name.in_(names[start : start + 5000]),
            )
            .values(state="packed", container_id=container_id, last_error=None, updated_at=sa.func.now())
        )


def totals(connection: sa.Connection, dataset: str | None = None, day: date | None = None) -> Totals:
    """Counts and sizes of everything, one dataset, or one partition."""

    def count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.count().filter(condition)

    def total(column: sa.ColumnElement[Any], condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.cast(sa.func.coalesce(sa.func.sum(column).filter(condition), 0), sa.BigInteger)

    compressed = files.c.object_key.is_not(None)
    statement = sa.select(
        sa.func.count(),
        total(files.c.size, sa.true()),
        count(files.c.codec.is_not(None)),
        count(compressed),
        total(files.c.size, compressed),
        total(files.c.stored_size, compressed),
        *(count(files.c.state == state) for state in ("catalogued", "ready", "packed", "failed")),
    )
    if dataset is not None:
        statement = statement.where(files.c.dataset == dataset)
    if day is not None:
        statement = statement.where(files.c.day == day)
    return Totals(*connection.execute(statement).one())


def codec_choices(connection: sa.Connection, dataset: str, day: date) -> list[tuple[str, int, int, int, str]]:
    """What large files were compressed with: codec and level, files, bytes in, bytes out, one choice's reason."""
    name = sa.func.concat_ws("-", files.c.codec, sa.func.nullif(files.c.codec_level, 0))
    statement = (
        sa.select(
            name,
            sa.func.count(),
            sa.cast(sa.func.sum(files.c.size), sa.BigInteger),
            sa.cast(sa.func.sum(files.c.stored_size), sa.BigInteger),
            sa.func.min(files.c.codec_reason),
        )
        .where(files.c.dataset == dataset, files.c.day == day, files.c.codec.is_not(None))
        .group_by(name)
        .order_by(name)
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in connection.execute(statement)]
