"""Uploads of local files: hashed on the way, compared with what the store says it has, resumed where they broke off.

Invariants: the object is the file as it was when the upload began, or there is no new object; each byte is read once
and hashed once (twice for a read-back); memory holds four parts. On S3 the file goes in parts of 16 MiB, each with its
SHA-256, which the store checks; parts that an interrupted upload left are sent again unless their own checksum is that
of the bytes in the file.

A checksum that the store states counts as proof, and so does a read-back; the size alone does not, and `proof` says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from des_platform.objectstore.errors import IntegrityError
from des_platform.objectstore.keys import check_key
from des_platform.objectstore.objects import plain_etag
from des_platform.objectstore.s3_calls import as_arguments
from des_platform.objectstore.transfers import checksums, parts
from des_platform.objectstore.transfers.checksums import Stated, stated
from des_platform.objectstore.transfers.memory import upload_memory
from des_platform.objectstore.transfers.parts import PartedUpload
from des_platform.objectstore.transfers.progress import logged
from des_platform.objectstore.transfers.source import opened
from des_platform.objectstore.uploads import PutOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from des_platform.objectstore.objects import Progress
    from des_platform.objectstore.s3_calls import S3Calls
    from des_platform.objectstore.store import ObjectStore
    from des_platform.objectstore.transfers.source import LocalSource

Verify = Literal["reply", "read-back"]
Proof = Literal["checksum", "read-back", "size"]


@dataclass(frozen=True, slots=True)
class Upload:
    """What an upload stored.

    Attributes:
        key: the object's key.
        size: bytes.
        etag: as in `ObjectInfo`.
        sha256: SHA-256 of the file, 64 hexadecimal digits; None for one of several parts that was not read back.
        checksum: SHA-256 as S3 states it (`checksums`); '' on `file://`.
        proof: how it is known that the store has these bytes: by the checksum that the store states, by reading them
            back, or, where it states none, by their number alone, which is no proof.
        resumed_bytes: what an interrupted upload had stored already.
    """

    key: str
    size: int
    etag: str
    sha256: str | None
    checksum: str
    proof: Proof
    resumed_bytes: int = 0


def upload(
    store: ObjectStore,
    path: Path,
    key: str,
    *,
    metadata: Mapping[str, str] | None = None,
    verify: Verify = "reply",
    progress: Progress | None = None,
    resume: Path | None = None,
) -> Upload:
    """Store a local file, replacing what the key held.

    Args:
        store: the bucket.
        path: the file.
        key: the object's key.
        metadata: as the attributes of `ObjectStore.put`.
        verify: `reply` believes the checksum that the store states; `read-back` reads the object again.
        progress: called with the bytes that the store has; by default lines of the log tell of them.
        resume: folder that remembers an interrupted upload, whose parts then stay in the store for the next call with
            the same file, key and metadata; without it an upload that fails takes its parts back. S3 only.

    Raises:
        SourceChanged: the file changed meanwhile; no object appeared.
        IntegrityError: the store has other bytes than those sent; they stand under the key.
        AccessDenied: the store knows us too little.
        StoreUnavailable: it refused or did not answer.
        ValueError: metadata that S3 cannot carry; a path that is no regular file.
        OSError: the file cannot be read.
    """
    check_key(key)
    PutOptions(metadata, if_absent=False, if_match=None, progress=None, total=None)  # refuses bad metadata
    told = progress or logged(f"upload of {path.name} to {store.uri(key)}")
    with opened(path) as source:
        told(0, source.size)
        if store.s3 is None:
            sent = _to_folder(store, source, key, metadata, told)
        elif source.size <= parts.PART_BYTES:
            sent = _in_one(store.s3, source, key, metadata or {}, told)
        else:
            with upload_memory(resume, path, store.uri(key)) as memory:
                parted = PartedUpload(
                    store.s3, source, key, metadata or {}, memory, told, whole_hash=verify == "read-back"
                )
                sent = Upload(key, source.size, *parted.send(), "size", parted.resumed_bytes)
    return _proven(store, sent, verify)


def _to_folder(
    store: ObjectStore, source: LocalSource, key: str, metadata: Mapping[str, str] | None, progress: Progress
) -> Upload:
    sink = store.open_sink(key, if_absent=False, attributes=metadata)
    buffer = bytearray(parts.PART_BYTES)
    done = 0
    try:
        while read := source.fill(buffer):
            sink.write([memoryview(buffer)[:read]])
            done += read
            progress(done, source.size)
        source.check()
    except BaseException:
        sink.abort()
        raise
    sink.commit()
    return Upload(key, sink.result.size, sink.result.etag, sink.result.sha256, "", "size")


def _in_one(calls: S3Calls, source: LocalSource, key: str, metadata: Mapping[str, str], progress: Progress) -> Upload:
    buffer = bytearray(source.size + 1)
    del buffer[source.fill(buffer) :]
    source.check()
    digest = hashlib.sha256(buffer)
    named = as_arguments({**metadata, checksums.SHA256_NAME: digest.hexdigest()})
    checksum = stated(digest.digest())
    reply = calls.call(key, "put_object", Body=buffer, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum, **named)
    progress(len(buffer), source.size)
    return Upload(key, len(buffer), plain_etag(reply["ETag"]), digest.hexdigest(), checksum, "size")


def _proven(store: ObjectStore, sent: Upload, verify: Verify) -> Upload:
    """Compare what was sent with what the store has."""
    found = checksums.ask(store, sent.key)
    place = f"bucket {store.bucket!r}, key {sent.key!r}"
    if found.size != sent.size:
        raise IntegrityError(
            f"{place}: {sent.size} bytes were sent, the store has {found.size}: another writer replaced the object, "
            "or the store lost some"
        )
    proof: Proof = "size"
    if _comparable(found, sent):
        if found.checksum != sent.checksum:
            raise IntegrityError(
                f"{place}: the store states a SHA-256 of {found.checksum}, what was sent has {sent.checksum}: "
                "it has other bytes; upload it again"
            )
        proof = "checksum"
    if verify == "read-back":
        digest = store.digest(sent.key, if_match=found.etag or None)
        if digest.sha256 != sent.sha256:
            raise IntegrityError(
                f"{place}: read back, its SHA-256 is {digest.sha256}; the file's is {sent.sha256}: "
                "the store has other bytes; upload it again"
            )
        proof = "read-back"
    return Upload(sent.key, sent.size, found.etag, sent.sha256, sent.checksum, proof, sent.resumed_bytes)


def _comparable(found: Stated, sent: Upload) -> bool:
    """Whether the store states a checksum of the same kind; one that it made of its own parts is another."""
    return (
        bool(sent.checksum and found.checksum) and found.checksum.partition("-")[2] == sent.checksum.partition("-")[2]
    )
