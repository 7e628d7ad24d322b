"""The values that the object store's verbs exchange with their callers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from obstore import ObjectMeta


class Progress(Protocol):
    """Called at chunk boundaries with the bytes done so far and the bytes in all, or None where that is not known."""

    def __call__(self, done_bytes: int, total_bytes: int | None, /) -> None: ...  # noqa: D102 - the class says it


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as the store describes it.

    Attributes:
        key: its key, exactly as the store has it.
        size: bytes.
        etag: the version's identifier without quotes, the same from put, head, get and list; '' where a store gives
            none.
        last_modified: time of the last write, with its time zone; S3 rounds it to seconds.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a put stored.

    Attributes:
        key: the object's key.
        size: bytes.
        etag: as in `ObjectInfo`.
        sha256: SHA-256 of the bytes, 64 lower-case hexadecimal digits, computed on their way to the store.
    """

    key: str
    size: int
    etag: str
    sha256: str


def plain_etag(etag: str | None) -> str:
    """An etag without the quotes that HTTP puts around it."""
    return (etag or "").strip('"')


def info_of(meta: ObjectMeta) -> ObjectInfo:
    """The platform's view of what obstore says about an object."""
    return ObjectInfo(meta["path"], meta["size"], plain_etag(meta["e_tag"]), meta["last_modified"])
