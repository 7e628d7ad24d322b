"""From a queue into the inbox: receive, record, commit, and only then delete.

Why nothing is lost or doubled: a crash before the commit leaves the messages in the queue, which hands them out again;
a crash after it leaves messages whose files the inbox knows already, so recording them again changes nothing. What
cannot be understood goes to the dead letters in the same transaction, with its body and the reason. Draining starts no
runs, and any number of processes may drain one queue.

What the queue itself gave up, in its own dead-letter queue, is taken the same way. The manifest of a chunked file stays
in the queue until the stream holds all chunks; the file that is put together of them is then recorded as if S3 had
announced it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal, Self

from des_platform.catalog.dead_letters import DeadLetter
from des_platform.codecs import CorruptStream, UnknownCodec
from des_platform.objectstore import InvalidKey, StoreUnavailable
from des_platform.sources.messages.chunk_manifest import chunked_file
from des_platform.sources.messages.events import MalformedMessage, s3_event
from des_platform.sources.queues.pipeline import Pipeline
from des_platform.sources.queues.queue import Queue
from des_platform.sources.source import DrainReport, SourceUnavailable
from des_platform.sources.streams.chunked import ChunkedFiles
from des_platform.sources.streams.kinesis import kinesis_client
from des_platform.sources.streams.reading import ChunksMissing, StreamChunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.sources.queues.queue import Message, QueueConfig
    from des_platform.sources.recording import Recorder

GIVE_UP_CHUNKS_AFTER = 5
"""Deliveries of a manifest whose chunks are missing, before it becomes a dead letter."""


@dataclass(slots=True)
class QueueReport(DrainReport):
    """What draining a queue did.

    Attributes:
        redriven: messages taken out of the queue's own dead-letter queue.
        undeleted: messages that were recorded and could not be deleted; they come back, and are known then.
        postponed: messages that stay in the queue: what they need is out of reach, or not there yet.
    """

    redriven: int = 0
    undeleted: int = 0
    postponed: int = 0

    def __iadd__(self, other: DrainReport) -> Self:
        """Add what a part of the draining did."""
        for field in fields(other):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self


class QueueSource:
    """A queue that is drained into the inbox.

    Args:
        config: the queue.
        recorder: records what its messages say.

    Raises:
        ConfigurationError: the queue's URL holds a variable that is not set.
    """

    kind: Literal["queue"] = "queue"

    def __init__(self, config: QueueConfig, recorder: Recorder) -> None:
        self.name = config.name
        self.queue = Queue(config)
        self._recorder = recorder
        self._default_bucket = config.default_bucket
        self._chunked = _chunked_files(config, recorder)

    def backlog(self) -> dict[str, int]:
        """About how many messages wait, are in flight, and lie in the queue's own dead-letter queue.

        Raises:
            SourceUnavailable: the queue cannot be reached.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return asdict(self.queue.depth())
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailable(f"the queue {self.name} cannot be reached: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self.queue.close()
        if self._chunked is not None:
            self._chunked.close()

    def drain(self, *, seconds: float) -> QueueReport:
        """Empty the queue, and then its own dead-letter queue, into the inbox, until the time is up.

        A message that cannot be recorded now stays in the queue; the reason is raised once the others are recorded.

        Raises:
            SourceUnavailable: the queue, or the stream of its chunks, cannot be reached.
            StoreUnavailable: a message needs an object that is out of reach.
            ConfigurationError: the queue's own dead-letter queue cannot be found.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        report = QueueReport()
        started = time.monotonic()
        deadline = started + seconds
        try:
            self._empty(self.queue, report, deadline, last_chance=False)
            if time.monotonic() < deadline and (dead := self.queue.dead_letter_queue()) and dead.waiting():
                before = report.received
                self._empty(dead, report, deadline, last_chance=True)
                report.redriven = report.received - before
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailable(f"the queue {self.name} cannot be reached: {error}") from error
        report.seconds = time.monotonic() - started
        report.note = _note(report)
        return report

    def _empty(self, queue: Queue, report: QueueReport, deadline: float, *, last_chance: bool) -> None:
        problem: Exception | None = None
        with Pipeline(queue, deadline) as pipeline:
            for batch in pipeline:
                recorded: list[Message] = []
                try:
                    recorded = self._record(batch, report, last_chance=last_chance)
                except (StoreUnavailable, SourceUnavailable) as error:
                    problem = error
                    pipeline.stop()
                    recorded = self._one_by_one(batch, report, deadline, last_chance=last_chance)
                report.postponed += len(batch) - len(recorded)
                pipeline.settle(batch, recorded)
        report.undeleted += pipeline.undeleted
        if problem is not None:
            raise problem

    def _one_by_one(
        self, batch: Sequence[Message], report: QueueReport, deadline: float, *, last_chance: bool
    ) -> list[Message]:
        """Record those messages of a batch that can be recorded; behind one that cannot, its group waits."""
        recorded: list[Message] = []
        held: set[str | None] = set()
        for message in batch:
            if message.group in held or time.monotonic() > deadline:
                continue
            try:
                done = self._record([message], report, last_chance=last_chance)
            except (StoreUnavailable, SourceUnavailable):
                done = []
            recorded += done
            if not done and message.group is not None:
                held.add(message.group)
        return recorded

    def _record(self, batch: Sequence[Message], report: QueueReport, *, last_chance: bool) -> list[Message]:
        """Record a batch in one transaction; returns the messages that are recorded, all but those that must wait."""
        bodies: list[tuple[str, str | None]] = []
        letters: list[DeadLetter] = []
        recorded: list[Message] = []
        held: set[str | None] = set()
        for message in batch:
            told = None if message.group in held else self._told(message, last_chance=last_chance)
            if told is None:
                held |= {message.group} - {None}
                continue
            recorded.append(message)
            if isinstance(told, str):
                bodies.append((told, _reference(message, last_chance=last_chance)))
            else:
                letters.append(told)
        prepared = self._recorder.prepare(bodies, stage="queue", origin=self.name, default_bucket=self._default_bucket)
        prepared.letters += letters
        prepared.received += len(letters)
        with self._recorder.catalog.begin() as connection:
            done = prepared.write(connection)
        report += done
        return recorded

    def _told(self, message: Message, *, last_chance: bool) -> str | DeadLetter | None:
        """The message that is to be recorded; for a chunked file, one that announces it whole; None while it waits."""
        try:
            file = chunked_file(message.body) if self._chunked else None
        except MalformedMessage:
            return message.body  # the recorder says what is wrong with it
        if file is None or self._chunked is None:
            return message.body
        try:
            info = self._chunked.restore(file)
        except ChunksMissing as error:
            if not last_chance and message.deliveries < GIVE_UP_CHUNKS_AFTER:
                return None
            problem: Exception = error
        except (CorruptStream, InvalidKey, UnknownCodec) as error:
            problem = error
        else:
            return s3_event(self._chunked.bucket, info.key, info.size, info.etag, info.last_modified)
        reference = _reference(message, last_chance=last_chance)
        return DeadLetter("queue", file.file_name, str(problem), message.body, origin=self.name, reference=reference)


def _reference(message: Message, *, last_chance: bool) -> str:
    return f"{message.id}, received {message.deliveries} times" if last_chance else message.id


def _chunked_files(config: QueueConfig, recorder: Recorder) -> ChunkedFiles | None:
    if config.chunk_stream is None or config.default_bucket is None:
        return None
    client = kinesis_client(config.endpoint, config.region, config.timeout_seconds)
    return ChunkedFiles(
        StreamChunks(client, config.chunk_stream),
        recorder.buckets.bucket(config.default_bucket),
        config.chunked_prefix,
        config.chunked_max_bytes,
    )


def _note(report: QueueReport) -> str:
    notes = {
        "taken from the queue's own dead-letter queue": report.redriven,
        "recorded, but not deleted: they come back": report.undeleted,
        "left in the queue: what they need is not there yet": report.postponed,
    }
    return "; ".join(f"{number} {what}" for what, number in notes.items() if number)
