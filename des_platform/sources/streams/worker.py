"""The worker of one side of a stream job: one message at a time, one worker a queue over all processes.

A message is deleted once all that it asks for is done, or stands in the dead letters; whoever dies before leaves it to
the queue, which hands it out again. What may heal, such as a chunk that is late, is tried again after a pause until the
message's attempts are used up. What nobody can process is a dead letter at once. A store, stream, queue or catalogue
that is out of reach costs a message nothing but time. What the queue itself gave up is taken from its own dead-letter
queue, for a last attempt.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import OperationalError

from des_platform.catalog import dead_letters
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.leases import LeaseLost
from des_platform.catalog.metrics import Counts
from des_platform.objectstore import StoreUnavailable
from des_platform.sources.messages.bodies import MalformedMessage
from des_platform.sources.queues.visibility import InHand
from des_platform.sources.source import SourceUnavailable
from des_platform.sources.streams.holding import Stopped, holding
from des_platform.sources.streams.turns import TurnReport

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from des_platform.catalog.database import Catalog
    from des_platform.sources.queues.queue import Message, Queue
    from des_platform.sources.streams.compressing import StreamedFile
    from des_platform.sources.streams.config import StreamJob
    from des_platform.sources.streams.holding import Hold

_TURN_SECONDS = 60.0
_DEAD_LETTERS_EVERY_SECONDS = 60.0
_UNAVAILABLE = (SourceUnavailable, StoreUnavailable, OperationalError, BotoCoreError, ClientError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be processed.

    Attributes:
        subject: its name.
        reason: why.
        heals: whether another attempt may succeed.
    """

    subject: str
    reason: str
    heals: bool = False


class Side(Protocol):
    """What is done about a message.

    Attributes:
        stage: what dead letters call it.
        queue: where the messages come from.
        keeps_messages: whether they all stay in the queue.
    """

    stage: str
    queue: Queue
    keeps_messages: bool

    def handle(self, message: Message, hold: Hold) -> Iterator[StreamedFile | Problem]:
        """Do what a message asks for, and tell of each file.

        Raises:
            MalformedMessage: it cannot be understood.
            SourceUnavailable: something is out of reach; so do StoreUnavailable and the clients' own errors.
            Stopped: the worker was asked to end.
            LeaseLost: another worker has taken over.
        """

    def close(self) -> None:
        """Close the connections."""


class Worker:
    """Works on one side of a job.

    Args:
        job: the job.
        side: what is done about a message.
        catalog: where leases and dead letters are.
        lease_seconds: life of the queue's lease without renewal.
    """

    def __init__(self, job: StreamJob, side: Side, catalog: Catalog, *, lease_seconds: float) -> None:
        self.side = side
        self._job = job
        self._catalog = catalog
        self._lease_seconds = lease_seconds
        self._dead_letters_due = 0.0

    def turn(self, *, seconds: float, stopping: Callable[[], bool] = lambda: False) -> TurnReport:
        """Work until the queue is empty or the time is up; a file that was begun is finished.

        Args:
            seconds: how long messages are received.
            stopping: whether to end at once, between two chunks; what was begun is left to the next worker.

        Raises:
            ConfigurationError: the queue's own dead-letter queue cannot be found.
        """
        report = TurnReport()
        started = time.monotonic()
        name = f"{self.side.stage} {self.side.queue.url}"
        try:
            with holding(self._catalog, name, self._lease_seconds, stopping) as hold:
                if hold is None:
                    report.waited = 1
                else:
                    self._work(hold, report, started + seconds)
        except LeaseLost as error:
            _log.warning("%s: %s", self._job.name, error)
            report.waited = 1
        except (SourceUnavailable, StoreUnavailable) as error:
            report.problem = error
        except _UNAVAILABLE as error:
            report.problem = SourceUnavailable(f"the stream job {self._job.name} could not go on: {error}")
        report.seconds = time.monotonic() - started
        return report

    def run(self, *, once: bool, seconds: float | None, stop: threading.Event) -> TurnReport:
        """Work turn by turn.

        Args:
            once: end when the queue is empty; otherwise when asked to. Where messages stay in the queue, one turn sees
                them all, and is the last.
            seconds: end after so long at the latest.
            stop: ends it between two chunks.

        Returns:
            What was done in all; its `problem` is None unless the end was that something was out of reach.
        """
        total, keeps = TurnReport(), self.side.keeps_messages
        deadline = time.monotonic() + seconds if seconds is not None else float("inf")
        problem: Exception | None = None
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            turn = self.turn(seconds=left if keeps else min(left, _TURN_SECONDS), stopping=stop.is_set)
            total += turn
            if turn.problem is not None:
                problem = turn.problem
                _log.warning("%s: %s", self._job.name, " ".join(str(problem).split()))
            if not turn.waited and (keeps or (once and not turn.received)):
                break
            if not turn.received:
                stop.wait(min(self._job.interval_seconds, max(0.0, deadline - time.monotonic())))
        total.problem = problem if once or keeps else None
        return total

    def _work(self, hold: Hold, report: TurnReport, deadline: float) -> None:
        self._empty(self.side.queue, hold, report, deadline, last_chance=False)
        now = time.monotonic()
        if self.side.keeps_messages or hold.stopping() or not self._dead_letters_due <= now < deadline:
            return
        if (dead := self.side.queue.dead_letter_queue()) is not None and dead.waiting():
            self._empty(dead, hold, report, deadline, last_chance=True)
        self._dead_letters_due = now + _DEAD_LETTERS_EVERY_SECONDS

    def _empty(self, queue: Queue, hold: Hold, report: TurnReport, deadline: float, *, last_chance: bool) -> None:
        kept: list[Message] = []
        with InHand(queue) as hand:
            try:
                while time.monotonic() < deadline and not hold.stopping():
                    messages = queue.receive(most=1)
                    if not messages:
                        return
                    hand.take(messages)
                    report.received += 1
                    self._handle(messages[0], queue, hold, report, last_chance=last_chance)
                    if self.side.keeps_messages:
                        kept += messages
                    else:
                        hand.release(messages)
            finally:
                if kept:
                    queue.give_back(kept)

    def _handle(self, message: Message, queue: Queue, hold: Hold, report: TurnReport, *, last_chance: bool) -> None:
        last_chance = last_chance or message.deliveries >= self._job.attempts
        problems: list[Problem] = []
        done: list[StreamedFile] = []
        try:
            for outcome in self._outcomes(message, hold):
                if isinstance(outcome, Problem):
                    problems.append(outcome)
                    _log.warning("%s %s: %s", self.side.stage, outcome.subject, outcome.reason)
                else:
                    report.add(outcome)
                    done.append(outcome)
                    _log.info("%s %s", self.side.stage, json.dumps(outcome.fields()))
        except Stopped:
            report.stopped += 1
            queue.give_back([message])
            return
        except _UNAVAILABLE:
            report.postponed += 1
            raise
        if self.side.keeps_messages:
            return
        waiting = [] if last_chance else [problem for problem in problems if problem.heals]
        letters = [self._letter(problem, message) for problem in problems if problem not in waiting]
        self._record(letters, done, hold)
        report.dead += len(letters)
        if waiting:
            report.postponed += 1
            queue.give_back([message], self._job.retry_seconds)
        else:
            queue.delete([message])

    def _outcomes(self, message: Message, hold: Hold) -> Iterator[StreamedFile | Problem]:
        try:
            yield from self.side.handle(message, hold)
        except MalformedMessage as error:
            yield Problem("a message", str(error))
        except (*_UNAVAILABLE, Stopped, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001 - what nobody foresaw must not keep the other messages waiting
            _log.exception("%s of %s failed", self.side.stage, self._job.name)
            yield Problem("a message", f"{type(error).__name__}: {error}", heals=True)

    def _letter(self, problem: Problem, message: Message) -> DeadLetter:
        reference = f"{message.id}, received {message.deliveries} times"
        return DeadLetter(
            self.side.stage, problem.subject, problem.reason, message.body, origin=self._job.name, reference=reference
        )

    def _record(self, letters: list[DeadLetter], done: list[StreamedFile], hold: Hold) -> None:
        name = self._job.name
        counts = Counts()
        counts.add("des_ingest_messages_total", 1, source=name)
        counts.add("des_ingest_dead_letters_total", len(letters), source=name)
        for file in done:
            counts.add("des_stream_files_total", job=name, side=self.side.stage)
            counts.add("des_stream_original_bytes_total", file.original_bytes, job=name, side=self.side.stage)
            counts.add("des_stream_compressed_bytes_total", file.compressed_bytes, job=name, side=self.side.stage)
        with hold.publishing() as connection:
            dead_letters.add(connection, *letters)
            counts.write(connection)
