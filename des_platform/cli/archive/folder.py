"""A folder that files of an archive are written to, and that no name leads out of.

Names are from outside. One that would escape, or that is no path of a file, is refused by a `ValueError`; a link below
the folder is never followed. A file appears whole or not at all, and an existing one is only replaced on request.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class Folder:
    """Writes files below one directory.

    Args:
        root: the directory; made with the first file.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._safe: set[Path] = set()

    def write(self, name: str, data: bytes, *, replace: bool) -> None:
        """Write a file under its name.

        Raises:
            ValueError: the name leads out of the folder, or is no path of a file.
            FileExistsError: it is there, and is not to be replaced.
            OSError: the disk failed, or the name is that of a folder.
        """
        parts = name.split("/")
        if "\0" in name or not {"", ".", ".."}.isdisjoint(parts):
            raise ValueError(f"the name {name!r} is refused: it would leave the folder, or is no path of a file in it")
        write_file(self._make(parts[:-1]) / parts[-1], data, replace=replace)

    def _make(self, parts: list[str]) -> Path:
        """Make the directories one by one, so that none is made behind a link."""
        folder = self._root
        if folder not in self._safe:
            folder.mkdir(parents=True, exist_ok=True)
            self._safe.add(folder)
        for part in parts:
            folder /= part
            if folder not in self._safe:
                with suppress(FileExistsError):
                    folder.mkdir()
                if folder.is_symlink():
                    raise ValueError(f"{folder} is a link, and may lead out of the folder: nothing is written there")
                self._safe.add(folder)
        return folder


def write_file(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file beside its name, and give it the name when it is whole.

    Raises:
        FileExistsError: it is there, and is not to be replaced.
        OSError: the disk failed.
    """
    if not replace and os.path.lexists(path):
        raise _exists(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.des.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        if replace:
            temporary.replace(path)
        else:
            try:
                path.hardlink_to(temporary)  # fails where the name is taken meanwhile
            except FileExistsError:
                raise _exists(path) from None
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "it is there already; --force replaces it", str(path))
