"""The queue that announces files: SQS, standard or FIFO, or anything that speaks its protocol.

Retries, back-off and time-outs are the client's own; there is no second layer here. A message is deleted only by
whoever committed what it said. Messages that the queue itself gave up lie in its dead-letter queue, which is a `Queue`
like this one.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from des_platform.settings import BucketName, ConfigurationError, Settings
from des_platform.sources.variables import SourceName, expand

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mypy_boto3_sqs import SQSClient

BATCH = 10  # SQS's own limit for every batch call
WAIT_SECONDS = 8  # as `Settings.queue_wait_seconds`, which says why
VISIBILITY_SECONDS = 120  # longer than a tick's budget: a message is not handed out again while it is worked on
_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,128}")  # what SQS takes as a message group

_log = logging.getLogger(__name__)


class QueueAddress(BaseModel):
    """Where a queue is, and how it is asked.

    Attributes:
        name: what metrics, dead letters and commands call it.
        url: its URL; `${VARIABLE}` is taken from the environment.
        endpoint: base URL of an SQS-compatible server; empty for AWS.
        region: AWS region.
        visibility_seconds: how long a received message is nobody else's; renewed while work on it lasts.
        wait_seconds: how long an empty queue is waited for.
        timeout_seconds: how long the server may take to answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: SourceName
    url: Annotated[str, Field(min_length=1)]
    endpoint: str = ""
    region: str = "us-east-1"
    visibility_seconds: Annotated[int, Field(ge=1, le=43_200)] = VISIBILITY_SECONDS
    wait_seconds: Annotated[int, Field(ge=0, le=20)] = WAIT_SECONDS
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0

    @model_validator(mode="after")
    def _patient_enough(self) -> Self:
        if self.timeout_seconds <= self.wait_seconds:
            raise ValueError(
                f"timeout_seconds ({self.timeout_seconds:g}) must be longer than wait_seconds ({self.wait_seconds})"
            )
        return self


class QueueConfig(QueueAddress):
    """One queue of the sources file.

    Attributes:
        default_bucket: bucket of messages that name a file only; empty where there are none.
        chunk_stream: Kinesis stream that holds the chunks of chunked files, on the same endpoint; empty for none.
        chunked_prefix: start of the keys in `default_bucket` under which chunked files are put together.
        chunked_max_bytes: largest chunked file; a larger one becomes a dead letter. A shard gives 2 MiB a second, and
            a file must be read within one draining.
    """

    default_bucket: BucketName | None = None
    chunk_stream: str | None = None
    chunked_prefix: str = "chunked/"
    chunked_max_bytes: Annotated[int, Field(ge=1)] = 64 << 20

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.chunk_stream is not None and self.default_bucket is None:
            raise ValueError("chunk_stream needs default_bucket, where the chunked files are put together")
        return self

    @classmethod
    def of_settings(cls, settings: Settings) -> QueueConfig:
        """The queue `files` that the settings name.

        Raises:
            ConfigurationError: they name none.
        """
        if not settings.queue_url:
            raise ConfigurationError(
                "no queue is set: give its URL in DES_QUEUE_URL, or let the listing find the files"
            )
        return cls(
            name="files",
            url=settings.queue_url,
            endpoint=settings.queue_endpoint,
            region=settings.s3_region,
            default_bucket=settings.landing_bucket,
            visibility_seconds=VISIBILITY_SECONDS,
            wait_seconds=settings.queue_wait_seconds,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A received message; the receipt deletes it.

    Attributes:
        body: its text.
        receipt: the handle of this delivery.
        id: the message's own identifier, the same in every delivery.
        deliveries: how often it has been received, this time included.
        group: its message group; None on a standard queue.
    """

    body: str
    receipt: str
    id: str = ""
    deliveries: int = 1
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send, with what a FIFO queue wants to know of it; a standard queue is told the body alone.

    Attributes:
        body: its text.
        group: messages of one group are delivered in order.
        deduplication: a second message with the same one within five minutes is not delivered.
    """

    body: str
    group: str
    deduplication: str


@dataclass(frozen=True, slots=True)
class Depth:
    """About how many messages wait, are in somebody's hands, and lie in the queue's own dead-letter queue."""

    waiting: int
    in_flight: int
    dead_letters: int


class Queue:
    """One queue. Safe to use from several threads.

    Args:
        config: the queue; or the settings, whose queue is meant then.

    Raises:
        ConfigurationError: the settings name no queue, or its URL an unset variable.
    """

    def __init__(self, config: QueueAddress | Settings) -> None:
        self.config: QueueAddress = QueueConfig.of_settings(config) if isinstance(config, Settings) else config
        self.url = expand(self.config.url, f"queues.{self.config.name}.url")
        self.fifo = self.url.endswith(".fifo")
        self._client = _client(self.config)

    def receive(self, wait_seconds: int | None = None, *, most: int = BATCH) -> list[Message]:
        """Up to ten messages; none says that the queue is empty now.

        Args:
            wait_seconds: how long an empty queue is waited for; as configured if None.
            most: how many at most, up to ten.
        """
        answer = self._client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=self.config.wait_seconds if wait_seconds is None else wait_seconds,
            VisibilityTimeout=self.config.visibility_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
        )
        found = []
        for message in answer.get("Messages", []):
            told = message.get("Attributes", {})
            deliveries = int(told.get("ApproximateReceiveCount", "1"))
            group = told.get("MessageGroupId") if self.fifo else None
            found.append(
                Message(message["Body"], message["ReceiptHandle"], message.get("MessageId", ""), deliveries, group)
            )
        return found

    def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages; one that cannot be deleted comes back, and is known then.

        Returns:
            How many could not be deleted.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        failed = 0
        for start in range(0, len(messages), BATCH):
            entries: Any = _receipts(messages[start : start + BATCH])
            try:
                refused = self._client.delete_message_batch(QueueUrl=self.url, Entries=entries).get("Failed", [])
                why = refused[0].get("Message", refused[0]["Code"]) if refused else ""
                number = len(refused)
            except (BotoCoreError, ClientError) as error:
                why, number = str(error), len(entries)
            if number:
                _log.warning("%d messages of the queue %s were not deleted: %s", number, self.config.name, why)
            failed += number
        return failed

    def extend(self, messages: Sequence[Message]) -> None:
        """Keep messages invisible to others for another `visibility_seconds`, from now on.

        One that cannot be extended may be handed to somebody else too, which costs work and loses nothing.
        """
        self._hide(messages, self.config.visibility_seconds)

    def give_back(self, messages: Sequence[Message], seconds: int = 0) -> None:
        """Let others have messages that are not done with, at once or after some seconds."""
        self._hide(messages, seconds)

    def _hide(self, messages: Sequence[Message], seconds: int) -> None:
        for start in range(0, len(messages), BATCH):
            entries: Any = _receipts(messages[start : start + BATCH])
            for entry in entries:
                entry["VisibilityTimeout"] = seconds
            self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

    def send(self, messages: Iterable[str | Outgoing]) -> None:
        """Send messages, in order.

        On a FIFO queue a bare body is its own group: group and deduplication id are the `ID` in it, or its SHA-256
        where there is none.

        Raises:
            RuntimeError: the queue refused one.
        """
        pending = list(messages)
        for start in range(0, len(pending), BATCH):
            entries: Any = [
                {"Id": str(index), **self._entry(message)}
                for index, message in enumerate(pending[start : start + BATCH])
            ]
            answer = self._client.send_message_batch(QueueUrl=self.url, Entries=entries)
            if failed := answer.get("Failed"):
                raise RuntimeError(
                    f"the queue {self.config.name} refused {len(failed)} of {len(entries)} messages: "
                    f"{failed[0].get('Message')}"
                )

    def _entry(self, message: str | Outgoing) -> dict[str, str]:
        if not self.fifo:
            return {"MessageBody": message if isinstance(message, str) else message.body}
        if isinstance(message, str):
            identifier = _identifier(message)
            message = Outgoing(message, identifier, identifier)
        return {
            "MessageBody": message.body,
            "MessageGroupId": message.group,
            "MessageDeduplicationId": message.deduplication,
        }

    def waiting(self) -> int:
        """About how many messages wait."""
        return int(self._attributes("ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])

    def depth(self) -> Depth:
        """About how many messages there are, and where."""
        found = self._attributes("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        waiting = int(found["ApproximateNumberOfMessages"])
        in_flight = int(found["ApproximateNumberOfMessagesNotVisible"])
        dead = self.dead_letter_queue()
        return Depth(waiting, in_flight, dead.waiting() if dead else 0)

    def dead_letter_queue(self) -> Queue | None:
        """The queue in which this one lays what was received too often; None where it has none.

        Raises:
            ConfigurationError: it has one that this account cannot find.
        """
        policy = self._attributes("RedrivePolicy").get("RedrivePolicy")
        if not policy:
            return None
        account, name = json.loads(policy)["deadLetterTargetArn"].split(":")[-2:]
        try:
            url = self._client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        except self._client.exceptions.QueueDoesNotExist:
            raise ConfigurationError(
                f"the queue {self.config.name} lays dead letters into {name}, which does not exist or may not be read: "
                "create it, or allow sqs:GetQueueUrl"
            ) from None
        dead = copy.copy(self)  # the same client: a new one costs as much as a dozen requests
        dead.url = url
        return dead

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _attributes(self, *names: str) -> dict[str, str]:
        wanted: Any = names
        answer = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=wanted)
        return {str(name): value for name, value in answer.get("Attributes", {}).items()}


def _receipts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"Id": str(index), "ReceiptHandle": message.receipt} for index, message in enumerate(messages)]


def _identifier(body: str) -> str:
    """The `ID` in a message's body if SQS takes it as a group, else the body's SHA-256."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        message = None
    identifier = message.get("ID") if isinstance(message, dict) else None
    if isinstance(identifier, str) and _IDENTIFIER.fullmatch(identifier):
        return identifier
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def _client(config: QueueAddress) -> SQSClient:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "sqs",
        region_name=config.region,
        endpoint_url=config.endpoint or None,
        config=Config(
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=min(5.0, config.timeout_seconds),
            read_timeout=config.timeout_seconds,
        ),
    )
