"""Readers that stay open between calls: the ones used last, each as long as somebody uses it.

A reader is closed when it is dropped and nobody uses it any more. After a fork the child opens readers of its own. A
local archive that was replaced is opened anew; one in a store that was replaced says so by `PreconditionFailed`.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from des_platform.objectstore import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive import DesReader
    from des_platform.files.locations import Location


class _Open:
    """A reader, and how many use it."""

    def __init__(self, reader: DesReader, stamp: object) -> None:
        self.reader = reader
        self.stamp = stamp
        self.users = 0
        self.dropped = False


class OpenArchives:
    """Opens archives and keeps some open; safe for threads.

    Args:
        most: how many readers stay open while nobody uses them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._reset()

    @contextmanager
    def reader(self, location: Location) -> Iterator[DesReader]:
        """Lend an archive's reader for the time of ``with``; take nothing out that reads later.

        Raises:
            PreconditionFailed: the archive was replaced in its store; the next call opens the new one.
            CorruptArchive: there is no archive, or a broken one. Errors of the place where it is pass through.
        """
        if os.getpid() != self._process:
            self._reset()
        opened = self._take(location)
        try:
            yield opened.reader
        except PreconditionFailed:
            self.drop(location)
            raise
        finally:
            with self._lock:
                opened.users -= 1
                self._close_idle(opened)

    def drop(self, location: Location | None = None) -> None:
        """Forget an archive's reader, or all of them."""
        with self._lock:
            for known in list(self._archives) if location is None else [location]:
                self._drop(known)

    def _take(self, location: Location) -> _Open:
        stamp = location.stamp()
        with self._lock:
            found = self._archives.get(location)
            if found is not None and found.stamp == stamp:
                self._archives.move_to_end(location)
                found.users += 1
                return found
        # Not under the lock: a slow store must not hold up the others. Of two that open at once the second one stays.
        opened = _Open(location.reader(), stamp)
        opened.users = 1
        with self._lock:
            self._drop(location)
            self._archives[location] = opened
            while len(self._archives) > self._most:
                self._drop(next(iter(self._archives)))
        return opened

    def _drop(self, location: Location) -> None:
        opened = self._archives.pop(location, None)
        if opened is not None:
            opened.dropped = True
            self._close_idle(opened)

    def _close_idle(self, opened: _Open) -> None:
        if opened.dropped and not opened.users:
            opened.reader.close()

    def _reset(self) -> None:
        # Another thread may have held the lock when the process forked.
        self._lock = threading.Lock()
        self._archives: OrderedDict[Location, _Open] = OrderedDict()
        self._process = os.getpid()
