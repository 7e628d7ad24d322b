"""How bytes come out of a bucket: whole, chunk by chunk, by ranges.

Invariants: a size is checked before the bytes are read; what is returned has exactly the announced length and comes
from one version of the object. A tail or a piece may be shorter than asked for only where the object ends.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import obstore

from des_platform.objectstore.errors import (
    IntegrityError,
    ObjectTooLarge,
    PreconditionFailed,
    RangeNotSatisfiable,
    UnsupportedByStore,
    translated,
)
from des_platform.objectstore.objects import Digest, info_of, plain_etag
from des_platform.objectstore.ranges import SPANS_AT_ONCE, Span, spans_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obstore import GetOptions, GetResult, SuffixRange
    from obstore.store import LocalStore, S3Store

    from des_platform.objectstore.objects import ObjectInfo, Progress


class Downloader:
    """Reads objects of one bucket; `ObjectStore` documents the verbs and has checked the keys.

    Args:
        bucket: the bucket's name.
        client: obstore's client of the bucket.
    """

    def __init__(self, bucket: str, client: S3Store | LocalStore) -> None:
        self._bucket = bucket
        self._client = client

    def head(self, key: str) -> ObjectInfo:
        """Describe an object."""
        with translated(self._bucket, key):
            return info_of(obstore.head(self._client, key))

    def whole(self, key: str, max_bytes: int, if_match: str | None) -> bytes:
        """Read an object of at most `max_bytes`."""
        with translated(self._bucket, key):
            reply = self._request(key, _conditions(if_match), if_match)
            size = reply.meta["size"]
            if size > max_bytes:
                raise ObjectTooLarge(
                    f"{self._place(key)}: it has {size} bytes, more than the {max_bytes} allowed here; "
                    "stream it or raise the limit"
                )
            data = reply.bytes().to_bytes()
        if len(data) != size:
            raise IntegrityError(f"{self._place(key)}: the store announced {size} bytes and sent {len(data)}")
        return data

    def chunks(self, key: str, if_match: str | None, chunk_bytes: int, progress: Progress | None) -> Iterator[bytes]:
        """Read an object chunk by chunk, all from the version that the first request saw."""
        for chunk, info, done in self._described_chunks(key, if_match, chunk_bytes):
            if progress:
                progress(done, info.size)
            if chunk:
                yield chunk

    def digest(self, key: str, if_match: str | None, chunk_bytes: int) -> Digest:
        """Read a whole object for its size and SHA-256."""
        found = hashlib.sha256()
        size, etag = 0, ""
        for chunk, info, done in self._described_chunks(key, if_match, chunk_bytes):
            found.update(chunk)
            size, etag = done, info.etag
        return Digest(size, found.hexdigest(), etag)

    def tail(self, key: str, length: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read the last `length` bytes, or all there are, in one request where the store has ranges from the end."""
        # An empty object has no last byte, and not every server knows a range that counts from the end.
        with suppress(RangeNotSatisfiable, UnsupportedByStore):
            data, info = self._fetch(key, {"suffix": length}, if_match)
            if len(data) == min(length, info.size):
                return data, info
        info = self.head(key)
        self._check_version(key, info.etag, if_match)
        if not info.size:
            return b"", info
        length = min(length, info.size)
        return self.exactly(key, info.size - length, length, info.etag or None)

    def piece(self, key: str, offset: int, length: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read one range, not empty, that starts before the object's end; shorter only if it reaches past it."""
        data, info = self._fetch(key, (offset, offset + length), if_match)
        if len(data) != min(length, info.size - offset):
            raise IntegrityError(
                f"{self._place(key)}: {length} bytes at offset {offset} of {info.size} were asked for, "
                f"the store sent {len(data)}"
            )
        return data, info

    def _described_chunks(
        self, key: str, if_match: str | None, chunk_bytes: int
    ) -> Iterator[tuple[bytes, ObjectInfo, int]]:
        """Yield each chunk with its object's description and the bytes so far; one empty chunk for an empty object."""
        try:
            chunk, info = self._fetch(key, (0, chunk_bytes), if_match)
        except RangeNotSatisfiable:
            # An empty object has no first byte to ask for.
            chunk, info = b"", self.head(key)
        done = 0
        while True:
            if len(chunk) != min(chunk_bytes, info.size - done):
                raise IntegrityError(f"{self._place(key)}: {len(chunk)} bytes came at offset {done} of {info.size}")
            done += len(chunk)
            yield chunk, info, done
            if done == info.size:
                return
            try:
                chunk, _ = self._fetch(key, (done, min(done + chunk_bytes, info.size)), info.etag or None)
            except (PreconditionFailed, RangeNotSatisfiable) as error:
                raise IntegrityError(
                    f"{self._place(key)}: it was replaced while it was read, after {done} of {info.size} bytes; "
                    "read it again"
                ) from error

    def exactly(self, key: str, offset: int, length: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read one range, not empty, and describe the object it comes from."""
        data, info = self.piece(key, offset, length, if_match)
        if len(data) != length:
            raise RangeNotSatisfiable(
                f"{self._place(key)}: it has {info.size} bytes, and {length} at offset {offset} were asked for"
            )
        return data, info

    def ranges(self, key: str, ranges: Sequence[tuple[int, int]], if_match: str | None) -> list[bytes]:
        """Read ranges in any order, several requests at once."""

        def read(span: Span) -> tuple[list[tuple[int, bytes]], str]:
            data, info = self.exactly(key, span.offset, span.length, if_match)
            return span.cut(data), info.etag

        spans = spans_of(ranges)
        with ThreadPoolExecutor(SPANS_AT_ONCE) as pool:
            # One span needs no thread, and starting one costs more than a local read.
            parts = list(pool.map(read, spans)) if len(spans) > 1 else [read(span) for span in spans]
        if len({etag for _, etag in parts}) > 1:
            raise IntegrityError(
                f"{self._place(key)}: it was replaced while its ranges were read; read them again, or give if_match"
            )
        found = dict(piece for pieces, _ in parts for piece in pieces)
        return [found.get(index, b"") for index in range(len(ranges))]

    def _fetch(self, key: str, wanted: tuple[int, int] | SuffixRange, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read what there is of a range (first byte, byte after the last) and describe the object."""
        options = _conditions(if_match)
        options["range"] = wanted
        with translated(self._bucket, key):
            reply = self._request(key, options, if_match)
            return reply.bytes().to_bytes(), info_of(reply.meta)

    def _request(self, key: str, options: GetOptions, if_match: str | None) -> GetResult:
        reply = obstore.get(self._client, key, options=options)
        # Some S3-compatible servers ignore If-Match.
        self._check_version(key, plain_etag(reply.meta["e_tag"]), if_match)
        return reply

    def _check_version(self, key: str, etag: str, if_match: str | None) -> None:
        if if_match is not None and etag != if_match:
            raise PreconditionFailed(f"{self._place(key)}: its etag is {etag!r}, not {if_match!r}")

    def _place(self, key: str) -> str:
        return f"bucket {self._bucket!r}, key {key!r}"


def _conditions(if_match: str | None) -> GetOptions:
    return {} if if_match is None else {"if_match": f'"{if_match}"'}
