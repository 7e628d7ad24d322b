"""How bytes get into a bucket: one request for a small body, parts for a large one, SHA-256 on the way.

Invariants: a reader sees the whole object or none; memory holds a few parts however long the data is; an exception from
the data aborts the upload and leaves no object. The iterable is consumed here, in Python, and not handed to
`obstore.put`: that one drives it from inside its own runtime, where the usual iterable, another object's `stream`,
panics.
"""

from __future__ import annotations

import hashlib
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore

from des_platform.objectstore.errors import (
    IntegrityError,
    ObjectNotFound,
    PreconditionFailed,
    UnsupportedByStore,
    translated,
)
from des_platform.objectstore.objects import PutResult, info_of, plain_etag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from obstore import PutMode, WritableFile
    from obstore.store import LocalStore, S3Store

    from des_platform.objectstore.objects import Progress

# S3 takes 10,000 parts: objects up to 78 GiB. Eight uploads at once hold at most 320 MiB.
PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 4
# On `file://`, beside the buckets. A bucket's name never starts with a dot, so this folder is in no listing.
STAGING_FOLDER = ".uploads"
_ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ATTRIBUTE_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class PutOptions:
    """What a put may ask for; `ObjectStore.put` documents each."""

    attributes: Mapping[str, str] | None
    if_absent: bool
    if_match: str | None
    progress: Progress | None
    total: int | None

    def __post_init__(self) -> None:
        if self.if_absent and self.if_match is not None:
            raise ValueError("a put is either if_absent or if_match, not both")
        for name, value in (self.attributes or {}).items():
            # obstore panics on a line break in a value, and an object stored with a non-ASCII one cannot be read again.
            if not _ATTRIBUTE_NAME.fullmatch(name) or not _ATTRIBUTE_VALUE.fullmatch(value):
                raise ValueError(
                    f"attribute {name!r}: {value!r} is refused: names are A-Z a-z 0-9 '-' '_', values printable ASCII"
                )

    @property
    def mode(self) -> PutMode:
        """The condition as obstore takes it."""
        if self.if_match is not None:
            return {"e_tag": f'"{self.if_match}"'}
        return "create" if self.if_absent else "overwrite"


class _Meter:
    """Counts and hashes what passes, and reports it."""

    def __init__(self, options: PutOptions) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._options = options

    def take(self, data: memoryview) -> None:
        self._sha256.update(data)
        self.size += len(data)

    def report(self) -> None:
        if self._options.progress:
            self._options.progress(self.size, self._options.total)

    def result(self, key: str, etag: str) -> PutResult:
        return PutResult(key, self.size, etag, self._sha256.hexdigest())


class Uploader:
    """Puts objects into one bucket.

    Args:
        bucket: the bucket's name.
        client: obstore's client of the bucket.
        staging: on `file://`, a client of the folder that holds the buckets: a conditional upload in parts is written
            beside them and then linked to its name, which fails if the name is taken. None on S3.
    """

    def __init__(self, bucket: str, client: S3Store | LocalStore, staging: LocalStore | None) -> None:
        self._bucket = bucket
        self._client = client
        self._staging = staging

    def put_bytes(self, key: str, data: memoryview, options: PutOptions) -> PutResult:
        """Put what is in memory already.

        A condition makes it one request, of at most 5 GiB on S3, because only one request is atomic there.
        """
        if len(data) <= PART_BYTES or options.mode != "overwrite":
            return self._put_whole(key, data, options)
        return self._put_parts(key, _sliced([data]), options)

    def put_chunks(self, key: str, chunks: Iterable[bytes], options: PutOptions) -> PutResult:
        """Put a stream: in parts, unless it ends within the first."""
        pieces = _sliced(chunks)
        first = bytearray()
        for piece in pieces:
            first += piece
            if len(first) > PART_BYTES:
                return self._put_parts(key, chain([memoryview(first)], pieces), options)
        return self._put_whole(key, memoryview(first), options)

    def _put_whole(self, key: str, data: memoryview, options: PutOptions) -> PutResult:
        meter = _Meter(options)
        meter.take(data)
        with translated(self._bucket, key, writing=True):
            reply = obstore.put(
                self._client, key, data, attributes=self._kept(options), mode=options.mode, use_multipart=False
            )
        meter.report()
        return meter.result(key, plain_etag(reply["e_tag"]))

    def _put_parts(self, key: str, pieces: Iterator[memoryview], options: PutOptions) -> PutResult:
        if options.if_match is not None:
            raise UnsupportedByStore(
                f"bucket {self._bucket!r}, key {key!r}: if_match needs one request, "
                f"and a stream of more than {PART_BYTES} bytes takes several; pass bytes"
            )
        meter = _Meter(options)
        if not options.if_absent:
            self._write(self._open(key, options), key, pieces, meter)
        elif self._staging is None:
            self._refuse_existing(key)
            self._write(self._open(key, options), key, pieces, meter, before_commit=lambda: self._refuse_existing(key))
        else:
            self._write_and_link(self._staging, key, pieces, meter)
        with translated(self._bucket, key):
            info = info_of(obstore.head(self._client, key))
        if info.size != meter.size:
            raise IntegrityError(
                f"bucket {self._bucket!r}, key {key!r}: {meter.size} bytes were sent, the store has {info.size}: "
                "another writer replaced the object, or the store lost a part"
            )
        return meter.result(key, info.etag)

    def _open(self, key: str, options: PutOptions) -> WritableFile:
        with translated(self._bucket, key, writing=True):
            return obstore.open_writer(
                self._client,
                key,
                attributes=self._kept(options),
                buffer_size=PART_BYTES,
                max_concurrency=PARTS_IN_FLIGHT,
            )

    def _write(
        self,
        writer: WritableFile,
        key: str,
        pieces: Iterator[memoryview],
        meter: _Meter,
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        try:
            for piece in pieces:
                meter.take(piece)
                with translated(self._bucket, key, writing=True):
                    writer.write(piece)
                meter.report()
            if before_commit:
                before_commit()
        except BaseException:
            # Aborts the upload. Should that fail too, the data's own error matters more; the bucket's lifecycle rule
            # removes the parts.
            with suppress(Exception):
                writer.__exit__(*sys.exc_info())
            raise
        with translated(self._bucket, key, writing=True):
            writer.close()

    def _write_and_link(self, staging: LocalStore, key: str, pieces: Iterator[memoryview], meter: _Meter) -> None:
        staged = f"{STAGING_FOLDER}/{uuid4().hex}"
        with translated(self._bucket, key, writing=True):
            writer = obstore.open_writer(staging, staged, buffer_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT)
        self._write(writer, key, pieces, meter)
        try:
            with translated(self._bucket, key, writing=True):
                obstore.rename(staging, staged, f"{self._bucket}/{key}", overwrite=False)
        except BaseException:
            with suppress(Exception):
                obstore.delete(staging, staged)
            raise

    def _refuse_existing(self, key: str) -> None:
        with suppress(ObjectNotFound), translated(self._bucket, key):
            obstore.head(self._client, key)
            raise PreconditionFailed(f"bucket {self._bucket!r}, key {key!r}: the object exists already")

    def _kept(self, options: PutOptions) -> dict[str, str] | None:
        """The attributes that the store keeps: LocalStore refuses a put that has any."""
        return dict(options.attributes) if options.attributes and self._staging is None else None


def _sliced(chunks: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    """Cut chunks so that none is larger than a part."""
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), PART_BYTES):
            yield view[start : start + PART_BYTES]
