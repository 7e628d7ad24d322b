"""Messages of a queue, received ahead and deleted behind, while somebody works on those in between.

The worker settles every batch that it is given, and only what it settles as recorded is deleted, so nothing is deleted
before its commit. A failure to receive ends the iteration; it is raised once the batches in hand are settled and
deleted. What was received and not settled comes back after the visibility time-out.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from des_platform.sources.queues.visibility import InHand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from des_platform.sources.queues.queue import Message, Queue

RECEIVES_AT_ONCE = 4
"""A batch holds as many times ten messages at most."""
GATHER_SECONDS = 1
"""Files that come one after the other are one draining: once there was a message, the next is waited for so long."""


class Pipeline:
    """Batches of messages until the queue is empty or the time is up; a batch that has been received is given out.

    Args:
        queue: where they come from.
        deadline: when receiving ends, in seconds of the monotonic clock.
    """

    def __init__(self, queue: Queue, deadline: float) -> None:
        self.undeleted = 0
        self._queue = queue
        self._deadline = deadline
        self._wanted = 1  # an empty queue costs one call
        self._wait_seconds: int | None = None  # as the queue's configuration says
        self._held_back = False
        self._error: Exception | None = None
        self._receiving: deque[Future[list[Message]]] = deque()
        self._deleting: deque[Future[int]] = deque()
        self._hand = InHand(queue)
        self._pool = ThreadPoolExecutor(2 * RECEIVES_AT_ONCE, f"queue {queue.config.name}")

    def __enter__(self) -> Self:
        self._hand.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait_for_deletes(0)
        finally:
            self._pool.shutdown()
            self._hand.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[list[Message]]:
        while True:
            while len(self._receiving) < self._wanted and self._error is None and time.monotonic() < self._deadline:
                # A FIFO queue holds groups back that have messages in hand: it may look empty and is not.
                self._held_back = self._queue.fifo and bool(self._receiving or self._hand)
                self._receiving.append(self._pool.submit(self._receive))
            if not self._receiving:
                break
            if batch := self._next():
                self._wanted = RECEIVES_AT_ONCE
                self._wait_seconds = min(GATHER_SECONDS, self._queue.config.wait_seconds)
                yield batch
            elif self._held_back:
                self._wait_for_deletes(0)
                self._wanted = 0 if self._receiving else 1
            else:
                self._wanted = 0
        if self._error is not None:
            raise self._error

    def settle(self, batch: Sequence[Message], recorded: Sequence[Message]) -> None:
        """Work on a batch has ended.

        Args:
            batch: the batch.
            recorded: those of it whose content is committed; the others stay in the queue.
        """
        kept = {message.receipt for message in recorded}
        self._hand.release(message for message in batch if message.receipt not in kept)
        self._deleting.append(self._pool.submit(self._delete, recorded))
        self._wait_for_deletes(RECEIVES_AT_ONCE)

    def stop(self) -> None:
        """Receive no more; what has been received is still given out."""
        self._deadline = 0.0

    def _receive(self) -> list[Message]:
        messages = self._queue.receive(self._wait_seconds)
        self._hand.take(messages)
        return messages

    def _next(self) -> list[Message]:
        """The messages of the receive that began first, and of all that have ended since."""
        batch: list[Message] = []
        while self._receiving and (not batch or self._receiving[0].done()):
            try:
                batch += self._receiving.popleft().result()
            except Exception as error:  # noqa: BLE001 - raised once what is in hand is settled
                self._error = error
            if not batch:
                break
        return batch

    def _delete(self, messages: Sequence[Message]) -> int:
        try:
            return self._queue.delete(messages)
        finally:
            self._hand.release(messages)

    def _wait_for_deletes(self, most: int) -> None:
        while len(self._deleting) > most:
            self.undeleted += self._deleting.popleft().result()
