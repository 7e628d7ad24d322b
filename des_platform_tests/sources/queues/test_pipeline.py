from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from des_platform.settings import Settings
from des_platform.sources.queues.pipeline import Pipeline
from des_platform.sources.queues.queue import Message, Queue, QueueConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = "http://127.0.0.1/none"


class Noting(Queue):
    """A queue without a server: what it hands out is given, how long it was to wait is noted; None as configured."""

    def __init__(self, wait_seconds: int, *given: str) -> None:
        super().__init__(QueueConfig(name="files", url=URL, wait_seconds=wait_seconds))
        self._given = [[Message(body, f"receipt of {body}")] for body in given]
        self.waits: list[int | None] = []

    def receive(self, wait_seconds: int | None = None) -> list[Message]:
        self.waits.append(wait_seconds)
        return self._given.pop(0) if self._given else []

    def delete(self, messages: Sequence[Message]) -> int:
        return 0 * len(messages)


def taken(queue: Queue) -> list[str]:
    bodies = []
    with Pipeline(queue, time.monotonic() + 30) as pipeline:
        for batch in pipeline:
            bodies += [message.body for message in batch]
            pipeline.settle(batch, batch)
    return bodies


def test_an_empty_queue_is_waited_for_once_as_long_as_configured() -> None:
    queue = Noting(20)

    assert taken(queue) == []
    assert queue.waits == [None]


@pytest.mark.parametrize(("configured", "then"), [(20, 1), (0, 0)])
def test_after_a_message_the_next_is_waited_for_a_second_at_most(configured: int, then: int) -> None:
    queue = Noting(configured, "one", "two")

    assert taken(queue) == ["one", "two"]
    first, *others = queue.waits
    assert first is None
    assert set(others) == {then}


def test_a_queue_of_the_settings_waits_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DES_QUEUE_WAIT_SECONDS", "17")

    assert QueueConfig.of_settings(Settings(queue_url=URL)).wait_seconds == 17


def test_a_queue_of_the_sources_file_waits_as_long_as_the_one_of_the_settings() -> None:
    assert QueueConfig(name="orders", url=URL).wait_seconds == Settings.model_fields["queue_wait_seconds"].default == 8
