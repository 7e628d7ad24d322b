"""The sensors and external assets of every configured source: the sources file's, and the queue of `DES_QUEUE_URL`.

The file is read when the code location is loaded; the secrets that it names are not. An error in it is an error of the
code location, with file and field.
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from des_platform.defs.datahub.assets import datahub_asset
from des_platform.defs.datahub.compressing import datahub_compression
from des_platform.defs.datahub.sensors import datahub_sensor
from des_platform.defs.resources import PlatformResource
from des_platform.defs.sources.marker_sensor import marker_sensor
from des_platform.defs.sources.source_sensor import source_asset, source_sensor
from des_platform.defs.stage import INBOX
from des_platform.defs.streams.sensors import restored_files, stream_definitions
from des_platform.settings import load_settings
from des_platform.sources.config import Sources, load_sources
from des_platform.sources.opening import SourceConfig, kind_of, open_source
from des_platform.sources.recording import Recorder
from des_platform.sources.source import Source


@dg.definitions
def configured_sources() -> dg.Definitions:
    """What the sources of this installation yield."""
    return source_definitions(load_sources(load_settings()))


def source_definitions(sources: Sources) -> dg.Definitions:
    """Sensors and assets of sources; `inbox` stands between them and every dataset's raw_files."""
    datahubs = [datahub_asset(config) for config in sources.datahubs]
    drained = list(sources.drained())
    specs = [source_asset(config.name, kind_of(config)) for config in drained]
    inbox = dg.AssetSpec(
        INBOX,
        group_name="sources",
        kinds={"postgres"},
        deps=[*(spec.key for spec in specs), *(asset.key for asset in datahubs), *restored_files(sources.stream_jobs)],
        description="Every file that any source told of, once, until its partition's run takes it.",
    )
    own = dg.Definitions(
        assets=[*specs, inbox, *datahubs],
        sensors=[*_drains(drained), *map(datahub_sensor, sources.datahubs), *map(marker_sensor, sources.marked())],
    )
    return dg.Definitions.merge(own, stream_definitions(sources.stream_jobs), datahub_compression(sources.datahubs))


def _drains(drained: list[SourceConfig]) -> Iterator[dg.SensorDefinition]:
    for config in drained:
        kind = kind_of(config)
        yield source_sensor(f"{config.name}_{kind}_sensor", config.name, kind, partial(_open, config))


def _open(config: SourceConfig, platform: PlatformResource, recorder: Recorder) -> Source:
    return open_source(config, recorder, platform.settings)
