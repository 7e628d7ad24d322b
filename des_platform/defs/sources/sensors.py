"""The sensor that lists the buckets, for what no source announced. It starts no runs.

A tick stays inside a budget far below Dagster's limit of 60 s, and everything it did is committed before it returns, so
a tick that dies is only repeated.
"""

import json
import time

import dagster as dg

from des_platform.catalog import partitions
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import declared_datasets
from des_platform.objectstore import StoreUnavailable
from des_platform.sources.listing import list_new


@dg.sensor(
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Lists the buckets and records what no message announced.",
)
def listing_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SkipReason:
    """List every dataset's prefix, a budget at a time, then rest.

    One that cannot be listed, since its bucket does not exist for example, is told of and keeps nobody else waiting.
    The cursor holds the keys at which datasets ran out of time, and when the last round ended.
    """
    settings = platform.settings
    started = time.time()
    cursor = json.loads(context.cursor or "{}")
    unfinished: dict[str, str] = cursor.get("unfinished", {})
    rest = cursor.get("ended", 0.0) + settings.listing_seconds - started
    if not unfinished and rest > 0:
        return dg.SkipReason(f"Everything is listed; again in {rest:.0f} s.")
    datasets = declared_datasets(context.repository_def)
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, datasets)
    seen = new = dead = 0
    left: dict[str, str] = {}
    problems = ""
    for dataset in datasets:
        if unfinished and dataset.name not in unfinished:
            continue
        try:
            found = list_new(
                platform.catalog,
                platform.buckets,
                dataset,
                datasets,
                start_after=unfinished.get(dataset.name),
                seconds=settings.drain_seconds / len(datasets),
            )
        except StoreUnavailable as error:
            if time.time() - started > settings.drain_seconds:
                raise  # the whole store is out of reach, and every further dataset would wait for it as long
            problems += f" {dataset.name} could not be listed: {error}."
            continue
        seen, new, dead = seen + found.seen, new + found.new, dead + found.dead
        if found.next_key is not None:
            left[dataset.name] = found.next_key
    context.update_cursor(json.dumps({"unfinished": left, "ended": time.time()}))
    return dg.SkipReason(f"{seen} objects listed: {new} had not been announced, {dead} dead letters.{problems}")
