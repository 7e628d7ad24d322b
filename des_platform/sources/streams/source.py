"""Kinesis streams as a source: records with the same messages as a queue's, each recorded exactly once.

How far a shard was read is a checkpoint in the catalogue, saved in the transaction that records what was read: whatever
dies, reading goes on exactly behind what is recorded. Each shard has a lease while it is read, checked in the same
transaction: of two processes, the one that lost it writes nothing. After a resharding a shard is read once its parents
are read to their ends, so the records of one partition key stay in order.

Positions are a sequence number, `since:` and a moment for a shard that is to be read from then on, or `closed:` and the
last sequence number. Throttling is retried by the client. Records that a producer library has aggregated are not taken
apart.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from des_platform.catalog import checkpoints, leases
from des_platform.settings import BucketName  # noqa: TC001 - the model needs it
from des_platform.sources.source import DrainReport, SourceUnavailable
from des_platform.sources.streams.kinesis import StreamAddress, kinesis_client
from des_platform.sources.variables import SourceName  # noqa: TC001 - the model needs it

if TYPE_CHECKING:
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

    from des_platform.catalog.leases import Lease
    from des_platform.sources.recording import Recorder

LEASE_SECONDS = 120
_PAGE_RECORDS = 500  # a page is recorded well within a lease, though the object store is asked about each file
_CLOSED = "closed:"
_SINCE = "since:"

_log = logging.getLogger(__name__)


class StreamConfig(StreamAddress):
    """One stream of the sources file.

    Attributes:
        name: what metrics, dead letters and commands call it; its checkpoints stand under it.
        default_bucket: bucket of messages that name a file only; empty where there are none.
        start: where the first reading of the stream begins: at its oldest record, or with what arrives from then on.
    """

    name: SourceName
    default_bucket: BucketName | None = None
    start: Literal["trim_horizon", "latest"] = "trim_horizon"


@dataclass(slots=True)
class _Reader:
    """A shard that is being read; `ends` says that it takes no more records."""

    shard: str
    lease: Lease
    position: str | None
    ends: bool
    iterator: str


class StreamSource:
    """A stream that is drained into the inbox.

    Args:
        config: the stream.
        recorder: records what its records say.
    """

    kind: Literal["stream"] = "stream"

    def __init__(self, config: StreamConfig, recorder: Recorder) -> None:
        self.name = config.name
        self._config = config
        self._recorder = recorder
        self._catalog = recorder.catalog
        self._client = kinesis_client(config.endpoint, config.region, config.timeout_seconds)

    def drain(self, *, seconds: float) -> DrainReport:
        """Record what the stream holds, until every shard is read to its end or the time is up.

        A shard that another process is reading is left to it.

        Raises:
            SourceUnavailable: the stream cannot be reached.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        report = DrainReport()
        started = time.monotonic()
        try:
            self._drain(report, started + seconds)
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailable(
                f"the stream {self._config.stream} of the source {self.name} cannot be read: {error}"
            ) from error
        report.seconds = time.monotonic() - started
        return report

    def backlog(self) -> dict[str, int]:
        """Nothing: a stream does not tell how much of it is unread."""
        return {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _drain(self, report: DrainReport, deadline: float) -> None:
        if time.monotonic() >= deadline:
            return
        shards = self._shards()
        self._begin(shards)
        order = sorted(shards)
        random.shuffle(order)  # a budget that ends early does not end before the same shards each time
        readers: deque[_Reader] = deque()
        left = self._open(order, shards, readers)
        try:
            while readers and time.monotonic() < deadline:
                reader = readers.popleft()
                try:
                    again, closed = self._step(reader, report)
                except leases.LeaseLost:
                    continue
                except BaseException:
                    readers.append(reader)
                    raise
                if again:
                    readers.append(reader)
                else:
                    self._release(reader)
                if closed and left:
                    left = self._open(left, shards, readers)
        finally:
            for reader in readers:
                self._release(reader)

    def _shards(self) -> dict[str, ShardTypeDef]:
        pages = self._client.get_paginator("list_shards").paginate(StreamName=self._config.stream)
        return {shard["ShardId"]: shard for page in pages for shard in page["Shards"]}

    def _begin(self, shards: dict[str, ShardTypeDef]) -> None:
        """At the first sight of a stream that is to be read from now on, note the moment, before anything is read."""
        if self._config.start != "latest":
            return
        with self._catalog.begin() as connection:
            if checkpoints.positions(connection, self.name):
                return
            # Whoever comes second waits here for the first one's commit, and then finds its positions.
            leases.acquire(connection, f"stream {self.name}", seconds=LEASE_SECONDS)
            if checkpoints.positions(connection, self.name):
                return
            now = f"{_SINCE}{datetime.now(UTC).isoformat()}"
            first = {name: f"{_CLOSED}unread" if _ends(shard) else now for name, shard in shards.items()}
            checkpoints.save(connection, self.name, first)

    def _open(self, names: list[str], shards: dict[str, ShardTypeDef], readers: deque[_Reader]) -> list[str]:
        """Begin to read those shards whose turn it is; returns those whose parents are not read to their ends yet."""
        left = []
        with self._catalog.begin() as connection:
            known = checkpoints.positions(connection, self.name)
        closed = {name for name, position in known.items() if position.startswith(_CLOSED)}
        for name in names:
            if name in closed:
                continue
            shard = shards[name]
            parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} & shards.keys()
            if parents - closed:
                left.append(name)
                continue
            with self._catalog.begin() as connection:
                lease = leases.acquire(connection, f"stream {self.name} {name}", seconds=LEASE_SECONDS)
                # Only now: whoever held the lease before has committed where it stopped.
                position = checkpoints.positions(connection, self.name).get(name)
            if lease is not None:
                readers.append(_Reader(name, lease, position, _ends(shard), ""))
        return left

    def _step(self, reader: _Reader, report: DrainReport) -> tuple[bool, bool]:
        """Read and record one page; returns whether there may be more, and whether the shard is read to its end."""
        page = self._page(reader)
        records = page["Records"]
        following = page.get("NextShardIterator")
        caught_up = not records and not page.get("MillisBehindLatest")
        closed = following is None or (reader.ends and caught_up)
        last = records[-1]["SequenceNumber"] if records else reader.position
        if records or closed:
            messages = [
                (record["Data"].decode("utf-8", "surrogateescape"), f"{reader.shard}/{record['SequenceNumber']}")
                for record in records
            ]
            prepared = self._recorder.prepare(
                messages, stage="stream", origin=self.name, default_bucket=self._config.default_bucket
            )
            position = f"{_CLOSED}{last or ''}" if closed else str(last)
            with self._catalog.begin() as connection:
                leases.check(connection, reader.lease)
                leases.renew(connection, reader.lease, seconds=LEASE_SECONDS)
                done = prepared.write(connection)
                checkpoints.save(connection, self.name, {reader.shard: position})
            report += done
        reader.position, reader.iterator = last, following or ""
        return not closed and not caught_up, closed

    def _page(self, reader: _Reader) -> Any:  # noqa: ANN401 - the client's own dictionary
        reader.iterator = reader.iterator or self._iterator(reader)
        try:
            return self._client.get_records(ShardIterator=reader.iterator, Limit=_PAGE_RECORDS)
        except self._client.exceptions.ExpiredIteratorException:  # five minutes old: recording took that long
            reader.iterator = self._iterator(reader)
            return self._client.get_records(ShardIterator=reader.iterator, Limit=_PAGE_RECORDS)

    def _iterator(self, reader: _Reader) -> str:
        stream, shard = self._config.stream, reader.shard
        position = reader.position
        if position is not None:
            where: Any = {"StreamName": stream, "ShardId": shard}
            if position.startswith(_SINCE):
                moment = datetime.fromisoformat(position.removeprefix(_SINCE))
                where |= {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}
            else:
                where |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": position}
            try:
                return self._client.get_shard_iterator(**where)["ShardIterator"]
            except self._client.exceptions.InvalidArgumentException as error:
                # The stream was made anew under its old name. Reading it all is harmless: the inbox knows its files.
                _log.warning("%s/%s is read from its oldest record: %s", stream, shard, error)
        return self._client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]

    def _release(self, reader: _Reader) -> None:
        with self._catalog.begin() as connection:
            leases.release(connection, reader.lease)


def _ends(shard: ShardTypeDef) -> bool:
    """Whether a shard takes no more records: it was split or merged."""
    return "EndingSequenceNumber" in shard["SequenceNumberRange"]
