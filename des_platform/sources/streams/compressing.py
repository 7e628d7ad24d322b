"""One file into chunks, and the manifest that announces them.

The file is read as a stream and in one version, so memory holds one part of it and one chunk. Nothing is announced
before all chunks are put, nor if anything went wrong: what lies there then is read by nobody. The content stays as it
is, byte for byte.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from des_platform.codecs import compress_bytes
from des_platform.objectstore import check_key
from des_platform.sources.messages.chunk_manifest import ChunkedFile, chunk_manifest
from des_platform.sources.queues.queue import Outgoing
from des_platform.sources.streams.cutting import Cutter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from des_platform.codecs import Codec
    from des_platform.sources.queues.queue import Queue
    from des_platform.sources.streams.writing import ChunkWriter, Original, Placed

MANIFEST_BYTES = 256 << 10
"""Most bytes of a manifest: what every queue takes."""
_MANIFEST_FRAME_BYTES = 2000  # a manifest without its chunks; a name has 1,024 bytes at most


class FileChanged(Exception):
    """A file changed while it was read; nothing was announced."""


class ShardChanged(Exception):
    """The stream was split or merged while a file was put, so its chunks lie in two shards: put it again."""


class ChunkTooLarge(ValueError):
    """A compressed chunk is larger than the stream or the bucket takes."""


class ManifestTooLarge(ValueError):
    """A file has more chunks than a manifest can name."""


@dataclass(frozen=True, slots=True)
class StreamedFile:
    """What was done about one file, on either side.

    Attributes:
        id: its identifier.
        name: its name.
        codec: names of the codecs, as the manifest says.
        reason: why that codec, or where the file was put together.
        original_bytes: bytes of the file.
        compressed_bytes: bytes of its chunks.
        chunks: how many there are.
        cut_records: records that are longer than a chunk, and so were cut.
        seconds: how long it took.
        cpu_seconds: CPU time of the thread that did it.
    """

    id: str
    name: str
    codec: str
    reason: str
    original_bytes: int
    compressed_bytes: int
    chunks: int
    cut_records: int
    seconds: float
    cpu_seconds: float

    @property
    def ratio(self) -> float:
        """Original bytes per compressed byte."""
        return self.original_bytes / self.compressed_bytes if self.compressed_bytes else 1.0

    def fields(self) -> dict[str, Any]:
        """Everything about it, for logs and reports."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        rounded = {"seconds": round(self.seconds, 6), "cpu_seconds": round(self.cpu_seconds, 6)}
        return facts | rounded | {"ratio": round(self.ratio, 3)}


class Watch:
    """Wall and CPU seconds of the calling thread since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def read(self) -> tuple[float, float]:
        """Wall seconds, and CPU seconds."""
        return time.perf_counter() - self._wall, time.thread_time() - self._cpu


def compress_file(
    file: Original,
    data: Iterable[bytes],
    writer: ChunkWriter,
    codec: Codec,
    *,
    chunk_bytes: int,
    reason: str = "",
    told: Callable[[int], None] | None = None,
) -> tuple[ChunkedFile, StreamedFile]:
    """Put a file's chunks; announces nothing.

    Args:
        file: what it is called.
        data: its bytes, cut anywhere.
        writer: takes the chunks.
        codec: compresses each of them.
        chunk_bytes: most bytes of a chunk before it is compressed.
        reason: why this codec.
        told: called with the bytes compressed so far, before each chunk; what it raises ends the work.

    Returns:
        What is to be announced, and what was done.

    Raises:
        InvalidKey: no object store could take the name.
        ChunkTooLarge: a compressed chunk is larger than the writer takes.
        ManifestTooLarge: there are more chunks than a manifest can name.
        FileChanged: the bytes are fewer or more than the file should have.
        ShardChanged: the stream was split or merged meanwhile.
        SourceUnavailable: the stream does not take the chunks.
        StoreUnavailable: the store does not take them.
    """
    import xxhash

    check_key(file.name)
    _check_number(file, writer, chunk_bytes)
    watch, cutter, digest = Watch(), Cutter(chunk_bytes), hashlib.sha256()
    size = compressed = 0
    checksums: list[int] = []
    placed: list[Placed] = []
    for piece in cutter.cut(data):
        if told:
            told(size)
        digest.update(piece)
        packed = compress_bytes(codec, piece)
        if len(packed) > writer.most_bytes:
            raise ChunkTooLarge(
                f"chunk {len(placed)} of {file.name} has {len(packed)} bytes of {codec.name}, and the most is "
                f"{writer.most_bytes}: set chunk_bytes to {writer.most_bytes * 9 // 10} or less"
            )
        checksums.append(xxhash.xxh3_64_intdigest(packed))
        placed.append(writer.put(file, len(placed), packed, placed[-1] if placed else None))
        size, compressed = size + len(piece), compressed + len(packed)
    if size != file.size:
        raise FileChanged(f"{file.name} had {file.size} bytes, and {size} came: nothing was announced")
    shards = {found.shard_id for found in placed}
    if len(shards) != 1:
        raise ShardChanged(f"the stream was resharded while {file.name} was put: put it again")
    numbers = tuple(found.sequence_number for found in placed)
    manifest = ChunkedFile(
        file.id,
        file.name,
        shards.pop(),
        numbers,
        (codec.name,),
        compressed,
        size,
        digest.hexdigest(),
        tuple(checksums),
    )
    done = StreamedFile(
        file.id, file.name, codec.name, reason, size, compressed, len(placed), cutter.cut_records, *watch.read()
    )
    return manifest, done


def announce(file: ChunkedFile, queue: Queue, *, chunk_bytes: int) -> None:
    """Send the manifest of a file; on a FIFO queue in the shard's group, once in five minutes for each identifier.

    Raises:
        ManifestTooLarge: the queue would not take it.
        SourceUnavailable: the queue did not take it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from des_platform.sources.source import SourceUnavailable

    body = chunk_manifest(file)
    if len(body) > MANIFEST_BYTES:
        raise _too_many(file.file_name, len(file.sequence_numbers), len(body), chunk_bytes)
    try:
        queue.send([Outgoing(body, file.shard_id, file.id)])
    except (BotoCoreError, ClientError, RuntimeError) as error:
        raise SourceUnavailable(f"{queue.url} did not take the manifest of {file.file_name}: {error}") from None


def _check_number(file: Original, writer: ChunkWriter, chunk_bytes: int) -> None:
    """Refuse at once what would be refused when all chunks are put."""
    least = -(-file.size // chunk_bytes)
    needed = least * writer.manifest_bytes
    if needed > MANIFEST_BYTES:
        raise _too_many(file.name, least, needed + _MANIFEST_FRAME_BYTES, chunk_bytes)


def _too_many(name: str, chunks: int, needed: int, chunk_bytes: int) -> ManifestTooLarge:
    enough = chunk_bytes * needed * 5 // (MANIFEST_BYTES * 4)  # records end before a chunk is full
    return ManifestTooLarge(
        f"{name} makes {chunks} chunks, whose manifest has {needed} bytes, and a queue takes {MANIFEST_BYTES}: set "
        f"chunk_bytes to {enough} or more, or put its chunks into a bucket, where they are larger and their numbers "
        "shorter"
    )
