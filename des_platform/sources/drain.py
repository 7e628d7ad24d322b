"""From the queue into the inbox: receive, record, commit, and only then delete.

Why nothing is lost or doubled: a crash before the commit leaves the messages in the queue, which hands them out again;
a crash after it leaves messages whose files the inbox knows already, so recording them again changes nothing. What
cannot be understood goes to the dead letters in the same transaction, with its body and the reason. Draining starts no
runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters, inbox
from des_platform.catalog.dataset import Dataset, dataset_of
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.inbox import InboxEntry
from des_platform.objectstore import InvalidKey, ObjectNotFound
from des_platform.sources.events import FileEvent, MalformedMessage, parse_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import Buckets
    from des_platform.sources.queue import Message, Queue


@dataclass(slots=True)
class DrainReport:
    """What one draining did: messages received, files new and known, deletions announced, dead letters, seconds."""

    received: int = 0
    new: int = 0
    known: int = 0
    removed: int = 0
    dead: int = 0
    seconds: float = 0.0


def drain(
    queue: Queue,
    catalog: Catalog,
    buckets: Buckets,
    datasets: Sequence[Dataset],
    *,
    seconds: float,
    default_bucket: str | None = None,
) -> DrainReport:
    """Empty the queue into the inbox until it is empty or the time is up.

    Args:
        queue: where the messages are.
        catalog: where the inbox is.
        buckets: asked about files whose message tells too little.
        datasets: what the files may belong to.
        seconds: time budget; a batch that has begun is finished.
        default_bucket: the bucket of messages that name a file only.
    """
    report = DrainReport()
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        messages = queue.receive()
        if not messages:
            break
        _record(messages, catalog, buckets, datasets, default_bucket, report)
        queue.delete(messages)
    report.seconds = elapsed
    return report


def _record(
    messages: Sequence[Message],
    catalog: Catalog,
    buckets: Buckets,
    datasets: Sequence[Dataset],
    default_bucket: str | None,
    report: DrainReport,
) -> None:
    entries: list[InboxEntry] = []
    letters: list[DeadLetter] = []
    for message in messages:
        try:
            parsed = parse_message(message.body, default_bucket=default_bucket)
        except MalformedMessage as error:
            letters.append(DeadLetter("queue", "a message", str(error), message.body))
            continue
        letters += [DeadLetter("queue", "a message", problem, message.body) for problem in parsed.problems]
        for event in parsed.events:
            if event.kind == "removed":
                report.removed += 1
                continue
            found = entry_of(event, buckets, datasets)
            if isinstance(found, InboxEntry):
                entries.append(found)
            else:
                letters.append(DeadLetter("queue", f"{event.bucket}/{event.key}", found, message.body))
    with catalog.begin() as connection:
        new = inbox.record(connection, entries)
        dead_letters.add(connection, *letters)
    report.received += len(messages)
    report.new += new
    report.known += len(entries) - new
    report.dead += len(letters)


def entry_of(event: FileEvent, buckets: Buckets, datasets: Sequence[Dataset]) -> InboxEntry | str:
    """The inbox entry of an announced file, or why there is none."""
    dataset = dataset_of(datasets, event.bucket, event.key)
    if dataset is None:
        known = ", ".join(sorted(f"{dataset.bucket}/{dataset.prefix}*" for dataset in datasets)) or "none"
        return (
            f"no dataset takes {event.bucket}/{event.key}: known are {known}. Add a dataset with this bucket and prefix"
        )
    etag, size, arrived = event.etag, event.size, event.event_time
    if etag is None or arrived is None:
        try:
            info = buckets.bucket(event.bucket).head(event.key)
        except (ObjectNotFound, InvalidKey) as error:
            return f"announced, but not there: {error}"
        etag, arrived = info.etag, arrived or info.last_modified
        size = info.size if size is None else size
    try:
        day = dataset.day_of(event.key, arrived or datetime.now(UTC))
    except ValueError as error:
        return str(error)
    return InboxEntry(dataset.name, day, event.bucket, event.key, etag, size, event.source)
