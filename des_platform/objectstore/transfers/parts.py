"""One upload to S3 in parts that can be interrupted and taken up again.

The parts go four at a time, from buffers that are used again, since fresh memory for each part costs CPU. Where the
store lists what an earlier upload left, a part counts if its SHA-256, or, where the store lists none, the MD5 that its
etag is, is that of the file's bytes.
"""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from des_platform.objectstore.errors import ObjectNotFound, SourceChanged, StoreUnavailable
from des_platform.objectstore.objects import plain_etag
from des_platform.objectstore.s3_calls import as_arguments
from des_platform.objectstore.transfers.checksums import PART_BYTES_NAME, composite, stated
from des_platform.objectstore.uploads import PARTS_IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from des_platform.objectstore.objects import Progress
    from des_platform.objectstore.s3_calls import S3Calls
    from des_platform.objectstore.transfers.memory import UploadMemory
    from des_platform.objectstore.transfers.source import LocalSource

_LOG = logging.getLogger(__name__)
# Twice that of a stream's parts: a request through boto3 costs 3 ms of CPU, as much as sending 8 MiB.
PART_BYTES = 16 * 1024 * 1024
_MOST_PARTS = 10_000
_BUFFERED_BYTES = 256 * 1024 * 1024


class _Part(NamedTuple):
    number: int
    size: int
    digest: bytes
    etag: str
    resumed: bool
    buffer: bytearray


class PartedUpload:
    """Sends one file; of one use.

    Attributes:
        resumed_bytes: what was there already.

    Args:
        calls: asks the bucket.
        source: the file.
        key: the object's key.
        metadata: the object's.
        memory: remembers the upload.
        progress: told of each part.
        whole_hash: the SHA-256 of the whole file is wanted, too.
    """

    def __init__(
        self,
        calls: S3Calls,
        source: LocalSource,
        key: str,
        metadata: Mapping[str, str],
        memory: UploadMemory,
        progress: Progress,
        *,
        whole_hash: bool,
    ) -> None:
        self.resumed_bytes = 0
        self._calls = calls
        self._source = source
        self._key = key
        self._part_bytes = max(PART_BYTES, -(-source.size // _MOST_PARTS))
        self._metadata = {**metadata, PART_BYTES_NAME: str(self._part_bytes)}
        self._memory = memory
        self._progress = progress
        self._whole = hashlib.sha256() if whole_hash else None
        self._done_bytes = 0
        self._parts: list[_Part] = []
        self._there: dict[int, dict[str, Any]] = {}

    def send(self) -> tuple[str, str | None, str]:
        """Send the file and make an object of its parts; return etag, SHA-256 of the whole, checksum."""
        upload = self._take_up() or self._begin()
        try:
            self._send_parts(upload)
            self._source.check()
            etag = self._complete(upload)
        except SourceChanged:
            self._abort(upload)
            raise
        except BaseException:
            if not self._memory.recall():
                self._abort(upload)
            raise
        self._memory.forget()
        whole = self._whole.hexdigest() if self._whole else None
        return etag, whole, composite([part.digest for part in self._parts])

    def _complete(self, upload: str) -> str:
        self._parts.sort()
        named = [
            {"PartNumber": part.number, "ETag": part.etag, "ChecksumSHA256": stated(part.digest)}
            for part in self._parts
        ]
        parts = {"Parts": named}
        reply = self._calls.call(self._key, "complete_multipart_upload", UploadId=upload, MultipartUpload=parts)
        return plain_etag(reply.get("ETag"))

    def _facts(self) -> dict[str, Any]:
        return {"source": self._source.identity, "metadata": self._metadata}

    def _take_up(self) -> str | None:
        """Find what an earlier upload of the same file left; return its id."""
        known = self._memory.recall()
        upload = known.pop("upload", None)
        if not isinstance(upload, str) or not upload:
            return None
        if known != self._facts():
            self._abort(upload)
            return None
        try:
            found = self._calls.pages("list_parts", "Parts", self._key, Key=self._key, UploadId=upload)
        except (ObjectNotFound, StoreUnavailable) as error:
            _LOG.info("an earlier upload of %s cannot be taken up: %s", self._source.path, error)
            return None
        self._there = {part["PartNumber"]: part for part in found}
        return upload

    def _begin(self) -> str:
        self._there = {}
        upload: str = self._calls.call(
            self._key, "create_multipart_upload", ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE",
            **as_arguments(self._metadata),
        )["UploadId"]  # fmt: skip
        self._memory.remember({"upload": upload, **self._facts()})
        return upload

    def _abort(self, upload: str) -> None:
        self._memory.forget()
        try:
            self._calls.call(self._key, "abort_multipart_upload", UploadId=upload)
        except Exception as error:  # noqa: BLE001 - what led here matters more
            _LOG.warning("an upload was not aborted, the bucket's lifecycle rule removes its parts: %s", error)

    def _send_parts(self, upload: str) -> None:
        at_once = max(1, min(PARTS_IN_FLIGHT, _BUFFERED_BYTES // self._part_bytes))
        free = [bytearray(self._part_bytes) for _ in range(at_once)]
        waiting: set[Future[_Part]] = set()
        pool = ThreadPoolExecutor(at_once, thread_name_prefix="des-upload")
        try:
            for number in range(1, -(-self._source.size // self._part_bytes) + 1):
                if not free:
                    waiting = self._land(waiting, free)
                buffer = free.pop()
                self._read(buffer, number)
                waiting.add(pool.submit(self._send_part, upload, number, buffer))
            while waiting:
                waiting = self._land(waiting, free)
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, buffer: bytearray, number: int) -> None:
        """Read the next part; only the last one may be shorter."""
        wanted = min(self._part_bytes, self._source.size - (number - 1) * self._part_bytes)
        del buffer[wanted:]
        if self._source.fill(buffer) != wanted:
            self._source.check()
            raise SourceChanged(f"{self._source.path} ended before its {self._source.size} bytes; nothing was stored")
        if self._whole:
            self._whole.update(buffer)

    def _send_part(self, upload: str, number: int, buffer: bytearray) -> _Part:
        digest = hashlib.sha256(buffer).digest()
        there = self._there.get(number, {})
        if _is_part(there, buffer, digest):
            return _Part(number, len(buffer), digest, there["ETag"], resumed=True, buffer=buffer)
        reply = self._calls.call(
            self._key,
            "upload_part",
            UploadId=upload,
            PartNumber=number,
            Body=buffer,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=stated(digest),
        )
        return _Part(number, len(buffer), digest, reply["ETag"], resumed=False, buffer=buffer)

    def _land(self, waiting: set[Future[_Part]], free: list[bytearray]) -> set[Future[_Part]]:
        """Wait for a part, and raise what it met."""
        landed, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for part in (future.result() for future in landed):
            free.append(part.buffer)
            self._parts.append(part._replace(buffer=bytearray()))
            self._done_bytes += part.size
            self.resumed_bytes += part.size if part.resumed else 0
            self._progress(self._done_bytes, self._source.size)
        return waiting


def _is_part(there: Mapping[str, Any], data: bytearray, digest: bytes) -> bool:
    """Whether a part that is there has these bytes."""
    if there.get("Size") != len(data):
        return False
    if "ChecksumSHA256" in there:
        return bool(there["ChecksumSHA256"] == stated(digest))
    return plain_etag(there.get("ETag")) == hashlib.md5(data, usedforsecurity=False).hexdigest()
