"""A day's files, each in the archive of its shard: ``<base>/YYYY-MM-DD/<shard in hex>.des``.

Invariants: a file's name is minted here and its shard follows from the name, so that whoever knows the name and the day
knows the archive; all archives of a day appear when the store is closed, none when its ``with`` block fails.

How it fails: as `DesWriter` does. When one of several archives cannot be published, those published before it stay, the
rest is dropped, and the error says which it was.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from des_platform.archive.writer import DesWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date
    from types import TracebackType

MAX_SHARD_BITS = 16
_EXTENSION = re.compile(r"(\.[A-Za-z0-9_-]+)+")


class DailyShardedDesStore:
    """Writes one day's archives; a context manager, thread-safe.

    Args:
        base_dir: where the day's directory shall stand.
        mint: gives a new, unique name for a day.
        shard_of: gives the shard of a name, at least 0 and below ``2 ** shard_bits``.
        day: the day.
        shard_bits: how many bits number the shards, 0 to 16.
        filename_ext: how the archives' file names end, with its dot.
        options: of each `DesWriter`.

    Raises:
        ValueError: ``shard_bits`` or ``filename_ext`` is not as above.
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str],
        *,
        mint: Callable[[date], str],
        shard_of: Callable[[str], int],
        day: date,
        shard_bits: int = 8,
        filename_ext: str = ".des",
        **options: Any,  # noqa: ANN401 - they are DesWriter's
    ) -> None:
        if not 0 <= shard_bits <= MAX_SHARD_BITS:
            raise ValueError(f"shard_bits is {shard_bits}: expected 0 to {MAX_SHARD_BITS}")
        if not _EXTENSION.fullmatch(filename_ext):
            raise ValueError(
                f"filename_ext is {filename_ext!r}: expected letters and digits after a dot, such as '.des'"
            )
        self._folder = Path(base_dir) / day.isoformat()
        self._mint = mint
        self._shard_of = shard_of
        self._day = day
        self._shards = 1 << shard_bits
        self._digits = max(1, -(-shard_bits // 4))
        self._extension = filename_ext
        self._options = options
        self._lock = threading.Lock()
        self._closed = False
        self._writers: dict[int, DesWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def add_file(
        self, data: bytes | bytearray | memoryview, meta: Mapping[str, object] | None = None
    ) -> tuple[str, Path]:
        """Add a file under a new name.

        Returns:
            The name, and the path where its archive will stand once the store is closed.

        Raises:
            ValueError, TypeError, OSError: as for `DesWriter.add_file`; `FileExistsError` where an archive stands.
            RuntimeError: the store is closed.
        """
        return self._add(self._mint(self._day), data, meta)

    def add_file_from_path(
        self, path: str | os.PathLike[str], meta: Mapping[str, object] | None = None, *, keep_ext: bool = False
    ) -> tuple[str, Path]:
        """Add a file from disk under a new name; arguments and errors as for `add_file`.

        Args:
            path: the file.
            meta: what to keep beside it.
            keep_ext: whether the name ends like the file's, such as in ``.json``.
        """
        path = Path(path)
        name = self._mint(self._day) + (path.suffix if keep_ext else "")
        return self._add(name, path.read_bytes(), meta)

    def close(self) -> None:
        """Publish all archives. Does nothing when closed or aborted before.

        Raises:
            OSError: one of them could not be published; the rest is dropped.
        """
        with self._lock:
            self._closed = True
            writers, self._writers = self._writers, {}
        try:
            for writer in writers.values():
                writer.close()
        finally:
            for writer in writers.values():
                writer.abort()

    def abort(self) -> None:
        """Drop all archives. Does nothing when closed or aborted before."""
        with self._lock:
            self._closed = True
            writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.abort()

    def _add(
        self, name: str, data: bytes | bytearray | memoryview, meta: Mapping[str, object] | None
    ) -> tuple[str, Path]:
        shard = self._shard_of(name)
        if not 0 <= shard < self._shards:
            raise ValueError(f"shard {shard} of {name!r} does not exist: there are {self._shards}, numbered from 0")
        path = self._folder / f"{shard:0{self._digits}x}{self._extension}"
        with self._lock:
            if self._closed:
                raise RuntimeError(f"cannot add {name!r}: the store of {self._folder} is closed")
            if shard not in self._writers:
                self._writers[shard] = DesWriter(path, **self._options)
            writer = self._writers[shard]
        writer.add_file(name, data, meta)
        return name, path


def iter_daily_des_files(base_dir: str | os.PathLike[str], day: date, *, filename_ext: str = ".des") -> Iterator[Path]:
    """Iterate over a day's archives in the order of their shards; over none when there is no such day."""
    for path in sorted((Path(base_dir) / day.isoformat()).glob(f"*{filename_ext}")):
        # Unfinished archives are hidden files.
        if re.fullmatch(r"[0-9a-f]+", path.name.removesuffix(filename_ext)):
            yield path
