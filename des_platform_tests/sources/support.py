"""A platform and its queue, and the few verbs that tests of the sources begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters, inbox
from des_platform.sources.drain import drain
from des_platform.sources.events import s3_event
from des_platform_tests.platform import DAY, LANDING, noon

if TYPE_CHECKING:
    from des_platform.catalog.dead_letters import DeadLetterRow
    from des_platform.sources.queue import Queue
    from des_platform.sources.source import DrainReport
    from des_platform_tests.platform import Platform


@dataclass
class Post:
    """A platform whose files are announced in a queue."""

    platform: Platform
    queue: Queue

    def put(self, name: str, content: bytes = b"content") -> str:
        """Put a file; returns the message that announces it."""
        key = self.platform.put(name, content)
        info = self.platform.buckets.bucket(LANDING).head(key)
        return s3_event(LANDING, key, info.size, info.etag, info.last_modified)

    def drain(self, *, seconds: float = 30, default_bucket: str | None = None) -> DrainReport:
        platform = self.platform
        return drain(
            self.queue,
            platform.catalog,
            platform.buckets,
            [platform.dataset],
            seconds=seconds,
            default_bucket=default_bucket,
        )


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
