"""How bytes come out of a bucket: whole, chunk by chunk, by ranges.

Invariants: a size is checked before the bytes are read; what is returned has exactly the announced length and comes
from one version of the object.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import obstore

from des_platform.objectstore.errors import (
    IntegrityError,
    ObjectTooLarge,
    PreconditionFailed,
    RangeNotSatisfiable,
    translated,
)
from des_platform.objectstore.objects import info_of, plain_etag
from des_platform.objectstore.ranges import SPANS_AT_ONCE, Span, spans_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obstore import GetOptions, GetResult
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
        try:
            chunk, info = self._fetch(key, 0, chunk_bytes, if_match)
        except RangeNotSatisfiable:
            # An empty object has no first byte to ask for.
            chunk, info = b"", self.head(key)
        done = 0
        while True:
            if len(chunk) != min(chunk_bytes, info.size - done):
                raise IntegrityError(f"{self._place(key)}: {len(chunk)} bytes came at offset {done} of {info.size}")
            done += len(chunk)
            if progress:
                progress(done, info.size)
            if chunk:
                yield chunk
            if done == info.size:
                return
            try:
                chunk, _ = self._fetch(key, done, min(chunk_bytes, info.size - done), info.etag or None)
            except (PreconditionFailed, RangeNotSatisfiable) as error:
                raise IntegrityError(
                    f"{self._place(key)}: it was replaced while it was read, after {done} of {info.size} bytes; "
                    "read it again"
                ) from error

    def exactly(self, key: str, offset: int, length: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read one range, not empty, and describe the object it comes from."""
        data, info = self._fetch(key, offset, length, if_match)
        if len(data) != length:
            asked = f"{length} bytes at offset {offset} were asked for"
            if offset + length > info.size:
                raise RangeNotSatisfiable(f"{self._place(key)}: it has {info.size} bytes, and {asked}")
            raise IntegrityError(f"{self._place(key)}: {asked}, the store sent {len(data)}")
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

    def _fetch(self, key: str, offset: int, length: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read at most `length` bytes, at least one, and describe the object they come from."""
        options = _conditions(if_match)
        options["range"] = (offset, offset + length)
        with translated(self._bucket, key):
            reply = self._request(key, options, if_match)
            return reply.bytes().to_bytes(), info_of(reply.meta)

    def _request(self, key: str, options: GetOptions, if_match: str | None) -> GetResult:
        reply = obstore.get(self._client, key, options=options)
        # Some S3-compatible servers ignore If-Match.
        etag = plain_etag(reply.meta["e_tag"])
        if if_match is not None and etag != if_match:
            raise PreconditionFailed(f"{self._place(key)}: its etag is {etag!r}, not {if_match!r}")
        return reply

    def _place(self, key: str) -> str:
        return f"bucket {self._bucket!r}, key {key!r}"


def _conditions(if_match: str | None) -> GetOptions:
    return {} if if_match is None else {"if_match": f'"{if_match}"'}
