"""The dead letters: what could not be processed, kept with its body and the reason, counted and shown.

The same failure of the same thing is one letter whose `attempts` grow, so a redelivered message or a retried run adds
no noise.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import dead_letters
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_BODY_LIMIT = 1 << 20  # SQS's own limit: a message is kept whole


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Something that could not be processed.

    Attributes:
        stage: what gave it up.
        subject: how a person would call it.
        reason: why it could not be processed.
        body: what there was to process, where that was a message or a row.
        dataset: the dataset that it belongs to, where that is known.
        seq: the inbox row that it is about.
        origin: name of the configured source that it came from.
        reference: its identifier in that source.
    """

    stage: str
    subject: str
    reason: str
    body: str | None = None
    dataset: str | None = None
    seq: int | None = None
    origin: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterRow(DeadLetter):
    """A dead letter as kept."""

    dead_letter_id: int = 0
    attempts: int = 1
    last_seen_at: datetime | None = None


_COLUMNS = [dead_letters.c[field.name] for field in fields(DeadLetterRow)]


def add(connection: sa.Connection, *letters: DeadLetter) -> None:
    """Keep dead letters, or count one more attempt of each that is known."""
    # One order for all writers: two that meet the same letters in different orders would deadlock on their rows.
    for row in sorted(map(_row, letters), key=lambda row: str(row["fingerprint"])):
        statement = insert(dead_letters).values(**row)
        statement = statement.on_conflict_do_update(
            index_elements=["fingerprint"],
            set_={"attempts": dead_letters.c.attempts + 1, "last_seen_at": sa.func.now()},
        )
        connection.execute(statement)


def _row(letter: DeadLetter) -> dict[str, str | int | None]:
    body = None if letter.body is None else storable(letter.body[:_BODY_LIMIT])
    identity = "\0".join([letter.stage, letter.dataset or "", letter.subject, letter.reason, body or ""])
    return {
        "stage": letter.stage,
        "dataset": letter.dataset,
        "subject": storable(letter.subject),
        "reason": storable(letter.reason[:4000]),
        "body": body,
        "seq": letter.seq,
        "origin": letter.origin,
        "reference": None if letter.reference is None else storable(letter.reference),
        "fingerprint": hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest(),
    }


def newest(
    connection: sa.Connection, limit: int = 50, *, dataset: str | None = None, stage: str | None = None
) -> list[DeadLetterRow]:
    """The dead letters seen last, of everything or of one dataset or stage."""
    statement = _filtered(sa.select(*_COLUMNS), dataset, stage)
    statement = statement.order_by(dead_letters.c.last_seen_at.desc(), dead_letters.c.dead_letter_id.desc())
    return [DeadLetterRow(**row) for row in connection.execute(statement.limit(limit)).mappings()]


def by_ids(connection: sa.Connection, ids: Sequence[int]) -> list[DeadLetterRow]:
    """Dead letters by their numbers; unknown numbers are left out."""
    statement = sa.select(*_COLUMNS).where(dead_letters.c.dead_letter_id.in_(ids))
    rows = connection.execute(statement.order_by(dead_letters.c.dead_letter_id)).mappings()
    return [DeadLetterRow(**row) for row in rows]


def drop(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Forget dead letters; returns how many there were."""
    return connection.execute(dead_letters.delete().where(dead_letters.c.dead_letter_id.in_(ids))).rowcount


def count(connection: sa.Connection, *, dataset: str | None = None, stage: str | None = None) -> int:
    """How many dead letters there are."""
    statement = sa.select(sa.func.count()).select_from(dead_letters)
    return connection.scalar(_filtered(statement, dataset, stage)) or 0


def _filtered(statement: sa.Select[Any], dataset: str | None, stage: str | None) -> sa.Select[Any]:
    if dataset is not None:
        statement = statement.where(dead_letters.c.dataset == dataset)
    return statement if stage is None else statement.where(dead_letters.c.stage == stage)
