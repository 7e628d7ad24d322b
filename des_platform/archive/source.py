"""Where a reader's bytes come from: the protocol that any store can fulfil, and the local file and memory that do.

A source stands for one version of one file: once it has answered, it never mixes in the bytes of another version. It
may fail with errors of its own, which readers pass on. Sources are read by several threads at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType


class ByteSource(Protocol):
    """A file whose bytes can be read from the middle, by several threads at once."""

    def read_tail(self, length: int) -> tuple[bytes, int]:
        """Return the last ``length`` bytes, or all there are, and the size of the whole file."""

    def read_range(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on; fewer only where the file ends. ``length`` is at least 1."""

    @property
    def identity(self) -> str | None:
        """Names this version of the file among all others, such as ``bucket/key/etag``; None while it is not known."""


class FileSource:
    """A local file. Threads may read at once, since reads name their position; close it after the last read.

    Args:
        path: the file.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115, PTH123 - closed by close(); Path.open takes no PathLike
        status = os.fstat(self._file.fileno())
        self.size = status.st_size
        # A file that is written anew in its place within the clock's grain still has another size, inode or ctime.
        version = (
            f"{status.st_dev:x}.{status.st_ino:x}.{status.st_size:x}.{status.st_mtime_ns:x}.{status.st_ctime_ns:x}"
        )
        self.identity = f"{os.path.realpath(self._path)}#{version}"

    def __repr__(self) -> str:
        return f"FileSource({self._path!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The file's path as it was given."""
        return self._path

    def fileno(self) -> int:
        """The open file's descriptor.

        Raises:
            ValueError: the file is closed.
        """
        return self._file.fileno()

    def read_tail(self, length: int) -> tuple[bytes, int]:
        """Return the last ``length`` bytes, or all there are, and the size of the file.

        Raises:
            ValueError: the length is negative, or the file is closed.
        """
        start = max(0, self.size - length)
        return self.read_range(start, self.size - start), self.size

    def read_range(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on; fewer only where the file ends.

        Raises:
            ValueError: the offset or the length is negative, or the file is closed.
        """
        if offset < 0 or length < 0:
            raise ValueError(f"{self!r} has no range of {length} bytes at {offset}")
        descriptor = self._file.fileno()
        data = os.pread(descriptor, length, offset)
        if len(data) == length:
            return data
        # One read gives at most 2 GiB on Linux, and a signal may cut it short.
        parts = [data]
        missing = length - len(data)
        while missing and parts[-1]:
            parts.append(os.pread(descriptor, missing, offset + length - missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


class MemorySource:
    """An archive that is in memory already."""

    identity: str | None = None

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __repr__(self) -> str:
        return f"MemorySource({len(self._data)} bytes)"

    def read_tail(self, length: int) -> tuple[bytes, int]:
        """Return the last ``length`` bytes, or all there are, and the size of the whole."""
        return self._data[max(0, len(self._data) - length) :], len(self._data)

    def read_range(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on; fewer only at the end."""
        return self._data[offset : offset + length]
