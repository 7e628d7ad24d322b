"""A stream job with a platform, and the verbs of its tests."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3

from des_platform.catalog import dead_letters
from des_platform.cli.demo.processes import wait_until
from des_platform.codecs import get_codec
from des_platform.objectstore import digest_of
from des_platform.sources.queues.queue import Queue
from des_platform.sources.recording import Recorder
from des_platform.sources.streams.compressing import announce, compress_file
from des_platform.sources.streams.compressor import Compressor
from des_platform.sources.streams.config import StreamJob
from des_platform.sources.streams.cutting import CHUNK_BYTES
from des_platform.sources.streams.restorer import Restorer
from des_platform.sources.streams.worker import Worker
from des_platform.sources.streams.writing import Original, StreamWriter
from des_platform_tests.platform import LANDING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform.catalog.dead_letters import DeadLetterRow
    from des_platform.sources.messages.chunk_manifest import ChunkedFile
    from des_platform.sources.streams.turns import TurnReport
    from des_platform.sources.streams.worker import Side
    from des_platform_tests.platform import Platform

STREAM = "chunks"
RESTORED = "restored"
_numbers = itertools.count(1)


def send_file(
    client: Any, name: str, data: Iterable[bytes], queue: Queue, *, codec: str = "zstd", chunk_bytes: int = CHUNK_BYTES
) -> ChunkedFile:
    """Put a file's chunks into the stream, and announce them."""
    content = b"".join(data)
    original = Original(f"file-{next(_numbers)}", name, "v1", len(content))
    writer = StreamWriter(client, STREAM)
    manifest, _ = compress_file(original, [content], writer, get_codec(codec), chunk_bytes=chunk_bytes)
    announce(manifest, queue, chunk_bytes=chunk_bytes)
    return manifest


@dataclass
class Bench:
    """A stream job with its queues, its stream and its buckets."""

    platform: Platform
    endpoint: str
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, platform: Platform, endpoint: str, *, objects: bool) -> Bench:
        sqs: Any = boto3.client("sqs", endpoint_url=endpoint, region_name="us-east-1")
        kinesis: Any = boto3.client("kinesis", endpoint_url=endpoint, region_name="us-east-1")
        kinesis.create_stream(StreamName=STREAM, ShardCount=3)
        queues = {}
        for part in ("files", "manifests"):
            url = sqs.create_queue(QueueName=f"{part}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
            queues[part] = {"url": url, "endpoint": endpoint, "wait_seconds": 0, "visibility_seconds": 60}
        for bucket in (RESTORED, STREAM):
            platform.buckets.create(bucket)
        chunks = {"bucket": STREAM, "prefix": "chunks/"} if objects else {"stream": STREAM, "endpoint": endpoint}
        settings = {
            "name": "prices",
            "originals": {"bucket": LANDING, "prefix": "in/"},
            "chunks": chunks,
            "restored": {"bucket": RESTORED},
            "chunk_bytes": 1000,
            "retry_seconds": 0,
            **queues,
        }
        return cls(platform, endpoint, settings)

    def job(self, **changes: object) -> StreamJob:
        return StreamJob.model_validate(self.settings | changes)

    @property
    def files(self) -> Queue:
        queue = self.job().files
        assert queue is not None
        return Queue(queue)

    @property
    def manifests(self) -> Queue:
        return Queue(self.job().manifests)

    def put(self, name: str, content: bytes) -> None:
        self.platform.buckets.bucket(LANDING).put(f"in/{name}", content)

    def announce(self, name: str, identifier: str = "") -> str:
        """Send the message of a file; returns its identifier."""
        identifier = identifier or f"id-{next(_numbers)}"
        self.files.send([json.dumps({"ID": identifier, "file_name": name})])
        return identifier

    def compressor(self, **changes: object) -> Compressor:
        return Compressor(self.job(**changes), self.platform.settings)

    def restorer(self, **changes: object) -> Restorer:
        recorder = Recorder(self.platform.catalog, self.platform.buckets, [self.platform.dataset])
        return Restorer(self.job(**changes), self.platform.settings, recorder)

    def worker(self, side: Side, **changes: object) -> Worker:
        return Worker(self.job(**changes), side, self.platform.catalog, lease_seconds=30)

    def compress(self, **changes: object) -> TurnReport:
        """One turn of the side that compresses."""
        return self.worker(self.compressor(**changes), **changes).turn(seconds=30)

    def restore(self, **changes: object) -> TurnReport:
        """One turn of the side that puts together."""
        return self.worker(self.restorer(**changes), **changes).turn(seconds=30)

    def manifest(self) -> dict[str, Any]:
        """The one manifest that waits, taken out of its queue."""
        messages = self.manifests.receive()
        assert len(messages) == 1
        self.manifests.delete(messages)
        return dict(json.loads(messages[0].body))

    def send_manifest(self, manifest: dict[str, Any]) -> None:
        """Send a manifest as its first senders do, but for the deduplication, which no test can wait for."""
        from des_platform.sources.queues.queue import Outgoing

        self.manifests.send([Outgoing(json.dumps(manifest), manifest["shard_id"], f"sent-{next(_numbers)}")])

    def restored(self) -> dict[str, bytes]:
        """What was put together, by identifier and name."""
        bucket = self.platform.buckets.bucket(RESTORED)
        return {info.key: bucket.get(info.key, max_bytes=1 << 26) for info in bucket.list("")}

    def letters(self) -> list[DeadLetterRow]:
        with self.platform.catalog.begin() as connection:
            return dead_letters.newest(connection, 100)

    def wait_for_files(self, number: int) -> None:
        wait_until(lambda: self.files.waiting() == number, 20, f"{number} messages wait")


def sha256(content: bytes) -> str:
    return digest_of([content]).sha256
