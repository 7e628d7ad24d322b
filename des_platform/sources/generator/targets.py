"""Where generated files go: a bucket and the queue that announces what is in it, or a folder.

One key, one content: a file that is there already with the same bytes stays and is announced again, which whoever knows
it takes for nothing new; one with other bytes is never replaced. A file is announced after it is stored, so a delivery
that is killed in between leaves a file that the listing finds. Puts run side by side while the next file is made;
`flush` ends with all that was handed over stored and announced, or with the first error, after the others are.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from des_platform.objectstore import PreconditionFailed, digest_of
from des_platform.settings import ConfigurationError
from des_platform.sources.messages.events import s3_event
from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from des_platform.objectstore import ObjectStore
    from des_platform.sources.queues.queue import Queue

_IN_FLIGHT_BYTES = 64 << 20
_ANNOUNCED_AT_ONCE = 10


class Target(Protocol):
    """Where files go.

    Attributes:
        known: files that were there already.
        announced: files that a queue was told of.
    """

    known: int
    announced: int

    def deliver(self, key: str, content: bytes) -> None:
        """Take a file over."""

    def flush(self) -> None:
        """Finish with all that was taken over."""


class BucketTarget:
    """A bucket, and the queue that its files are announced in.

    Args:
        store: the bucket.
        queue: the queue; None for files that nobody is told of.
        threads: puts at once.
    """

    def __init__(self, store: ObjectStore, queue: Queue | None, *, threads: int) -> None:
        self.known = 0
        self.announced = 0
        self._store = store
        self._queue = queue
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "put")
        self._puts: deque[Future[tuple[str, bool]]] = deque()
        self._messages: list[str] = []

    def deliver(self, key: str, content: bytes) -> None:
        """Put a file; waits while too much is on its way.

        Raises:
            ConfigurationError: the key holds something else.
            SourceUnavailable: the queue does not answer.
            StoreUnavailable: the store does not answer.
        """
        self._puts.append(self._pool.submit(self._put, key, content))
        most = max(1, min(self._threads, _IN_FLIGHT_BYTES // (len(content) + 1)))
        while len(self._puts) > most or (self._puts and self._puts[0].done()):
            self._settle()
        if len(self._messages) >= _ANNOUNCED_AT_ONCE:
            self._announce()

    def flush(self) -> None:
        """Wait for all puts, and announce them; errors as of `deliver`, once all that succeeded is announced."""
        failure: Exception | None = None
        while self._puts:
            try:
                self._settle()
            except Exception as error:  # noqa: BLE001 - raised below, when the others are announced
                failure = failure or error
        self._announce()
        if failure is not None:
            raise failure

    def _settle(self) -> None:
        message, known = self._puts.popleft().result()
        self.known += known
        self._messages.append(message)

    def _put(self, key: str, content: bytes) -> tuple[str, bool]:
        """Put a file unless it is there; returns the message that announces it, and whether it was there."""
        try:
            put = self._store.put(key, content, if_absent=True)
        except PreconditionFailed:
            fresh, there = digest_of((content,)), self._store.digest(key)
            if fresh.sha256 != there.sha256:
                raise _taken(self._store.uri(key)) from None
            return s3_event(self._store.bucket, key, there.size, there.etag, datetime.now(UTC)), True
        return s3_event(self._store.bucket, key, put.size, put.etag, datetime.now(UTC)), False

    def _announce(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        messages, self._messages = self._messages, []
        if self._queue is None or not messages:
            return
        try:
            self._queue.send(messages)
        except (BotoCoreError, ClientError, RuntimeError) as error:
            raise SourceUnavailable(
                f"the queue {self._queue.url} did not take {len(messages)} announcements: {error}; the listing finds"
                " their files"
            ) from None
        self.announced += len(messages)


class FolderTarget:
    """A folder; a file's key is its path in it."""

    def __init__(self, folder: Path) -> None:
        self.known = 0
        self.announced = 0
        self._folder = folder

    def deliver(self, key: str, content: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            ConfigurationError: it cannot be written, or its path holds something else.
        """
        path = self._folder / key
        beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
        try:
            if path.exists():
                if path.read_bytes() != content:
                    raise _taken(str(path))
                self.known += 1
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_bytes(content)
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {os.strerror(error.errno or 0)}") from None

    def flush(self) -> None:
        """Nothing waits."""


def _taken(where: str) -> ConfigurationError:
    return ConfigurationError(f"{where} holds something else than the seed gives: delete it, or take another seed")
