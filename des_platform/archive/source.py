"""Where a reader's bytes come from: the protocol that any store can fulfil, and the local file that does.

A source stands for one unchanging file. It may fail with errors of its own, which readers pass on; a range that reaches
past the end gives the bytes there are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType


class ByteSource(Protocol):
    """A file of known size whose bytes can be read from the middle, by several threads at once."""

    @property
    def size(self) -> int:
        """Length of the file in bytes."""

    def read_range(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on; fewer only where the file ends. ``length`` is at least 1."""


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
        self.size = os.fstat(self._file.fileno()).st_size

    def __repr__(self) -> str:
        return f"FileSource({self._path!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

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
