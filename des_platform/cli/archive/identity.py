"""What makes an archive the same bytes again: its id and its time, when they are given."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from des_platform.cli.archive.outcome import Unusable

_ID_BITS = 64

ArchiveId = Annotated[
    str | None, typer.Option(metavar="NUMBER", help="64 bits; with --created the same files give the same bytes")
]
Created = Annotated[
    str | None, typer.Option(metavar="TIME", help="ISO 8601, as 2026-03-01T12:00:00Z; else SOURCE_DATE_EPOCH, else now")
]


def identity(archive_id: str | None, created: str | None) -> dict[str, Any]:
    """Return the writer's options.

    Raises:
        Unusable: the number or the time is none.
    """
    return {
        "archive_id": None if archive_id is None else _id(archive_id),
        "created_ms": _created_ms(created, os.environ.get("SOURCE_DATE_EPOCH")),
    }


def _id(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << _ID_BITS:
        raise Unusable(f"--archive-id {text}: expected a number of 64 bits, as 0x1f or 31")
    return number


def _created_ms(text: str | None, epoch: str | None) -> int | None:
    try:
        if text is not None:
            time = datetime.fromisoformat(text)
            return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
        return int(epoch) * 1000 if epoch else None
    except ValueError as error:
        wrong = f"SOURCE_DATE_EPOCH is {epoch!r}" if text is None else f"--created {text}"
        raise Unusable(f"{wrong}: {error}") from error
