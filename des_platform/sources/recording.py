"""From what a source tells to the inbox: each file once, each deletion once, and the rest to the dead letters.

`prepare` understands messages and asks the object store what they leave out; it opens no transaction. `write` inserts
everything in the caller's transaction, with the counters, so a source can commit its own progress together with it.
Writing the same again changes nothing but the attempts of its dead letters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters, inbox, removals
from des_platform.catalog.dataset import Dataset, dataset_of
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.inbox import InboxEntry
from des_platform.catalog.metrics import Counts
from des_platform.catalog.removals import Removal
from des_platform.objectstore import InvalidKey, ObjectNotFound
from des_platform.sources.messages.events import FileEvent, MalformedMessage, parse_message
from des_platform.sources.source import DrainReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import Buckets


@dataclass(slots=True)
class Prepared:
    """What is to be recorded of one batch of a source."""

    origin: str
    received: int = 0
    entries: list[InboxEntry] = field(default_factory=list)
    removed: list[Removal] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def write(self, connection: sa.Connection) -> DrainReport:
        """Record it."""
        new = inbox.record(connection, self.entries)
        known = len(self.entries) - new
        removed = removals.record(connection, self.removed)
        dead_letters.add(connection, *self.letters)
        counts = Counts()
        counts.add("des_ingest_messages_total", self.received, source=self.origin)
        counts.add("des_ingest_files_total", new, source=self.origin, outcome="new")
        counts.add("des_ingest_files_total", known, source=self.origin, outcome="known")
        counts.add("des_ingest_removals_total", removed, source=self.origin)
        counts.add("des_ingest_dead_letters_total", len(self.letters), source=self.origin)
        counts.write(connection)
        return DrainReport(self.received, new, known, removed, len(self.letters))


class Recorder:
    """Records what sources tell.

    Args:
        catalog: where inbox and dead letters are.
        buckets: asked about files whose source tells too little.
        datasets: what files may belong to.
    """

    def __init__(self, catalog: Catalog, buckets: Buckets, datasets: Sequence[Dataset]) -> None:
        self.catalog = catalog
        self.buckets = buckets
        self.datasets = datasets

    def prepare(
        self, messages: Iterable[tuple[str, str | None]], *, stage: str, origin: str, default_bucket: str | None
    ) -> Prepared:
        """Understand messages.

        Args:
            messages: body, and the message's identifier in its source if it has one.
            stage: what kind of source it is, such as `queue`.
            origin: the source's name.
            default_bucket: bucket of messages that name a file only.
        """
        prepared = Prepared(origin)
        for body, reference in messages:
            prepared.received += 1

            def letter(subject: str, reason: str, body: str = body, reference: str | None = reference) -> DeadLetter:
                return DeadLetter(stage, subject, reason, body, origin=origin, reference=reference)

            try:
                parsed = parse_message(body, default_bucket=default_bucket)
            except MalformedMessage as error:
                prepared.letters.append(letter("a message", str(error)))
                continue
            prepared.letters += [letter("a message", problem) for problem in parsed.problems]
            for event in parsed.events:
                if event.kind == "removed":
                    at = event.event_time or datetime.now(UTC)
                    prepared.removed.append(Removal(event.bucket, event.key, at, event.source))
                    continue
                found = self.entry_of(event)
                if isinstance(found, InboxEntry):
                    prepared.entries.append(found)
                else:
                    prepared.letters.append(letter(f"{event.bucket}/{event.key}", found))
        return prepared

    def entry_of(self, event: FileEvent) -> InboxEntry | str:
        """The inbox entry of an announced file, or why there is none."""
        dataset = dataset_of(self.datasets, event.bucket, event.key)
        if dataset is None:
            known = ", ".join(sorted(f"{dataset.bucket}/{dataset.prefix}*" for dataset in self.datasets)) or "none"
            return (
                f"no dataset takes {event.bucket}/{event.key}: known are {known}. "
                "Add a dataset with this bucket and prefix"
            )
        etag, size, arrived = event.etag, event.size, event.event_time
        if etag is None or arrived is None:
            try:
                info = self.buckets.bucket(event.bucket).head(event.key)
            except (ObjectNotFound, InvalidKey) as error:
                return f"announced, but not there: {error}"
            etag, arrived = info.etag, arrived or info.last_modified
            size = info.size if size is None else size
        try:
            day = dataset.day_of(event.key, arrived or datetime.now(UTC))
        except ValueError as error:
            return str(error)
        return InboxEntry(dataset.name, day, event.bucket, event.key, etag, size, event.source)
