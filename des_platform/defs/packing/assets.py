"""`<dataset>/des_shards`: one immutable archive per day and shard; any of its files is one range request away.

Bucket: `archives/<dataset>/<day>/<shard>.<digest>.des`. Small files are inside, large ones are external entries that
point at their objects. The day's page in `reports/` is written anew.

`bytes_inside` are the small files' own bytes; `ratio_inside` says how many of them each byte of the archive holds, its
index and its SQL catalogue included.

Idempotence: the same files give the same bytes under the same key. A late file makes a new generation; a shard that
holds every file already is left alone, unless its object is lost: then it is built again.
"""

import dagster as dg

from des_platform.catalog.dataset import Dataset
from des_platform.defs.compression.day_report import write_day_report
from des_platform.defs.partitions import day_and_shard_of, days_and_shards
from des_platform.defs.reporting import numbers, report, stopwatch
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY, asset_key


def des_shards(dataset: Dataset) -> dg.AssetsDefinition:
    """The asset that packs a day's shards."""

    @dg.asset(
        key=asset_key(dataset, "des_shards"),
        group_name=dataset.name,
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=days_and_shards(dataset),
        deps=[
            dg.AssetDep(
                asset_key(dataset, "compressed_objects"),
                partition_mapping=dg.MultiToSingleDimensionPartitionMapping("day"),
            )
        ],
        kinds={"s3", "des"},
        description=f"The files of {dataset.name} in {dataset.shards} archives a day.",
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        packer = platform.packer
        for key in context.partition_keys:
            day, shard = day_and_shard_of(key)
            with stopwatch() as watch:
                done = packer.pack(dataset, day, shard)
            container = done.container
            facts = numbers(
                files=container.files if container else 0,
                bytes_in=done.inside_bytes,  # with the large files outside, the ratio would say nothing of the archive
                bytes_out=container.size if container else 0,
                watch=watch,
            )
            facts |= {"newly_packed": done.newly_packed, "left_out": done.left_out}
            if container is not None:
                facts |= {
                    "dagster/uri": platform.buckets.own.uri(container.key),
                    "archive_version": container.archive_version,
                    "external_files": container.external_files,
                    "external_bytes": done.original_bytes - done.inside_bytes,
                    "generation": container.generation,
                    "sha256": container.sha256,
                }
            report(context, key, facts)
        for day in sorted({day_and_shard_of(key)[0] for key in context.partition_keys}):
            write_day_report(platform, dataset, day)
        return dg.MaterializeResult()

    return asset
