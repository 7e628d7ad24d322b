"""Dead letters again: what was given up gets another chance once its cause is mended.

A letter that succeeds is gone; one that fails stays, with one attempt more. Retrying is idempotent like all recording,
so a letter that is retried twice, or whose file has arrived by other ways since, does no harm.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters, files, inbox, source_rows
from des_platform.sources.databases.source import DatabaseDrain
from des_platform.sources.messages.chunk_manifest import chunked_file
from des_platform.sources.queues.queue import Outgoing, Queue

if TYPE_CHECKING:
    import sqlalchemy as sa

    from des_platform.catalog.dead_letters import DeadLetterRow
    from des_platform.sources.config import Sources
    from des_platform.sources.databases.config import DatabaseSource
    from des_platform.sources.queues.queue import QueueAddress
    from des_platform.sources.recording import Recorder

MESSAGES = ("queue", "stream")
"""Stages whose letters hold a message that can be read again."""


class Reprocessing:
    """Processes dead letters again.

    Args:
        recorder: records what messages say.
        sources: where letters may have come from.
    """

    def __init__(self, recorder: Recorder, sources: Sources) -> None:
        self._recorder = recorder
        self._databases = {database.name: database for database in sources.databases}
        self._queues = {queue.name: queue for queue in sources.queues if queue.chunk_stream is not None}
        jobs = sources.stream_jobs
        self._jobs = {("stream_restore", job.name): job.manifests for job in jobs}
        self._jobs |= {("stream_compress", job.name): job.files for job in jobs if job.files is not None}
        self._buckets = {queue.name: queue.default_bucket for queue in sources.queues}
        self._buckets |= {stream.name: stream.default_bucket for stream in sources.streams}

    def retry(self, letter: DeadLetterRow) -> str | None:
        """Process a dead letter again.

        Returns:
            None if the letter is gone, or why it stays.
        """
        job_queue = self._jobs.get((letter.stage, letter.origin or ""))
        if job_queue is not None and letter.body is not None:
            self._send_again(letter, letter.body, job_queue)
            return None
        if letter.stage in MESSAGES and letter.body is not None:
            if letter.origin in self._queues and chunked_file(letter.body) is not None:
                self._send_again(letter, letter.body, self._queues[letter.origin])
                return None
            return self._read_again(letter, letter.body)
        if letter.stage == "database" and letter.reference is not None and letter.origin in self._databases:
            self._databases_row_again(letter.reference, self._databases[letter.origin])
        with self._recorder.catalog.begin() as connection:
            if _revived(connection, letter):
                dead_letters.drop(connection, [letter.dead_letter_id])
                return None
        return (
            "nothing waits behind it: the file was taken over since, or is found by the next listing; "
            "drop the letter once you have seen it"
        )

    def _databases_row_again(self, row_id: str, config: DatabaseSource) -> None:
        """Set a row to pending in its own database; its next draining takes it."""
        with closing(DatabaseDrain(config, self._recorder)) as database:
            database.retry([row_id])

    def _send_again(self, letter: DeadLetterRow, body: str, config: QueueAddress) -> None:
        """Give a message back to its queue, for a file that is worked on while the message is there."""
        again = uuid.uuid4().hex  # under its own name, a FIFO queue would drop what it has seen within five minutes
        with closing(Queue(config)) as queue:
            queue.send([Outgoing(body, again, again)])
        with self._recorder.catalog.begin() as connection:
            dead_letters.drop(connection, [letter.dead_letter_id])

    def _read_again(self, letter: DeadLetterRow, body: str) -> str | None:
        origin = letter.origin or ""
        prepared = self._recorder.prepare(
            [(body, letter.reference)],
            stage=letter.stage,
            origin=origin,
            default_bucket=self._buckets.get(origin),
        )
        with self._recorder.catalog.begin() as connection:
            prepared.write(connection)
            # A message may hold several records, and each that fails has a letter of its own.
            remaining = [left.reason for left in prepared.letters if left.subject == letter.subject]
            if letter.reason not in remaining:
                dead_letters.drop(connection, [letter.dead_letter_id])
        return remaining[0] if remaining else None


def _revived(connection: sa.Connection, letter: DeadLetterRow) -> bool:
    if letter.seq is not None:
        return bool(inbox.revive(connection, [letter.seq]) + files.revive(connection, [letter.seq]))
    if letter.origin is not None and letter.reference is not None:
        return source_rows.forget(connection, letter.origin, letter.reference)
    return False
