"""One façade over every object store: get, put, ranges, listing, copies.

`Buckets(settings)` opens buckets, `ObjectStore` is one bucket, `errors` says what can go wrong, `keys` which names
are used.
"""

from __future__ import annotations

from des_platform.objectstore.buckets import Buckets
from des_platform.objectstore.errors import (
    IntegrityError,
    InvalidKey,
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    RangeNotSatisfiable,
    StoreUnavailable,
    UnsupportedByStore,
)
from des_platform.objectstore.keys import check_bucket, check_key
from des_platform.objectstore.objects import ObjectInfo, Progress, PutResult
from des_platform.objectstore.store import ObjectSource, ObjectStore

__all__ = [
    "Buckets",
    "IntegrityError",
    "InvalidKey",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectSource",
    "ObjectStore",
    "ObjectTooLarge",
    "PreconditionFailed",
    "Progress",
    "PutResult",
    "RangeNotSatisfiable",
    "StoreUnavailable",
    "UnsupportedByStore",
    "check_bucket",
    "check_key",
]
