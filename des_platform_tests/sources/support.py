"""A platform and its queue, and the few verbs that tests of the sources begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from des_platform.catalog import dead_letters, inbox
from des_platform.cli.demo.processes import wait_until
from des_platform.sources.messages.events import s3_event
from des_platform.sources.queues.queue import Queue, QueueConfig
from des_platform.sources.queues.source import QueueReport, QueueSource
from des_platform.sources.recording import Recorder
from des_platform_tests.platform import DAY, LANDING, noon

if TYPE_CHECKING:
    from des_platform.catalog.dead_letters import DeadLetterRow
    from des_platform_tests.platform import Platform


@dataclass
class Post:
    """A platform whose files are announced in a queue."""

    platform: Platform
    config: QueueConfig

    @cached_property
    def queue(self) -> Queue:
        return Queue(self.config)

    def put(self, name: str, content: bytes = b"content") -> str:
        """Put a file; returns the message that announces it."""
        key = self.platform.put(name, content)
        info = self.platform.buckets.bucket(LANDING).head(key)
        return s3_event(LANDING, key, info.size, info.etag, info.last_modified)

    def source(self, **changes: object) -> QueueSource:
        """The queue as a source; changes are to its configuration."""
        recorder = Recorder(self.platform.catalog, self.platform.buckets, [self.platform.dataset])
        return QueueSource(self.config.model_copy(update=changes), recorder)

    def drain(self, *, seconds: float = 30, default_bucket: str | None = None) -> QueueReport:
        return self.source(default_bucket=default_bucket).drain(seconds=seconds)

    def wait_for(self, number: int) -> None:
        """Wait until so many messages are there to be received: those in hand come back after their time-out."""
        wait_until(lambda: self.queue.waiting() == number, 20, f"{number} messages wait")


def redrive(client: Any, url: str, target: str, *, receives: int = 1) -> None:
    """Let a queue lay what was received so often into another one."""
    policy = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:123456789012:{target}", "maxReceiveCount": receives}
    client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})


def announce(key: str, bucket: str = LANDING) -> str:
    """The message that announces a key, whether there is such a file or not."""
    return s3_event(bucket, key, 7, "e1", noon())


def pending(platform: Platform) -> list[str]:
    """The keys that wait in the inbox for their partition's run, without the prefix."""
    with platform.catalog.begin() as connection:
        rows = inbox.claim(connection, platform.dataset.name, DAY, after=0, limit=10_000)
    return sorted(row.key.removeprefix(f"things/{DAY}/") for row in rows)


def tally(platform: Platform) -> dict[str, int]:
    with platform.catalog.begin() as connection:
        return inbox.tally(connection)


def letters(platform: Platform) -> list[DeadLetterRow]:
    with platform.catalog.begin() as connection:
        return dead_letters.newest(connection, 1000)
