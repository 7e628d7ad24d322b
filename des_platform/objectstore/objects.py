"""The values that the object store's verbs exchange with their callers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
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


@dataclass(frozen=True, slots=True)
class Digest:
    """What reading a whole object, or any stream, found.

    Attributes:
        size: bytes.
        sha256: SHA-256 of the bytes, 64 lower-case hexadecimal digits.
        etag: the version that was read, as in `ObjectInfo`; '' for a stream that is no object.
    """

    size: int
    sha256: str
    etag: str = ""


def digest_of(chunks: Iterable[bytes]) -> Digest:
    """Read a stream to its end for its size and SHA-256."""
    found = hashlib.sha256()
    size = 0
    for chunk in chunks:
        found.update(chunk)
        size += len(chunk)
    return Digest(size, found.hexdigest())


def plain_etag(etag: str | None) -> str:
    """An etag without the quotes that HTTP puts around it."""
    return (etag or "").strip('"')


def info_of(meta: ObjectMeta) -> ObjectInfo:
    """The platform's view of what obstore says about an object."""
    return ObjectInfo(meta["path"], meta["size"], plain_etag(meta["e_tag"]), meta["last_modified"])


def file_etag(status: os.stat_result) -> str:
    """A file's etag as object_store's LocalFileSystem forms it: inode, modification time in us and size, in hex."""
    return f"{status.st_ino:x}-{status.st_mtime_ns // 1000:x}-{status.st_size:x}"
