"""The side that puts files together: from a manifest to the file, byte for byte, or to the reason why there is none.

A manifest whose chunks are late waits in its queue. Putting the same file together again changes nothing. A file that
belongs to a dataset is recorded in the inbox, as if its store had announced it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.catalog.dataset import dataset_of
from des_platform.codecs import CorruptStream, UnknownCodec
from des_platform.objectstore import InvalidKey, UnsupportedByStore
from des_platform.settings import ConfigurationError
from des_platform.sources.messages.bodies import MalformedMessage
from des_platform.sources.messages.chunk_manifest import chunked_file
from des_platform.sources.messages.events import s3_event
from des_platform.sources.queues.queue import Queue
from des_platform.sources.streams.chunked import ChunkedFiles
from des_platform.sources.streams.compressing import StreamedFile, Watch
from des_platform.sources.streams.kinesis import StreamAddress, kinesis_client
from des_platform.sources.streams.reading import ChunksMissing, ObjectChunks, StreamChunks
from des_platform.sources.streams.worker import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.objectstore import ObjectInfo
    from des_platform.settings import Settings
    from des_platform.sources.messages.chunk_manifest import ChunkedFile
    from des_platform.sources.queues.queue import Message
    from des_platform.sources.recording import Recorder
    from des_platform.sources.streams.config import StreamJob
    from des_platform.sources.streams.holding import Hold
    from des_platform.sources.streams.reading import ChunkReader


class Restorer:
    """Puts the files together that a queue of manifests announces.

    Args:
        job: what to do.
        settings: of the object store.
        recorder: records what belongs to a dataset.
        progress: called with name, bytes so far and bytes of the file at work, 0 where its manifest does not tell.

    Raises:
        ConfigurationError: the job has no such side, or a queue's URL holds a variable that is not set.
    """

    stage = "stream_restore"
    keeps_messages = False

    def __init__(
        self,
        job: StreamJob,
        settings: Settings,
        recorder: Recorder,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        if job.restored is None:
            raise ConfigurationError(f"the stream job {job.name} puts nothing together: give it restored")
        self.queue = Queue(job.manifests)
        self._job = job
        self._recorder = recorder
        self._records = job.restored.is_own(settings)
        self._files = ChunkedFiles(
            _reader(job, settings), job.restored.open(settings), job.restored.prefix, job.max_bytes
        )
        self._progress = progress

    def handle(self, message: Message, hold: Hold) -> Iterator[StreamedFile | Problem]:
        """Put the file of a manifest together; errors as for `Side.handle`."""
        file = chunked_file(message.body)
        if file is None:
            raise MalformedMessage("it is no manifest of a chunked file: 'file_total_chunk' is missing")
        try:
            yield self._restore(file, message, hold)
        except ChunksMissing as error:
            yield Problem(file.file_name, str(error), heals=True)
        except (CorruptStream, InvalidKey, UnknownCodec, UnsupportedByStore) as error:
            yield Problem(file.file_name, str(error))

    def close(self) -> None:
        """Close the connections."""
        self.queue.close()
        self._files.close()

    def _restore(self, file: ChunkedFile, message: Message, hold: Hold) -> StreamedFile:
        watch = Watch()
        compressed = 0

        def told(chunk_bytes: int, done: int) -> None:
            nonlocal compressed
            hold.beat()
            compressed += chunk_bytes
            if self._progress:
                self._progress(file.file_name, done, file.size or 0)

        info = self._files.restore(file, told)
        self._record(info, message, hold)
        return StreamedFile(
            file.id,
            file.file_name,
            " + ".join(file.pipeline),
            f"{self._files.bucket}/{info.key}",
            info.size,
            compressed if file.chunk_bytes is None else file.chunk_bytes,
            len(file.sequence_numbers),
            0,
            *watch.read(),
        )

    def _record(self, info: ObjectInfo, message: Message, hold: Hold) -> None:
        bucket = self._files.bucket
        if not self._records or dataset_of(self._recorder.datasets, bucket, info.key) is None:
            return
        event = s3_event(bucket, info.key, info.size, info.etag, info.last_modified)
        prepared = self._recorder.prepare(
            [(event, message.id)], stage="queue", origin=self._job.name, default_bucket=None
        )
        with hold.publishing() as connection:
            prepared.write(connection)


def _reader(job: StreamJob, settings: Settings) -> ChunkReader:
    if isinstance(job.chunks, StreamAddress):
        chunks = job.chunks
        return StreamChunks(kinesis_client(chunks.endpoint, chunks.region, chunks.timeout_seconds), chunks.stream)
    return ObjectChunks(job.chunks.open(settings), job.chunks.prefix)
