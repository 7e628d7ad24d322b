"""Stream jobs of the sources file: files that a queue announces, compressed into chunks and put together again.

    stream_jobs:
      - name: prices
        files: {url: https://sqs...}                   # announces the files
        originals: {bucket: landing, prefix: prices/}  # where they lie
        chunks: {stream: prices}                       # or {bucket: chunks, prefix: prices/}
        manifests: {url: https://sqs...fifo}
        restored: {bucket: restored}

The side that compresses needs `files` and `originals`, the other one `restored`; a job has one of them or both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from des_platform.settings import BucketName
from des_platform.sources.queues.queue import QueueAddress
from des_platform.sources.streams.cutting import CHUNK_BYTES
from des_platform.sources.streams.kinesis import StreamAddress

if TYPE_CHECKING:
    from des_platform.objectstore import ObjectStore
    from des_platform.settings import Settings

AUTO = "auto"
_MAX_CHUNK_BYTES = 64 << 20


class Place(BaseModel):
    """A part of a bucket.

    Attributes:
        bucket: the bucket's name.
        prefix: start of the keys.
        store: `s3://`, or `file:///folder` whose folders are the buckets; the platform's own store if empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: BucketName
    prefix: str = ""
    store: Annotated[str, Field(pattern=r"^(s3://|file:///.*[^/])?$")] = ""

    def open(self, settings: Settings) -> ObjectStore:
        """The bucket."""
        from des_platform.objectstore import Buckets

        return Buckets(settings.model_copy(update={"store_url": self.store or settings.store_url})).bucket(self.bucket)

    def is_own(self, settings: Settings) -> bool:
        """Whether the bucket is one of the platform's own store."""
        return self.store in ("", settings.store_url)


class StreamJob(BaseModel):
    """One stream job.

    Attributes:
        name: what commands, assets and dead letters call it.
        files: the queue that announces the files: S3's events, or `{"ID": ..., "file_name": ...}`.
        originals: where they lie; `file_name` is the key without the prefix.
        chunks: where the chunks are put: a stream, or a bucket, whose rules must remove them some day.
        manifests: the queue that announces the chunks; FIFO, so that nothing is announced twice.
        restored: where files are put together, under their identifiers.
        codec: what compresses the chunks: a name, or `auto` for one that is chosen by a sample of each file.
        level: its level; its usual one if None.
        profile: what `auto` chooses for.
        chunk_bytes: most bytes of a chunk before it is compressed. In a stream a compressed chunk has 1 MiB at most.
        max_bytes: largest file, on both sides.
        push: whether chunks and manifests are sent; otherwise files are only compressed, and their messages stay.
        processed: what becomes of an original once it is announced: kept, or renamed from `NAME.EXT` to
            `NAME_delete.EXT`, which is never announced.
        attempts: deliveries of a message that cannot be processed now, before it becomes a dead letter.
        retry_seconds: how long it waits between two of them.
        interval_seconds: pause of a worker at an empty queue.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    files: QueueAddress | None = None
    originals: Place | None = None
    chunks: StreamAddress | Place
    manifests: QueueAddress
    restored: Place | None = None
    codec: str = AUTO
    level: int | None = None
    profile: Literal["hot", "warm", "cold", "compatible"] = "warm"
    chunk_bytes: Annotated[int, Field(ge=1, le=_MAX_CHUNK_BYTES)] = CHUNK_BYTES
    max_bytes: Annotated[int, Field(ge=1)] = 1 << 30
    push: bool = True
    processed: Literal["keep", "rename"] = "keep"
    attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    retry_seconds: Annotated[int, Field(ge=0, le=43_200)] = 30
    interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _name_the_queues(cls, data: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
        if not isinstance(data, dict):
            return data
        queues = {part: data[part] for part in ("files", "manifests") if isinstance(data.get(part), dict)}
        return data | {part: {"name": f"{data.get('name')}_{part}"} | queue for part, queue in queues.items()}

    @field_validator("codec")
    @classmethod
    def _known_codec(cls, name: str) -> str:
        from des_platform.codecs import get_codec

        return name if name == AUTO else get_codec(name).name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.files is None) != (self.originals is None):
            raise ValueError("files and originals belong together: a queue, and where the files are that it announces")
        if self.files is None and self.restored is None:
            raise ValueError("nothing to do: give files and originals to compress, restored to put together, or all")
        if self.level is not None:
            from des_platform.codecs import get_codec

            if self.codec == AUTO:
                raise ValueError("level needs a codec: `auto` chooses its own")
            get_codec(self.codec).at_level(self.level)
        return self
