"""One façade over every object store: get, put, ranges, listing, copies, sources and sinks.

`Buckets(settings)` opens buckets, `ObjectStore` is one bucket, `errors` says what can go wrong, `keys` which names
are used.
"""

from __future__ import annotations

from des_platform.objectstore.buckets import Buckets
from des_platform.objectstore.errors import (
    AccessDenied,
    IntegrityError,
    InvalidKey,
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    RangeNotSatisfiable,
    SourceChanged,
    StoreUnavailable,
    UnsupportedByStore,
)
from des_platform.objectstore.keys import check_bucket, check_key
from des_platform.objectstore.objects import Digest, ObjectInfo, Progress, PutResult, digest_of
from des_platform.objectstore.sinks import ObjectSink, SinkResult
from des_platform.objectstore.sources import ObjectSource
from des_platform.objectstore.store import ObjectStore

__all__ = [
    "AccessDenied",
    "Buckets",
    "Digest",
    "IntegrityError",
    "InvalidKey",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectSink",
    "ObjectSource",
    "ObjectStore",
    "ObjectTooLarge",
    "PreconditionFailed",
    "Progress",
    "PutResult",
    "RangeNotSatisfiable",
    "SinkResult",
    "SourceChanged",
    "StoreUnavailable",
    "UnsupportedByStore",
    "check_bucket",
    "check_key",
    "digest_of",
]
