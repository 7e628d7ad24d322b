"""The original itself: looked at, deleted, looked at again.

How it fails: an object that is not the one that was catalogued is never deleted. What the store refuses, or does not
answer, is reported and leaves the original where it is. In a versioned bucket a deletion writes a delete marker: the
version stays until the bucket's own lifecycle ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from des_platform.objectstore import (
    InvalidKey,
    ObjectNotFound,
    PreconditionFailed,
    StoreUnavailable,
    UnsupportedByStore,
)

if TYPE_CHECKING:
    from des_platform.catalog.files import FileRow
    from des_platform.objectstore import Buckets, ObjectStore


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one original.

    Attributes:
        file: the file.
        state: `removed`, `refused` for good, or still `planned`.
        reason: why it was not removed.
        unavailable: what the store said, where it is still planned.
        damaged: its copy does not give the file back.
    """

    file: FileRow
    state: Literal["removed", "refused", "planned"]
    reason: str = ""
    unavailable: StoreUnavailable | None = None
    damaged: bool = False


def remove_original(buckets: Buckets, file: FileRow) -> Fate:
    """Delete one original whose copy was proven just now.

    Args:
        buckets: where the original is.
        file: the file as catalogued.
    """
    try:
        return _delete(buckets.bucket(file.bucket), file)
    except ObjectNotFound:
        return _gone(buckets, file)
    except PreconditionFailed as error:
        return Fate(file, "refused", f"another object stands in its place: {error}")
    except (InvalidKey, UnsupportedByStore) as error:
        return Fate(file, "refused", str(error))
    except StoreUnavailable as error:
        return Fate(file, "planned", str(error), unavailable=error)


def _delete(store: ObjectStore, file: FileRow) -> Fate:
    denied = None
    try:
        store.delete(file.key, if_match=file.etag)
    except StoreUnavailable as error:
        denied = error  # or it was done, and only the answer was lost
    left = store.head(file.key)
    if denied is not None:
        return Fate(file, "planned", f"the store does not let it go: {denied}", unavailable=denied)
    if left.etag != file.etag:
        return Fate(file, "removed")  # and a new object arrived at once: another file
    return Fate(file, "refused", "the store says that it deleted the original, and still has it")


def _gone(buckets: Buckets, file: FileRow) -> Fate:
    """Deleted now, by a run that was killed, or by somebody else; a missing bucket says nothing of its objects."""
    try:
        next(buckets.bucket(file.bucket).list(file.key), None)
    except StoreUnavailable as error:
        return Fate(file, "planned", str(error), unavailable=error)
    return Fate(file, "removed")
