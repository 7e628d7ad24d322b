"""Objects that come piece by piece, on `file://`: written beside the buckets, synced, and linked to their name.

A staged file's name starts with a digest of its bucket and key, and its writer holds a lock on it, which ends with the
process: so a file without a lock is what a killed writer left.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

import obstore

from des_platform.objectstore.errors import (
    IntegrityError,
    PreconditionFailed,
    UnsupportedByStore,
    translated,
)
from des_platform.objectstore.objects import file_etag
from des_platform.objectstore.sinks import ObjectSink
from des_platform.objectstore.sources import ObjectSource
from des_platform.objectstore.uploads import STAGING_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import LocalStore

    from des_platform.objectstore.sinks import RangeSource
    from des_platform.objectstore.uploads import PutOptions

_LOG = logging.getLogger(__name__)
# A part may be a few bytes, and a call to the kernel costs about 1 us.
_BUFFER_BYTES = 1024 * 1024
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


class FolderSinks:
    """Opens the sinks of one bucket.

    Attributes:
        server: names the folder that holds the buckets.

    Args:
        bucket: the bucket's name.
        root: the folder that holds the buckets.
        staging: obstore's client of that folder.
    """

    def __init__(self, bucket: str, root: Path, staging: LocalStore) -> None:
        self.server = root.absolute().as_uri()
        self._bucket = bucket
        self._root = root
        self._staging = staging

    def open(self, key: str, options: PutOptions) -> ObjectSink:
        """Open a sink; attributes are left out, since a folder keeps none."""
        return FolderSink(self, self._bucket, key, replace=not options.if_absent)

    def stage(self, key: str) -> tuple[BinaryIO, Path]:
        """Open a new, locked file for a key."""
        with translated(self._bucket, key, writing=True):
            path = self._root / STAGING_FOLDER / f"{self._mark(key)}.{uuid4().hex}"
            path.parent.mkdir(exist_ok=True)
            file = path.open("xb", buffering=_BUFFER_BYTES)
            fcntl.flock(file, fcntl.LOCK_EX)
            return file, path

    def path(self, bucket: str, key: str) -> Path:
        """The file of an object."""
        return self._root / bucket / key

    def publish(self, staged: Path, key: str, *, replace: bool) -> None:
        """Give a staged and synced file its name."""
        target = self.path(self._bucket, key)
        try:
            with translated(self._bucket, key, writing=True):
                # Without `overwrite` it links, which fails where the name is taken.
                obstore.rename(
                    self._staging, f"{STAGING_FOLDER}/{staged.name}", f"{self._bucket}/{key}", overwrite=replace
                )
        except PreconditionFailed:
            if target.is_dir():
                raise UnsupportedByStore(f"bucket {self._bucket!r}, key {key!r}: a folder has that name") from None
            raise
        with translated(self._bucket, key, writing=True):
            for folder in target.parents:
                _sync(folder)
                if folder == self._root:
                    break

    def finish_torn(self, key: str) -> str | None:
        """Link the newest file that a killed writer of this key left."""
        found = sorted(
            (self._root / STAGING_FOLDER).glob(f"{self._mark(key)}.*"), key=lambda path: path.stat().st_mtime_ns
        )
        for path in reversed(found):
            with translated(self._bucket, key, writing=True), path.open("rb") as file:
                if not _lock(file) or not os.fstat(file.fileno()).st_size:
                    continue
                os.fsync(file.fileno())
                etag = file_etag(os.fstat(file.fileno()))
            self.publish(path, key, replace=False)
            return etag
        return None

    def _mark(self, key: str) -> str:
        return hashlib.sha256(f"{self._bucket}/{key}".encode()).hexdigest()[:32]


class FolderSink(ObjectSink):
    """Writes one file. `FolderSinks` makes them.

    Args:
        sinks: the bucket's.
        bucket: the bucket's name.
        key: the object's key.
        replace: whether an object under that key may be replaced.
    """

    def __init__(self, sinks: FolderSinks, bucket: str, key: str, *, replace: bool) -> None:
        super().__init__(bucket, key)
        self._sinks = sinks
        self._replace = replace
        self._file, self._path = sinks.stage(key)

    def _take(self, data: memoryview) -> None:
        with translated(self._bucket, self._key, writing=True):
            self._file.write(data)

    def _copy(self, source: RangeSource, length: int) -> None:
        done = 0
        if isinstance(source, ObjectSource) and source.server == self._sinks.server:
            done = self._kernel_copy(source, length)
        self._stream_through(source, length, done)

    def _kernel_copy(self, source: ObjectSource, length: int) -> int:
        """Copy, or share, as much as the kernel can."""
        etag, size = source.version()
        if length > size:
            raise IntegrityError(f"{source!r} has {size} bytes, fewer than the {length} to copy")
        done = 0
        with translated(source.bucket, source.key), self._sinks.path(source.bucket, source.key).open("rb") as file:
            # The open file stays what it is, whatever its name is given to later.
            if file_etag(os.fstat(file.fileno())) != etag:
                raise PreconditionFailed(f"bucket {source.bucket!r}, key {source.key!r}: it was replaced; open it anew")
            while done < length and hasattr(os, "copy_file_range"):
                try:
                    copied = os.copy_file_range(file.fileno(), self._file.fileno(), length - done, done)
                except OSError as error:
                    if error.errno in _NO_KERNEL_COPY:
                        break
                    raise
                if not copied:
                    break
                done += copied
        return done

    def _publish(self) -> str:
        with translated(self._bucket, self._key, writing=True):
            self._file.flush()
            os.fsync(self._file.fileno())
            etag = file_etag(os.fstat(self._file.fileno()))
        self._sinks.publish(self._path, self._key, replace=self._replace)
        self._file.close()
        return etag

    def _drop(self) -> None:
        try:
            # Closing writes what is buffered, which fails again on a full disk; the descriptor is closed all the same.
            with suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("%s could not be removed, delete it by hand: %s", self._path, error)


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
