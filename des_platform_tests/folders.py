"""Folders for servers that tests start."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder below it has a name of its own
_NEEDED_BYTES = 1 << 30


@contextmanager
def server_folder() -> Iterator[Path]:
    """A new folder that a server's own user can enter too, removed at the end; in memory where that has a gibibyte.

    Not pytest's `tmp_path`: nobody but its owner can enter that, and it keeps a server's 40 MB for three sessions. In
    memory, because ext4 looks long for an inode after many deletions: a database took 0.25 s there, 0.04 s here.
    """
    fit = _MEMORY.is_dir() and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC  # tests put programs there, too
    roomy = fit and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES
    with tempfile.TemporaryDirectory(prefix="des_platform_tests-", dir=_MEMORY if roomy else None) as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)
        yield folder
