"""Messages in hand stay invisible to others as long as somebody works on them.

A thread looks three times per visibility time-out, and prolongs what has been in hand for so long. Work that is quicker
costs no request at all. If the thread fails, messages are handed to somebody else too: work is done twice, and nothing
is lost, so it only says so and tries again at its next beat.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from des_platform.sources.queues.queue import Message, Queue

_log = logging.getLogger(__name__)


class InHand:
    """The messages of one queue that were received and are neither deleted nor given up.

    Args:
        queue: where they came from.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._beat = queue.config.visibility_seconds / 3
        self._since: dict[str, tuple[Message, float]] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"visibility of {queue.config.name}", daemon=True)

    def take(self, messages: Iterable[Message]) -> None:
        """Work on these begins."""
        now = time.monotonic()
        with self._lock:
            self._since.update({message.receipt: (message, now) for message in messages})

    def release(self, messages: Iterable[Message]) -> None:
        """Work on these has ended, whichever way."""
        with self._lock:
            for message in messages:
                self._since.pop(message.receipt, None)

    def __bool__(self) -> bool:
        """Whether there is any."""
        with self._lock:
            return bool(self._since)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._keeper.join()

    def _keep(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        while not self._done.wait(self._beat):
            now = time.monotonic()
            with self._lock:
                due = [message for message, since in self._since.values() if now - since >= self._beat]
                self._since.update({message.receipt: (message, now) for message in due})
            try:
                self._queue.extend(due)
            except (BotoCoreError, ClientError) as error:
                _log.warning("messages of the queue %s could not be kept: %s", self._queue.config.name, error)
