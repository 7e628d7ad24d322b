"""The inbox: every file that was announced or found, once.

Protocol: whoever hears of a file inserts it here (`record`), commits, and only then acknowledges the message. A row is
pending until the raw_files asset of its partition claims it, catalogues the file and settles the row in one
transaction. A claim is a row lock: it ends with the transaction, so a killed process gives its rows back at once, and a
second claimer skips them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import inbox
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date


MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A file as announced.

    Attributes:
        dataset: the dataset that takes it.
        day: its partition's day (UTC).
        bucket: where it is.
        key: its key there.
        etag: the version that was announced.
        claimed_size: bytes; the announcer's word, not yet checked.
        source: what announced it.
        name: the DES name that its source has given it already; the announcer's word, not yet checked.
        meta: what else its source knows of it; goes into the archive with it.
    """

    dataset: str
    day: date
    bucket: str
    key: str
    etag: str
    claimed_size: int | None
    source: str
    name: str | None = field(default=None, kw_only=True)
    meta: Mapping[str, object] | None = field(default=None, kw_only=True, hash=False)


@dataclass(frozen=True, slots=True)
class InboxRow(InboxEntry):
    """An entry with its sequence number."""

    seq: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """Pending rows of one partition."""

    day: date
    files: int
    newest_seq: int


def record(connection: sa.Connection, entries: Sequence[InboxEntry]) -> int:
    """Insert what is new; a file already known is left alone.

    Returns:
        How many of the entries were new.
    """
    if not entries:
        return 0
    columns = ("dataset", "day", "bucket", "key", "etag", "claimed_size", "source")
    # One order for all writers: two that insert the same rows in different orders would deadlock on the unique index.
    rows = [
        {column: getattr(entry, column) for column in columns}
        | {"name": None if entry.name is None else storable(entry.name), "meta": _storable(entry.meta)}
        for entry in sorted(entries, key=lambda entry: (entry.bucket, entry.key, entry.etag))
    ]
    statement = insert(inbox).on_conflict_do_nothing(index_elements=["bucket", "key", "etag"]).returning(inbox.c.seq)
    return len(connection.execute(statement, rows).all())


def _storable(meta: Mapping[str, object] | None) -> dict[str, object] | None:
    if meta is None:
        return None
    return {storable(name): storable(value) if isinstance(value, str) else value for name, value in meta.items()}


def claim(connection: sa.Connection, dataset: str, day: date, *, after: int, limit: int) -> list[InboxRow]:
    """Lock pending rows of one partition until the transaction ends, oldest first; rows that others hold are skipped.

    Args:
        connection: inside the transaction.
        dataset: the partition's dataset.
        day: the partition's day.
        after: sequence number to start behind, so that one run never claims a failed row twice.
        limit: most rows to lock.
    """
    statement = (
        sa.select(
            inbox.c.seq,
            inbox.c.dataset,
            inbox.c.day,
            inbox.c.bucket,
            inbox.c.key,
            inbox.c.etag,
            inbox.c.claimed_size,
            inbox.c.source,
            inbox.c.name,
            inbox.c.meta,
        )
        .where(inbox.c.dataset == dataset, inbox.c.day == day, inbox.c.state == "pending", inbox.c.seq > after)
        .order_by(inbox.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [InboxRow(**row) for row in connection.execute(statement).mappings()]


def settle(connection: sa.Connection, seqs: Sequence[int], state: Literal["done", "dead"]) -> None:
    """Close claimed rows: their files are catalogued, or in the dead letters."""
    connection.execute(inbox.update().where(inbox.c.seq.in_(seqs)).values(state=state))


def more_after(connection: sa.Connection, dataset: str, day: date, seq: int) -> bool:
    """Whether a partition has pending rows after a sequence number."""
    rows = sa.select(inbox.c.seq).where(
        inbox.c.dataset == dataset, inbox.c.day == day, inbox.c.state == "pending", inbox.c.seq > seq
    )
    return connection.scalar(sa.select(sa.exists(rows))) or False


def record_failure(connection: sa.Connection, seq: int) -> bool:
    """Count a failed reading of a claimed row's file.

    Returns:
        Whether it was the last attempt; the row is dead then.
    """
    attempts = inbox.c.attempts + 1
    statement = (
        inbox.update()
        .where(inbox.c.seq == seq)
        .values(attempts=attempts, state=sa.case((attempts >= MAX_ATTEMPTS, "dead"), else_=inbox.c.state))
        .returning(inbox.c.state)
    )
    return connection.scalar(statement) == "dead"


def revive(connection: sa.Connection, seqs: Sequence[int]) -> int:
    """Give rows that are dead another chance; returns how many there were."""
    dead = sa.and_(inbox.c.seq.in_(seqs), inbox.c.state == "dead")
    return connection.execute(inbox.update().where(dead).values(state="pending", attempts=0)).rowcount


def backlog(connection: sa.Connection, dataset: str, limit: int) -> list[Backlog]:
    """The partitions of a dataset that have pending rows, the one that waits longest first."""
    statement = (
        sa.select(inbox.c.day, sa.func.count(), sa.func.max(inbox.c.seq))
        .where(inbox.c.dataset == dataset, inbox.c.state == "pending")
        .group_by(inbox.c.day)
        .order_by(sa.func.min(inbox.c.seq))
        .limit(limit)
    )
    return [Backlog(*row) for row in connection.execute(statement)]


def unknown(connection: sa.Connection, bucket: str, identities: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the `(key, etag)` pairs of a bucket that the inbox does not hold yet."""
    if not identities:
        return set()
    # By key alone, which the unique index answers: pairs in a list took a second per thousand.
    keys = [key for key, _ in identities]
    known = connection.execute(
        sa.select(inbox.c.key, inbox.c.etag).where(inbox.c.bucket == bucket, inbox.c.key.in_(keys))
    )
    return set(identities) - {(key, etag) for key, etag in known}


def seqs(connection: sa.Connection, identities: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
    """The sequence numbers of files by bucket, key and etag; those that the inbox does not hold are left out."""
    wanted = set(identities)
    found: dict[tuple[str, str, str], int] = {}
    for bucket in {bucket for bucket, _, _ in wanted}:
        keys = [key for in_bucket, key, _ in wanted if in_bucket == bucket]
        rows = connection.execute(
            sa.select(inbox.c.key, inbox.c.etag, inbox.c.seq).where(inbox.c.bucket == bucket, inbox.c.key.in_(keys))
        )
        found |= {(bucket, key, etag): seq for key, etag, seq in rows if (bucket, key, etag) in wanted}
    return found


def pending(connection: sa.Connection) -> int:
    """Number of pending rows of everything; costs as much as there are, however many are done."""
    return connection.scalar(sa.select(sa.func.count()).where(inbox.c.state == "pending")) or 0


def tally(connection: sa.Connection, dataset: str | None = None, day: date | None = None) -> dict[str, int]:
    """Number of rows by state, of everything, one dataset, or one partition."""
    statement = sa.select(inbox.c.state, sa.func.count()).group_by(inbox.c.state)
    if dataset is not None:
        statement = statement.where(inbox.c.dataset == dataset)
    if day is not None:
        statement = statement.where(inbox.c.day == day)
    counts = {"pending": 0, "done": 0, "dead": 0}
    counts.update((state, count) for state, count in connection.execute(statement).tuples())
    return counts
