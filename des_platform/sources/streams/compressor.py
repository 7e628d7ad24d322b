"""The side that compresses: from a message that announces files to manifests that announce their chunks.

Exactly once in effect: a file's identifier is the same in every delivery of its message, so what is announced twice
after a crash is dropped by the FIFO queue or put together to the same file. A manifest is sent while the worker surely
holds the queue's lease, and the message is deleted behind it. A file is read in one version: one that changes meanwhile
is not announced, and tried again.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from des_platform.codecs import Profile, choose, get_codec, sample_ranges
from des_platform.objectstore import IntegrityError, InvalidKey, ObjectNotFound, PreconditionFailed
from des_platform.settings import ConfigurationError
from des_platform.sources.queues.queue import Queue
from des_platform.sources.streams.compressing import (
    ChunkTooLarge,
    FileChanged,
    ManifestTooLarge,
    ShardChanged,
    StreamedFile,
    announce,
    compress_file,
)
from des_platform.sources.streams.config import AUTO
from des_platform.sources.streams.kinesis import StreamAddress, kinesis_client
from des_platform.sources.streams.requests import requests_of
from des_platform.sources.streams.worker import Problem
from des_platform.sources.streams.writing import NowhereWriter, ObjectWriter, Original, StreamWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.codecs import Codec
    from des_platform.objectstore import ObjectInfo
    from des_platform.settings import Settings
    from des_platform.sources.queues.queue import Message
    from des_platform.sources.streams.config import StreamJob
    from des_platform.sources.streams.holding import Hold
    from des_platform.sources.streams.requests import Request
    from des_platform.sources.streams.writing import ChunkWriter

_DONE = "_delete"

_log = logging.getLogger(__name__)


class FileTooLarge(ValueError):
    """A file is larger than the job takes."""


class Compressor:
    """Compresses the files that a queue announces.

    Args:
        job: what to do.
        settings: of the object store.
        progress: called with name, bytes so far and bytes of the file at work.

    Raises:
        ConfigurationError: the job has no such side, or a queue's URL holds a variable that is not set.
    """

    stage = "stream_compress"

    def __init__(
        self, job: StreamJob, settings: Settings, progress: Callable[[str, int, int], None] | None = None
    ) -> None:
        if job.files is None or job.originals is None:
            raise ConfigurationError(f"the stream job {job.name} compresses nothing: give it files and originals")
        self.queue = Queue(job.files)
        self.keeps_messages = not job.push
        self._job = job
        self._place = job.originals
        self._store = job.originals.open(settings)
        self._manifests = Queue(job.manifests)
        self._writer = _writer(job, settings)
        self._progress = progress

    def handle(self, message: Message, hold: Hold) -> Iterator[StreamedFile | Problem]:
        """Compress and announce the files of a message; errors as for `Side.handle`."""
        requests = requests_of(message.body, self._place)
        yield from (Problem(name, reason) for name, reason in requests.problems)
        for request in requests.files:
            outcome = self._outcome(request, hold)
            if outcome is not None:
                yield outcome

    def close(self) -> None:
        """Close the connections."""
        self.queue.close()
        self._manifests.close()
        self._writer.close()

    def _outcome(self, request: Request, hold: Hold) -> StreamedFile | Problem | None:
        """What became of a file; None for one that needs nothing."""
        try:
            return self._compress(request, hold)
        except (InvalidKey, FileTooLarge, ChunkTooLarge, ManifestTooLarge) as error:
            return Problem(request.name, str(error))
        except (ObjectNotFound, FileChanged, ShardChanged) as error:
            return Problem(request.name, str(error), heals=True)
        except (PreconditionFailed, IntegrityError) as error:
            reason = f"{request.name} changed while it was read, so it was not announced: {error}"
            return Problem(request.name, reason, heals=True)

    def _compress(self, request: Request, hold: Hold) -> StreamedFile | None:
        rename = self._job.processed == "rename"
        if rename and PurePosixPath(request.key).stem.endswith(_DONE):
            return None  # the store told of our own renaming
        try:
            info = self._store.head(request.key)
        except ObjectNotFound:
            if rename and self._store.exists(_done_key(request.key)):
                return None  # announced and renamed, and then the message came back
            raise
        if info.size > self._job.max_bytes:
            raise FileTooLarge(f"{request.name} has {info.size} bytes, and max_bytes is {self._job.max_bytes}")
        codec, reason = self._codec(info)
        original = Original(
            request.identifier(self._place.bucket, info.etag), request.name, self._version(info, codec), info.size
        )

        def told(done: int) -> None:
            hold.beat()
            if self._progress:
                self._progress(request.name, done, info.size)

        manifest, done = compress_file(
            original,
            self._store.stream(info.key, if_match=info.etag or None),
            self._writer,
            codec,
            chunk_bytes=self._job.chunk_bytes,
            reason=reason,
            told=told,
        )
        if self._job.push:
            with hold.publishing():
                announce(manifest, self._manifests, chunk_bytes=self._job.chunk_bytes)
            if rename:
                self._rename(info)
        return done

    def _codec(self, info: ObjectInfo) -> tuple[Codec, str]:
        if self._job.codec != AUTO:
            codec = get_codec(self._job.codec)
            level = self._job.level
            return codec if level is None else codec.at_level(level), "as configured"
        samples = self._store.get_ranges(info.key, sample_ranges(info.size), if_match=info.etag or None)
        # Without the file's size: each chunk is compressed by itself, so no window reaches beyond one.
        choice = choose(samples, Profile(self._job.profile))
        return choice.codec, choice.reason

    def _version(self, info: ObjectInfo, codec: Codec) -> str:
        """Under one version the same chunks are put, however often."""
        identity = f"{info.etag} {info.size} {codec.name} {codec.level} {self._job.chunk_bytes}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def _rename(self, info: ObjectInfo) -> None:
        """Rename what was announced; a version that has replaced it since stays, and has its own message."""
        try:
            if self._store.head(info.key).etag == info.etag:
                self._store.copy(info.key, _done_key(info.key))
                self._store.delete(info.key, if_match=info.etag)
                return
        except PreconditionFailed:
            pass
        _log.warning("%s was replaced after it was announced: it is not renamed", info.key)


def _done_key(key: str) -> str:
    path = PurePosixPath(key)
    return str(path.with_name(f"{path.stem}{_DONE}{path.suffix}"))


def _writer(job: StreamJob, settings: Settings) -> ChunkWriter:
    to_stream = isinstance(job.chunks, StreamAddress)
    if not job.push:
        return NowhereWriter(StreamWriter if to_stream else ObjectWriter)
    if isinstance(job.chunks, StreamAddress):
        chunks = job.chunks
        return StreamWriter(kinesis_client(chunks.endpoint, chunks.region, chunks.timeout_seconds), chunks.stream)
    return ObjectWriter(job.chunks.open(settings), job.chunks.prefix)
