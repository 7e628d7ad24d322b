"""Files of this machine that a command reads and writes: unchanged while they are read, whole when they appear."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import uuid
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from des_platform.cli.archive.outcome import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK_BYTES = 4 << 20


class FileChanged(Exception):
    """A file was written to, or replaced, while it was read."""


class Input:
    """A file to read, perhaps several times; a context manager.

    Attributes:
        path: where it is.
        size: its bytes.

    Args:
        path: where it is.

    Raises:
        Unusable: it is no regular file.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise Unusable(f"{path} is no regular file")
        self._file = path.open("rb")
        self._before = _version(os.fstat(self._file.fileno()))
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range, fewer where the file ends."""
        return os.pread(self._file.fileno(), length, offset)

    def chunks(self, took: Callable[[bytes], None]) -> Iterator[bytes]:
        """Yield the file from its beginning.

        Args:
            took: called with each chunk before it is yielded.

        Raises:
            FileChanged: at the end, if it did.
        """
        offset = 0
        while chunk := self.read(offset, CHUNK_BYTES):
            offset += len(chunk)
            took(chunk)
            yield chunk
        self.check()

    def check(self) -> None:
        """Look whether the file is still the one that was opened.

        Raises:
            FileChanged: it is not.
        """
        try:
            same = _version(self.path.stat()) == self._before
        except FileNotFoundError:
            same = False
        if not same:
            raise FileChanged(f"{self.path} changed while it was read: try again once nobody writes to it")


class Output:
    """A file that appears under its name once it is complete; a context manager that leaves nothing otherwise.

    Attributes:
        file: to write to.

    Args:
        folder: where the name will be; None for standard output, which gets all at the end.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path | None) -> None:
        self._beside = None if folder is None else folder / f".des-{uuid.uuid4().hex}"
        opened = tempfile.TemporaryFile() if self._beside is None else self._beside.open("x+b")  # noqa: SIM115
        self.file: BinaryIO = cast("BinaryIO", opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.file.close()
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget what was written."""
        self.file.seek(0)
        self.file.truncate()

    def read_back(self) -> Iterator[bytes]:
        """Yield what was written."""
        self.file.seek(0)
        while chunk := self.file.read(CHUNK_BYTES):
            yield chunk

    def publish(self, target: Path | None, *, force: bool, like: Path | None = None) -> None:
        """Give the file its name.

        Args:
            target: the name, in the folder; None for standard output.
            force: replace what bears the name.
            like: takes over this file's permissions and times.

        Raises:
            Unusable: the name is taken.
        """
        if target is None or self._beside is None:
            self.file.seek(0)
            shutil.copyfileobj(self.file, sys.stdout.buffer, CHUNK_BYTES)
            sys.stdout.buffer.flush()
            return
        self.file.flush()
        os.fsync(self.file.fileno())
        if like is not None:
            shutil.copystat(like, self._beside)
        check_free(target, force=force)
        if not force:
            target.open("xb").close()  # takes the name, also where there are no hard links
        self._beside.replace(target)


def check_free(target: Path | None, *, force: bool) -> None:
    """Look whether a name may be written to; None, standard output, always may.

    Raises:
        Unusable: the name is taken, and is not to be replaced or no file's.
    """
    if target is None or not os.path.lexists(target):
        return
    if not target.is_file():
        raise Unusable(f"{target} is no regular file: -o - writes to standard output")
    if not force:
        raise Unusable(f"{target} is there already: --force replaces it")


def index_of(path: Path) -> Path:
    """Where the index of a compressed file stands."""
    return path.with_name(f"{path.name}.index")


def digest(pieces: Iterator[bytes], took: Callable[[bytes], None]) -> str:
    """Return the SHA-256 (hex) of some bytes."""
    found = hashlib.sha256()
    for piece in pieces:
        took(piece)
        found.update(piece)
    return found.hexdigest()


def counted_bytes(
    bar: Callable[[int, int], None], total: int, took: Callable[[bytes], None] | None = None
) -> Callable[[bytes], None]:
    """Return what counts chunks for a bar of `total` bytes, and hands each on."""
    done = 0

    def count(chunk: bytes) -> None:
        nonlocal done
        done += len(chunk)
        if took is not None:
            took(chunk)
        bar(done, total)

    return count


def _version(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
