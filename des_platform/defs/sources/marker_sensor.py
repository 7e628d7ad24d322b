"""The sensor of a marker: rows of a source table get their names, a time budget at a time. It starts no runs."""

import dagster as dg

from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import EVERY_LOOK_SECONDS
from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.marking.marker import Marker


def marker_sensor(config: DatabaseSource) -> dg.SensorDefinition:
    """The sensor that marks the rows of a source.

    Args:
        config: a source with a `marker`.
    """

    @dg.sensor(
        name=f"{config.name}_marker_sensor",
        minimum_interval_seconds=EVERY_LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Gives names and shards to the rows of {config.name} that have none.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SkipReason:
        settings = platform.settings
        marker = Marker(config, platform.catalog, name_prefix=settings.name_prefix)
        done = marker.run(seconds=settings.drain_seconds)
        total = int(context.cursor or 0) + done.marked
        context.update_cursor(str(total))
        return dg.SkipReason(f"{done}; {total:,} rows so far.")

    return sensor
