"""From a source's configuration to the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.inventories.source import InventoryConfig
from des_platform.sources.queues.queue import QueueConfig
from des_platform.sources.streams.source import StreamConfig

if TYPE_CHECKING:
    from des_platform.settings import Settings
    from des_platform.sources.recording import Recorder
    from des_platform.sources.source import Source, SourceKind

SourceConfig = QueueConfig | StreamConfig | DatabaseSource | InventoryConfig


def kind_of(config: SourceConfig) -> SourceKind:
    """What a source is."""
    match config:
        case QueueConfig():
            return "queue"
        case StreamConfig():
            return "stream"
        case DatabaseSource():
            return "database"
        case InventoryConfig():
            return "inventory"


def open_source(config: SourceConfig, recorder: Recorder, settings: Settings) -> Source:
    """The source of a configuration; it connects when it is drained.

    Raises:
        ConfigurationError: it names an environment variable that is not set.
    """
    match config:
        case QueueConfig():
            from des_platform.sources.queues.source import QueueSource

            return QueueSource(config, recorder)
        case StreamConfig():
            from des_platform.sources.streams.source import StreamSource

            return StreamSource(config, recorder)
        case DatabaseSource():
            from des_platform.sources.databases.source import DatabaseDrain

            return DatabaseDrain(config, recorder, worker=settings.worker_index, workers=settings.workers)
        case InventoryConfig():
            from des_platform.sources.inventories.source import InventorySource

            return InventorySource(config, recorder, settings.scratch)
