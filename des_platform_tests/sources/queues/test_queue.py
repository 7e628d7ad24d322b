from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
import pytest
from pydantic import ValidationError

from des_platform.cli.demo.processes import wait_until
from des_platform.settings import ConfigurationError, Settings
from des_platform.sources.queues.queue import Depth, Outgoing, Queue, QueueConfig
from des_platform.sources.queues.visibility import InHand
from des_platform_tests.sources.support import redrive

if TYPE_CHECKING:
    from des_platform.sources.queues.queue import Message
    from des_platform_tests.objectstore.relay import Relay, Request
    from des_platform_tests.sources.support import Post


@pytest.fixture
def queue(queue_config: QueueConfig) -> Queue:
    return Queue(queue_config)


@pytest.fixture
def hasty_queue(queue_config: QueueConfig) -> Queue:
    """Hands a message out again after a second."""
    return Queue(queue_config.model_copy(update={"visibility_seconds": 1}))


@pytest.fixture
def fifo(queue_config: QueueConfig, moto_endpoint: str) -> Queue:
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = client.create_queue(QueueName="files.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return Queue(queue_config.model_copy(update={"url": url}))


@pytest.fixture
def dead_ended(hasty_queue: Queue, moto_endpoint: str) -> Queue:
    """Gives up what it has handed out twice."""
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    client.create_queue(QueueName="files-dlq")
    redrive(client, hasty_queue.url, "files-dlq", receives=2)
    return hasty_queue


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


def test_a_message_that_was_not_deleted_comes_back_and_counts_its_deliveries(hasty_queue: Queue) -> None:
    hasty_queue.send(["one"])

    (first,) = hasty_queue.receive()
    wait_until(lambda: hasty_queue.waiting() == 1, 20, "the message is back")
    (again,) = hasty_queue.receive()

    assert (first.body, first.deliveries) == ("one", 1)
    assert (again.body, again.deliveries, again.id) == ("one", 2, first.id)
    assert first.group is None


def test_only_what_is_deleted_is_gone(hasty_queue: Queue) -> None:
    hasty_queue.send(["keep", "drop"])

    assert hasty_queue.delete([message for message in hasty_queue.receive() if message.body == "drop"]) == 0
    assert hasty_queue.delete([]) == 0

    wait_until(lambda: hasty_queue.waiting() == 1, 20, "the message is back")
    assert [message.body for message in hasty_queue.receive()] == ["keep"]


def test_a_message_that_is_gone_already_may_be_deleted_again(queue: Queue) -> None:
    queue.send(["one"])
    messages = queue.receive()

    queue.delete(messages)
    queue.delete(messages)

    assert queue.waiting() == 0


def test_any_number_of_messages_may_be_deleted_at_once(queue: Queue) -> None:
    queue.send([str(number) for number in range(25)])

    assert queue.delete(receive_all(queue)) == 0

    assert queue.depth() == Depth(waiting=0, in_flight=0, dead_letters=0)


def test_what_cannot_be_deleted_is_counted_whether_one_message_or_the_server_is_to_blame(
    queue_config: QueueConfig, relay: Relay
) -> None:
    queue = Queue(queue_config.model_copy(update={"endpoint": relay.url}))
    queue.send(["one", "two"])
    messages = queue.receive()

    assert queue.delete([replace(messages[0], receipt="never given"), messages[1]]) == 1

    relay.before = lambda *_: 403
    assert queue.delete(messages) == 2


def test_depth_tells_what_waits_what_is_in_hand_and_what_the_queue_gave_up(dead_ended: Queue, queue: Queue) -> None:
    dead_ended.send(["one", "two"])
    for _ in range(2):
        dead_ended.receive()
        wait_until(lambda: dead_ended.depth().in_flight == 0, 20, "the messages are back")
    assert dead_ended.receive() == []
    dead_ended.send(["three", "four"])
    assert len(queue.receive()) == 2  # the same queue, with more patience
    dead_ended.send(["five"])

    assert dead_ended.depth() == Depth(waiting=1, in_flight=2, dead_letters=2)


def test_a_queue_without_dead_letter_queue_has_none(queue: Queue) -> None:
    assert queue.dead_letter_queue() is None


def test_a_dead_letter_queue_that_does_not_exist_is_named(queue: Queue, moto_endpoint: str) -> None:
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    gone = client.create_queue(QueueName="gone")["QueueUrl"]
    redrive(client, queue.url, "gone")
    client.delete_queue(QueueUrl=gone)

    with pytest.raises(ConfigurationError, match="lays dead letters into gone, which does not exist"):
        queue.dead_letter_queue()


def test_a_fifo_queue_keeps_the_order_of_a_group_and_drops_what_was_sent_twice(fifo: Queue) -> None:
    fifo.send([Outgoing(f"a{number}", "a", f"a{number}") for number in range(12)])
    fifo.send([Outgoing("a0", "a", "a0"), Outgoing("b0", "b", "b0")])

    received: list[Message] = []
    while messages := fifo.receive():
        received += messages
        fifo.delete(messages)

    assert [message.body for message in received if message.group == "a"] == [f"a{number}" for number in range(12)]
    assert [message.body for message in received if message.group == "b"] == ["b0"]


def test_a_fifo_queue_takes_group_and_deduplication_from_the_identifier_in_the_message(fifo: Queue) -> None:
    first = json.dumps({"ID": "7a1c", "file_name": "a"})
    fifo.send([first, json.dumps({"ID": "7a1c", "file_name": "again"}), "no JSON", "no JSON", '{"ID": "a b"}'])

    received = fifo.receive()

    assert [(message.group, message.body) for message in received if message.group == "7a1c"] == [("7a1c", first)]
    assert sorted(message.body for message in received) == sorted([first, "no JSON", '{"ID": "a b"}'])


def test_a_message_stays_in_hand_as_long_as_somebody_works_on_it(queue_config: QueueConfig, relay: Relay) -> None:
    queue = Queue(queue_config.model_copy(update={"endpoint": relay.url, "visibility_seconds": 2}))
    queue.send(["one", "two"])
    with InHand(queue) as hand:
        messages = queue.receive()
        hand.take(messages)
        hand.release([message for message in messages if message.body == "two"])
        # By the fourth prolonging more than the two seconds have passed after which it would be handed out again.
        wait_until(lambda: len(prolongings(relay)) >= 4, 20, "the visibility was prolonged")

        assert [message.body for message in queue.receive()] == ["two"]


def test_quick_work_costs_no_prolonging(post: Post, relay: Relay) -> None:
    post.queue.send([post.put("one")])

    assert post.source(endpoint=relay.url).drain(seconds=30).new == 1

    assert prolongings(relay) == []


def test_a_variable_in_the_url_is_taken_from_the_environment(
    queue: Queue, queue_config: QueueConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_NAME", "files")
    queue.send(["one"])
    config = queue_config.model_copy(update={"url": queue.url.replace("/files", "/${QUEUE_NAME}")})

    assert [message.body for message in Queue(config).receive()] == ["one"]

    monkeypatch.delenv("QUEUE_NAME")
    with pytest.raises(ConfigurationError, match="QUEUE_NAME"):
        Queue(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"visibility_seconds": 0}, "visibility_seconds"),
        ({"wait_seconds": 20, "timeout_seconds": 20}, "must be longer than wait_seconds"),
        ({"chunk_stream": "chunks", "default_bucket": None}, "chunk_stream needs default_bucket"),
        ({"colour": "red"}, "colour"),
        ({"name": "No Name"}, "name"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        QueueConfig.model_validate({"name": "files", "url": "http://localhost/files", **changes})


def prolongings(relay: Relay) -> list[Request]:
    return [
        request
        for request in relay.requests
        if request.headers.get("x-amz-target", "").endswith("ChangeMessageVisibilityBatch")
    ]
