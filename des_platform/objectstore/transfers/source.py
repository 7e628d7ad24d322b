"""The local file that an upload reads: one version of it, or none."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from des_platform.objectstore.errors import SourceChanged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalSource:
    """An open file and what it was when it was opened.

    Attributes:
        path: its name.
        file: unbuffered.
        status: as it was.
    """

    path: Path
    file: BinaryIO
    status: os.stat_result

    @property
    def size(self) -> int:
        """Bytes, as they were."""
        return self.status.st_size

    @property
    def identity(self) -> list[int]:
        """What would be another number if the content were another one."""
        return _identity(self.status)

    def fill(self, buffer: bytearray) -> int:
        """Read on until the buffer is full or the file ends; return how much it was."""
        done = 0
        view = memoryview(buffer)
        while done < len(buffer) and (read := self.file.readinto(view[done:])):  # type: ignore[attr-defined] # a FileIO
            done += read
        return done

    def check(self) -> None:
        """Make sure that the file is what it was.

        Raises:
            SourceChanged: it is not.
        """
        try:
            now = [_identity(os.fstat(self.file.fileno())), _identity(self.path.stat())]
        except FileNotFoundError:
            raise SourceChanged(f"{self.path} is gone since its upload began; nothing was stored") from None
        if any(found != self.identity for found in now):
            raise SourceChanged(
                f"{self.path} changed while it was uploaded: it had {self.size} bytes, it has {now[1][0]}, or was "
                "written to; nothing was stored; upload it again once its writer is done"
            )


@contextmanager
def opened(path: Path) -> Iterator[LocalSource]:
    """Open a file for an upload.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a pipe or a device.
    """
    # Opening a pipe would wait for its writer.
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path} is no regular file; only one can be checked while it is uploaded")
    with path.open("rb", buffering=0) as file:
        yield LocalSource(path, file, os.fstat(file.fileno()))


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]
