"""Where a writer's bytes go: the protocol that any store can fulfil, and the local file that does.

A sink gives its target nothing or a whole archive, never a part of one. Whoever opens a sink calls `commit` or `abort`
once, and nothing afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from des_platform.archive.source import FileSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.archive.source import ByteSource

# Gathering saves one copy of everything, but costs 70 ns a part; joining costs 15, and a copy. Blocks have 4 MiB.
_GATHERED_PARTS = 4096
_COPY_BYTES = 8 * 1024 * 1024
_BUFFERS_AT_ONCE = os.sysconf("SC_IOV_MAX") if hasattr(os, "sysconf") else 16
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_NO_KERNEL_COPY = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}


class ByteSink(Protocol):
    """Takes the bytes of one new file in order."""

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Add these bytes, one part after the other."""

    def copy(self, source: ByteSource, length: int) -> None:
        """Add the first ``length`` bytes of a source, without moving them through here where it can be; only first."""

    def commit(self) -> None:
        """Make the file durable and give it its name.

        Raises:
            FileExistsError: there is a file of that name, and the sink was not told to replace it.
        """

    def abort(self) -> None:
        """Leave nothing behind."""


class FileSink:
    """A local file, written beside its name under a temporary one, synced, and renamed.

    Args:
        path: where the file shall stand; missing directories are made.
        replace: whether a file of that name may be replaced, at once, when this one is whole.

    Raises:
        FileExistsError: there is something at ``path``, and ``replace`` is not set.
    """

    def __init__(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        self._path = Path(path)
        self._replace = replace
        if not replace and os.path.lexists(self._path):
            raise FileExistsError(errno.EEXIST, "an archive is never overwritten", str(self._path))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = self._path.with_name(f".{secrets.token_hex(8)}.des.tmp")
        self._file = self._temporary.open("xb", buffering=0)

    def __repr__(self) -> str:
        return f"FileSink({str(self._path)!r})"

    @property
    def folder(self) -> Path:
        """Where the file will stand: other temporary files fit there too."""
        return self._path.parent

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Add these bytes, one part after the other.

        Raises:
            OSError: the disk failed; call `abort`.
        """
        if len(parts) > _GATHERED_PARTS:
            parts = [b"".join(parts)]
        descriptor = self._file.fileno()
        for start in range(0, len(parts), _BUFFERS_AT_ONCE):
            batch = parts[start : start + _BUFFERS_AT_ONCE]
            written = os.writev(descriptor, batch)
            if written < sum(map(len, batch)):  # one call writes at most 2 GiB, and a signal may cut it short
                rest = memoryview(b"".join(batch))[written:]
                while rest:
                    rest = rest[os.write(descriptor, rest) :]

    def copy(self, source: ByteSource, length: int) -> None:
        """Add the first ``length`` bytes of a source; the kernel shares or copies those of another local file."""
        offset = self._kernel_copy(source, length) if isinstance(source, FileSource) else 0
        while offset < length:
            piece = source.read_range(offset, min(_COPY_BYTES, length - offset))
            if not piece:
                raise EOFError(f"{source!r} ended at byte {offset}, before the {length} bytes to copy")
            self.write([piece])
            offset += len(piece)

    def commit(self) -> None:
        """Sync the file and give it its name.

        Raises:
            FileExistsError: something has come to stand at the path; it is left alone and the new file is dropped.
            OSError: the disk failed; the new file is dropped.
        """
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            if self._replace:
                self._temporary.replace(self._path)
            else:
                _link(self._temporary, self._path)
            _sync_folder(self._path.parent)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Drop the file."""
        # Closing fails again on a disk that failed; the descriptor is closed all the same.
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _kernel_copy(self, source: FileSource, length: int) -> int:
        done = 0
        if not hasattr(os, "copy_file_range"):
            return done
        while done < length:
            try:
                copied = os.copy_file_range(source.fileno(), self._file.fileno(), length - done, done)
            except OSError as error:
                if error.errno in _NO_KERNEL_COPY:
                    break
                raise
            if not copied:
                break
            done += copied
        return done


def _link(temporary: Path, target: Path) -> None:
    """Give a finished file its name. Never replaces what stands there."""
    try:
        # Unlike a rename, a link fails when the name is taken, with no moment in between.
        target.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "an archive is never overwritten", str(target)) from error
        temporary.rename(target)
    else:
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
