"""The queue that announces files: SQS, or anything that speaks its protocol.

Retries, back-off and time-outs are the client's own; there is no second layer here. A message is deleted only by
whoever committed what it said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_sqs import SQSClient

    from des_platform.settings import Settings

BATCH = 10  # SQS's own limit for every batch call
WAIT_SECONDS = (
    1  # long polling: files that arrive one after the other are one draining, and an empty queue costs one call
)
VISIBILITY_SECONDS = 120  # longer than a tick's budget: a message is not handed out again while it is worked on


@dataclass(frozen=True, slots=True)
class Message:
    """A received message; the receipt deletes it."""

    body: str
    receipt: str


class Queue:
    """One queue."""

    def __init__(self, settings: Settings) -> None:
        """Connect lazily to the queue of the settings.

        Raises:
            ConfigurationError: no queue is set.
        """
        if not settings.queue_url:
            raise ConfigurationError(
                "no queue is set: give its URL in DES_QUEUE_URL, or let the listing find the files"
            )
        self.url = settings.queue_url
        self._client = _client(settings)

    def receive(self) -> list[Message]:
        """Up to ten messages; none says that the queue is empty now."""
        answer = self._client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=VISIBILITY_SECONDS,
        )
        return [Message(found["Body"], found["ReceiptHandle"]) for found in answer.get("Messages", [])]

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages; one that cannot be deleted comes back, and is known then."""
        if messages:
            entries = [{"Id": str(index), "ReceiptHandle": message.receipt} for index, message in enumerate(messages)]
            self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)  # type: ignore[arg-type]

    def send(self, bodies: Sequence[str]) -> None:
        """Send messages.

        Raises:
            RuntimeError: the queue refused one.
        """
        for start in range(0, len(bodies), BATCH):
            entries = [
                {"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies[start : start + BATCH])
            ]
            answer = self._client.send_message_batch(QueueUrl=self.url, Entries=entries)  # type: ignore[arg-type]
            if failed := answer.get("Failed"):
                raise RuntimeError(
                    f"the queue {self.url} refused {len(failed)} of {len(entries)} messages: {failed[0].get('Message')}"
                )

    def waiting(self) -> int:
        """About how many messages wait."""
        names = ["ApproximateNumberOfMessages"]
        answer = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)  # type: ignore[arg-type]
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def _client(settings: Settings) -> SQSClient:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "sqs",
        region_name=settings.s3_region,
        endpoint_url=settings.queue_endpoint or None,
        config=Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=30),
    )
