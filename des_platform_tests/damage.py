"""Hard cases: noise, bytes that flip behind the store's back (size and etag stay), a bucket that goes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from des_platform.objectstore import ObjectStore


def noise(seed: int, size: int) -> bytes:
    """Bytes that no codec shrinks, the same for the same seed."""
    return hashlib.shake_256(seed.to_bytes(4, "big")).digest(size)


def path_of(store: ObjectStore, key: str) -> Path:
    """The file behind an object."""
    return Path(store.uri(key).removeprefix("file://"))


def overwrite(path: Path, content: bytes) -> None:
    """Change bytes in place; the time stamps stay, and so does the etag where the size does."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path: Path, position: int, mask: int = 0x10) -> None:
    """Flip bits of one byte; the same flip again heals it."""
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    overwrite(path, bytes(content))


def remove_bucket(endpoint: str, name: str) -> None:
    """Take a bucket away from an S3 server, with all that is in it."""
    import boto3

    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket(name)
    bucket.objects.delete()
    bucket.delete()
