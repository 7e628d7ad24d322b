"""The sources file: every queue, stream, source database, DataHub and inventory that files come from.

One YAML file, named by `DES_SOURCES`, with a list for each kind:

    queues: [{name: orders, url: ...}]
    streams: [{name: clicks, stream: ...}]
    sources: [{name: erp, connection: ..., table: ...}]     # databases
    datahubs: [{name: archive, url: ..., connection: ...}]
    inventories: [{name: attic, manifest_bucket: ..., manifest_prefix: ...}]
    stream_jobs: [{name: prices, files: ..., chunks: ..., manifests: ...}]   # files in chunks, and back

The models of the entries document their fields. Names are unique over all kinds. Reading the file needs none of the
secrets that its `${VARIABLES}` stand for. A mistake raises `ConfigurationError` with a line for each.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from des_platform.settings import ConfigurationError
from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.datahub.config import DataHubConfig
from des_platform.sources.inventories.source import InventoryConfig
from des_platform.sources.queues.queue import QueueConfig
from des_platform.sources.streams.config import StreamJob
from des_platform.sources.streams.source import StreamConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.settings import Settings
    from des_platform.sources.opening import SourceConfig

_MAX_BYTES = 1 << 20


class Sources(BaseModel):
    """Everything that files come from, but for the listings of the datasets' own buckets.

    Attributes:
        queues: SQS queues.
        streams: Kinesis streams.
        databases: databases with a table of files; `sources` in the file.
        datahubs: DataHubs.
        inventories: S3 inventories of buckets too large to list.
        stream_jobs: files that are sent in compressed chunks, and put together again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    queues: tuple[QueueConfig, ...] = ()
    streams: tuple[StreamConfig, ...] = ()
    databases: tuple[DatabaseSource, ...] = Field(default=(), alias="sources")
    datahubs: tuple[DataHubConfig, ...] = ()
    inventories: tuple[InventoryConfig, ...] = ()
    stream_jobs: tuple[StreamJob, ...] = ()

    @model_validator(mode="after")
    def _one_of_each_name(self) -> Sources:
        names = Counter(source.name for source in (*self.all(), *self.stream_jobs))
        twice = sorted(name for name, number in names.items() if number > 1)
        if twice:
            raise ValueError(f"a name stands for one source, and these stand for several: {', '.join(twice)}")
        return self

    def all(self) -> Iterator[SourceConfig | DataHubConfig]:
        """Every source, kind by kind."""
        yield from self.queues
        yield from self.streams
        yield from self.databases
        yield from self.inventories
        yield from self.datahubs

    def drained(self) -> Iterator[SourceConfig]:
        """The sources that are drained into the inbox; a disabled database is none."""
        yield from self.queues
        yield from self.streams
        yield from (database for database in self.databases if database.enabled)
        yield from self.inventories

    def marked(self) -> Iterator[DatabaseSource]:
        """The databases whose rows the marker names."""
        yield from (database for database in self.databases if database.enabled and database.marker)


def load_sources(settings: Settings) -> Sources:
    """Read the sources file, and add the queue of `DES_QUEUE_URL` as `files`.

    Raises:
        ConfigurationError: the file cannot be read, or says something wrong.
    """
    read = _load(settings.sources) if settings.sources else {}
    try:
        if settings.queue_url:
            default = QueueConfig.of_settings(settings)
            read = {**read, "queues": [default, *(read.get("queues") or [])]}
        return Sources.model_validate(read)
    except ValidationError as error:
        # Without the input: a password that somebody wrote there after all must not be printed.
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigurationError(f"{settings.sources or 'DES_QUEUE_URL'} is wrong: {problems}") from None


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigurationError(f"the sources file {path} is larger than {_MAX_BYTES} bytes")
        read = yaml.safe_load(content)
    except OSError as error:
        raise ConfigurationError(f"the sources file {path} (DES_SOURCES) cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"the sources file {path} is not YAML: {' '.join(str(error).split())}") from None
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise ConfigurationError(f"the sources file {path} holds {type(read).__name__}, expected lists by kind")
    return read
