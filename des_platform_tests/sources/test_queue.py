from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from des_platform.settings import ConfigurationError, Settings
from des_platform.sources import queue as module
from des_platform.sources.queue import Queue

if TYPE_CHECKING:
    from des_platform.sources.queue import Message


@pytest.fixture
def queue(queue_settings: dict[str, str]) -> Queue:
    return Queue(Settings().model_copy(update=queue_settings))


def receive_all(queue: Queue) -> list[Message]:
    received: list[Message] = []
    while messages := queue.receive():
        received += messages
    return received


def test_without_a_queue_the_error_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="DES_QUEUE_URL"):
        Queue(Settings(queue_url=""))


def test_any_number_of_messages_comes_out_as_it_went_in(queue: Queue) -> None:
    bodies = [f'{{"number": {number}, "text": "ä \U0001f600"}}' for number in range(25)]
    queue.send(bodies)

    assert queue.waiting() == 25
    assert sorted(message.body for message in receive_all(queue)) == sorted(bodies)


def test_a_message_is_not_handed_out_again_while_it_is_worked_on(queue: Queue) -> None:
    queue.send(["one"])

    assert len(queue.receive()) == 1
    assert queue.receive() == []


def test_a_message_that_was_not_deleted_comes_back(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VISIBILITY_SECONDS", 0)
    queue.send(["one"])

    assert [message.body for message in queue.receive()] == ["one"]
    assert [message.body for message in queue.receive()] == ["one"]


def test_only_what_is_deleted_is_gone(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VISIBILITY_SECONDS", 0)
    queue.send(["keep", "drop"])

    queue.delete([message for message in queue.receive() if message.body == "drop"])
    queue.delete([])

    assert [message.body for message in queue.receive()] == ["keep"]


def test_a_message_that_is_gone_already_may_be_deleted_again(queue: Queue) -> None:
    queue.send(["one"])
    messages = queue.receive()

    queue.delete(messages)
    queue.delete(messages)

    assert queue.waiting() == 0
