"""Objects that come piece by piece, on S3: one put up to 8 MiB, a multipart upload above, with server-side copies.

obstore can neither copy into a part nor complete on a condition, so the multipart upload speaks boto3; retries and
time-outs are the client's. Four parts are on their way at once, so memory holds five. Part n of an upload has
`part_bytes(n)` bytes, or is a copy of up to `_COPY_BYTES`.

Where If-None-Match is not known to the server, two writers that complete at the same instant may both succeed, the
later replacing the earlier. As for a put, a commit whose reply was lost can report that it lost: compare what is stored
before giving up.
"""

from __future__ import annotations

import logging
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import obstore

from des_platform.objectstore.errors import (
    IntegrityError,
    ObjectNotFound,
    PreconditionFailed,
    UnsupportedByStore,
    translated,
)
from des_platform.objectstore.objects import plain_etag
from des_platform.objectstore.s3_calls import as_arguments
from des_platform.objectstore.sinks import ObjectSink
from des_platform.objectstore.sources import ObjectSource
from des_platform.objectstore.uploads import PART_BYTES, PARTS_IN_FLIGHT, Uploader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from obstore.store import S3Store

    from des_platform.objectstore.s3_calls import S3Calls
    from des_platform.objectstore.sinks import RangeSource
    from des_platform.objectstore.uploads import PutOptions

_LOG = logging.getLogger(__name__)
# S3's own limits: the smallest part but for the last, and the smallest object of which a range is copied.
_SMALLEST_PART_BYTES = 5 * 1024 * 1024
_COPY_BYTES = 256 * 1024 * 1024
_MOST_COPIES = 2000
# 39 GiB in parts of 8 MiB, which memory likes; the other 5000 parts grow, so that the object may have 5 TiB.
_EVEN_PARTS = 5000
_PARTS_A_STEP = 18


def part_bytes(number: int) -> int:
    """Size in bytes of an upload's part; they are numbered from 1, and S3 takes 10,000."""
    return PART_BYTES * (1 + max(0, number - _EVEN_PARTS) // _PARTS_A_STEP)


class S3Sinks:
    """Opens the sinks of one bucket.

    Attributes:
        server: names the server; buckets of one server can be copied between.
        calls: asks what obstore cannot.

    Args:
        bucket: the bucket's name.
        server: as the attribute.
        client: obstore's client of the bucket.
        calls: as the attribute.
    """

    def __init__(self, bucket: str, server: str, client: S3Store, calls: S3Calls) -> None:
        self.server = server
        self._bucket = bucket
        self._client = client
        self.calls = calls

    def open(self, key: str, options: PutOptions) -> ObjectSink:
        """Open a sink; nothing is asked of the store yet."""
        return S3Sink(self, self._bucket, key, options)

    def put(self, key: str, data: bytearray, options: PutOptions) -> str:
        """Store a small object and return its etag."""
        return Uploader(self._bucket, self._client, None).put_bytes(key, memoryview(data), options).etag

    def refuse_existing(self, key: str) -> None:
        """Raise PreconditionFailed if the key is taken."""
        with suppress(ObjectNotFound):
            with translated(self._bucket, key):
                obstore.head(self._client, key)
            raise PreconditionFailed(f"bucket {self._bucket!r}, key {key!r}: the object exists already")

    def complete(self, key: str, upload: str, parts: list[dict[str, Any]], *, if_absent: bool) -> str:
        """Make an upload's parts an object and return its etag."""
        named = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
        finish = partial(self.calls.call, key, "complete_multipart_upload", **named)
        if not if_absent:
            return plain_etag(finish()["ETag"])
        # Many servers ignore the condition, and some refuse to hear of it.
        self.refuse_existing(key)
        try:
            return plain_etag(finish(IfNoneMatch="*")["ETag"])
        except UnsupportedByStore:
            return plain_etag(finish()["ETag"])

    def finish_torn(self, key: str) -> str | None:
        """Complete the newest upload of this key that has a first part, with its parts up to the first gap."""
        started = self.calls.pages("list_multipart_uploads", "Uploads", key, Prefix=key)
        uploads = sorted((upload for upload in started if upload["Key"] == key), key=lambda upload: upload["Initiated"])
        for upload in reversed(uploads):
            found = self.calls.pages("list_parts", "Parts", key, Key=key, UploadId=upload["UploadId"])
            # The listing is in the order of the numbers: after a gap none fits any more.
            whole = (part for number, part in enumerate(found, 1) if part["PartNumber"] == number)
            if parts := [_part(part["PartNumber"], part) for part in whole]:
                return self.complete(key, upload["UploadId"], parts, if_absent=True)
        return None


class S3Sink(ObjectSink):
    """Puts one object. `S3Sinks` makes them.

    Args:
        sinks: the bucket's.
        bucket: the bucket's name.
        key: the object's key.
        options: attributes and whether the key must be free.
    """

    def __init__(self, sinks: S3Sinks, bucket: str, key: str, options: PutOptions) -> None:
        super().__init__(bucket, key)
        self._sinks = sinks
        self._options = options
        self._buffer = bytearray()
        self._upload = ""
        self._pool = ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="des-upload")
        self._sent = 0
        self._on_their_way: set[Future[dict[str, Any]]] = set()
        self._parts: list[dict[str, Any]] = []
        self._source: ObjectSource | None = None

    def _take(self, data: memoryview) -> None:
        while data:
            room = part_bytes(self._sent + 1) - len(self._buffer)
            if not room:
                # Only now, when more comes: what ends with its first part is a single put.
                self._send_buffer()
                continue
            self._buffer += data[:room]
            data = data[room:]

    def _copy(self, source: RangeSource, length: int) -> None:
        if (
            not isinstance(source, ObjectSource)
            or source.server != self._sinks.server
            or length <= _SMALLEST_PART_BYTES
        ):
            self._stream_through(source, length)
            return
        etag, size = source.version()
        if length > size:
            raise IntegrityError(f"{source!r} has {size} bytes, fewer than the {length} to copy")
        self._source = source
        named: dict[str, object] = {"CopySource": {"Bucket": source.bucket, "Key": source.key}}
        if etag:
            named["CopySourceIfMatch"] = f'"{etag}"'
        # Even pieces: none is too small for a part that others follow, so no byte of the source is moved through here.
        copies = min(_MOST_COPIES, -(-length // _COPY_BYTES))
        piece = -(-length // copies)
        for start in range(0, length, piece):
            span = f"bytes={start}-{min(start + piece, length) - 1}"
            self._send("upload_part_copy", CopySourceRange=span, **named)

    def _send_buffer(self) -> None:
        body, self._buffer = self._buffer, bytearray()
        self._send("upload_part", Body=body)

    def _send(self, verb: str, **arguments: object) -> None:
        """Send one part in the background, once fewer than four are on their way."""
        if not self._upload:
            if self._options.if_absent:
                self._sinks.refuse_existing(self._key)
            self._upload = self._sinks.calls.call(
                self._key, "create_multipart_upload", **as_arguments(self._options.attributes or {})
            )["UploadId"]
        while len(self._on_their_way) >= PARTS_IN_FLIGHT:
            self._land()
        self._sent += 1
        self._on_their_way.add(self._pool.submit(self._send_now, self._sent, verb, arguments))

    def _send_now(self, number: int, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = self._sinks.calls.call(self._key, verb, UploadId=self._upload, PartNumber=number, **arguments)
        return _part(number, answer.get("CopyPartResult", answer))

    def _land(self) -> None:
        """Wait for a part, and raise what it met."""
        landed, self._on_their_way = wait(self._on_their_way, return_when=FIRST_COMPLETED)
        self._parts.extend(part.result() for part in landed)

    def _publish(self) -> str:
        if not self._upload:
            return self._sinks.put(self._key, self._buffer, self._options)
        if self._buffer:
            self._send_buffer()
        while self._on_their_way:
            self._land()
        self._pool.shutdown()
        if self._source:
            # Some servers ignore the condition on a copy's source.
            self._source.check()
        self._parts.sort(key=lambda part: int(part["PartNumber"]))
        return self._sinks.complete(self._key, self._upload, self._parts, if_absent=self._options.if_absent)

    def _drop(self) -> None:
        # A part that arrives after the abort would stay for ever.
        self._pool.shutdown(cancel_futures=True)
        if self._upload:
            try:
                self._sinks.calls.call(self._key, "abort_multipart_upload", UploadId=self._upload)
            except Exception as error:  # noqa: BLE001 - what led here matters more
                _LOG.warning("an upload was not aborted, the bucket's lifecycle rule removes its parts: %s", error)


def _part(number: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A part as the completion names it: with each checksum that the server gave, because it may insist on them."""
    checksums = {
        name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"
    }
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}
