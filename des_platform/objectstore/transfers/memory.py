"""What this machine remembers of an upload that has not ended: a small file for each local file and key.

The parts are in the store. The file here only names the upload that they belong to; whoever reads it compares each
part before it counts. It is locked while the upload goes on. One that is torn, or about another version of the file,
is as good as none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOG = logging.getLogger(__name__)
_MOST_CHARS = 65_536


class UploadMemory:
    """Remembers one upload.

    Args:
        file: open and locked; None where nothing can be remembered.
        path: the file's.
    """

    def __init__(self, file: IO[str] | None, path: Path) -> None:
        self._file = file
        self._path = path

    def recall(self) -> dict[str, Any]:
        """What was remembered; empty for nothing."""
        if self._file is None:
            return {}
        self._file.seek(0)
        try:
            found = json.loads(self._file.read(_MOST_CHARS))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def remember(self, facts: dict[str, Any]) -> None:
        """Replace what is remembered."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(json.dumps(facts))
            self._file.flush()
            os.fsync(self._file.fileno())

    def forget(self) -> None:
        """Remember nothing."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)


@contextmanager
def upload_memory(folder: Path | None, path: Path, uri: str) -> Iterator[UploadMemory]:
    """Open what is remembered of an upload; where that cannot be, it goes on without.

    Args:
        folder: holds the files; None to remember nothing.
        path: the local file.
        uri: where it goes.
    """
    if folder is None:
        yield UploadMemory(None, path)
        return
    name = hashlib.sha256(f"{path.absolute()}\0{uri}".encode(errors="surrogateescape")).hexdigest()[:32]
    place = folder / f"{name}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = place.open("a+")
    except OSError as error:
        _LOG.warning(
            "%s: an interrupted upload of %s would begin anew, this folder is refused: %s", folder, path, error
        )
        yield UploadMemory(None, path)
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _LOG.warning("another process uploads %s to %s; this one shares nothing with it", path, uri)
            yield UploadMemory(None, path)
            return
        memory = UploadMemory(file, place)
        yield memory
        if not memory.recall():
            memory.forget()
