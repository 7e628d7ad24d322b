"""SHA-256 as S3 states it, and what a store states of an object without being believed.

S3 gives the SHA-256 of an object of one part in base64; of an object of n parts the SHA-256 of the parts' digests, one
after the other, followed by `-n`. The store computed it from the bytes that reached it, so it is a proof of them. What
an uploader wrote into the metadata proves nothing about an upload; of a download it does, since the bytes came back.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.objectstore.keys import check_key
from des_platform.objectstore.objects import plain_etag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from des_platform.objectstore.store import ObjectStore

# User metadata of what `upload` stores: of one part its SHA-256, of several the size of each but the last.
SHA256_NAME = "sha256"
PART_BYTES_NAME = "part-bytes"
_SHA256_DIGITS = 64


def stated(digest: bytes) -> str:
    """A digest as S3 writes it."""
    return base64.b64encode(digest).decode()


def composite(digests: list[bytes]) -> str:
    """The checksum that S3 states of an object from the SHA-256 of each of its parts."""
    return f"{stated(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"


@dataclass(frozen=True, slots=True)
class Stated:
    """What a store says of an object.

    Attributes:
        size: bytes.
        etag: as in `ObjectInfo`.
        checksum: SHA-256 as S3 states it; '' where the store states none.
        metadata: user metadata, names in lower case.
    """

    size: int
    etag: str
    checksum: str
    metadata: Mapping[str, str]

    @property
    def part_bytes(self) -> int | None:
        """The parts' size that the checksum is about: 0 for one of the whole object, None where nobody can tell."""
        _, dash, count = self.checksum.partition("-")
        if not dash:
            return 0 if self.checksum else None
        told = self.metadata.get(PART_BYTES_NAME, "")
        part = int(told) if told.isascii() and told.isdigit() and len(told) < len(str(self.size)) + 1 else 0
        return part if part and str(-(-self.size // part)) == count else None

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole object in hexadecimal digits, as its metadata tell it; '' if they do not."""
        told = self.metadata.get(SHA256_NAME, "").lower()
        return told if len(told) == _SHA256_DIGITS and set(told) <= set("0123456789abcdef") else ""


def ask(store: ObjectStore, key: str) -> Stated:
    """Ask a store what it has under a key.

    Raises:
        ObjectNotFound: nothing.
        AccessDenied: it does not tell us.
        StoreUnavailable: it did not answer.
    """
    if store.s3 is None:
        info = store.head(key)
        return Stated(info.size, info.etag, "", {})
    answer = store.s3.call(check_key(key), "head_object", ChecksumMode="ENABLED")
    metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
    etag = plain_etag(answer.get("ETag"))
    checksum = str(answer.get("ChecksumSHA256", ""))
    count = etag.partition("-")[2]
    if checksum and count.isdigit() and "-" not in checksum:
        # S3 has no SHA-256 of a whole object in parts, but not every server writes how many parts it is of.
        checksum += f"-{count}"
    return Stated(answer["ContentLength"], etag, checksum, metadata)


class Digests:
    """SHA-256 of bytes that pass: of all of them, and as S3 states it of parts of one size.

    Args:
        part_bytes: size of every part but the last; 0 if only the whole matters.
    """

    def __init__(self, part_bytes: int) -> None:
        self._whole = hashlib.sha256()
        self._part_bytes = part_bytes
        self._part = hashlib.sha256()
        self._room = part_bytes
        self._done: list[bytes] = []

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self._whole.update(data)
        view = memoryview(data)
        while self._part_bytes and view:
            if not self._room:
                self._done.append(self._part.digest())
                self._part, self._room = hashlib.sha256(), self._part_bytes
            taken = view[: self._room]
            self._part.update(taken)
            self._room -= len(taken)
            view = view[len(taken) :]

    @property
    def sha256(self) -> str:
        """Of all bytes, 64 lower-case hexadecimal digits."""
        return self._whole.hexdigest()

    @property
    def checksum(self) -> str:
        """As S3 states it."""
        return composite([*self._done, self._part.digest()]) if self._part_bytes else stated(self._whole.digest())
