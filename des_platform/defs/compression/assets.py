"""`<dataset>/compressed_objects`: each large file of a day as a compressed object of its own.

Bucket: `archives/<dataset>/<day>/_bigFiles/<name>`, in the standard container of the codec that the file's own sample
chose, and its index beside it where it has several frames; `reports/<dataset>/<day>.html`, which tells what became of
the day.

Idempotence: only files without a proven object are compressed, under keys that follow from their names, with the same
bytes each time. Small files are left to the shards; a file that does not shrink is kept as it is, and says so.
"""

import dagster as dg

from des_platform.catalog import files
from des_platform.catalog.dataset import Dataset
from des_platform.compression.compress import compress_day
from des_platform.defs.compression.day_report import write_day_report
from des_platform.defs.partitions import day_of, days
from des_platform.defs.reporting import numbers, report, stopwatch, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY, asset_key


def compressed_objects(dataset: Dataset) -> dg.AssetsDefinition:
    """The asset that compresses a day's large files."""

    @dg.asset(
        key=asset_key(dataset, "compressed_objects"),
        group_name=dataset.name,
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=days(dataset),
        deps=[asset_key(dataset, "raw_files")],
        kinds={"s3"},
        description=f"Each file of {dataset.name} above {dataset.small_bytes:,} bytes, compressed and proven equal.",
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        for key in context.partition_keys:
            day = day_of(key)
            with stopwatch() as watch:
                done = compress_day(
                    platform.catalog,
                    platform.buckets,
                    platform.reader,
                    dataset,
                    day,
                    threads=platform.settings.threads,
                )
            with platform.catalog.begin() as connection:
                totals = files.totals(connection, dataset.name, day)
                choices = files.codec_choices(connection, dataset.name, day)
            facts = numbers(
                files=totals.compressed,
                bytes_in=totals.compressed_bytes_in,
                bytes_out=totals.compressed_bytes_out,
                watch=watch,
            )
            header = ["codec", "files", "bytes in", "bytes out", "for example, because"]
            report(
                context,
                key,
                facts
                | {
                    "kept_as_they_are": totals.large - totals.compressed,
                    "left_to_shards": totals.files - totals.large,
                    "failed": totals.failed,
                    "new_objects": sum(done.codecs.values()),
                    "new_small_files": done.small,
                    "dagster/uri": platform.buckets.own.uri(f"archives/{dataset.name}/{day}/_bigFiles"),
                    "codecs": table(header, choices),
                    "report": write_day_report(platform, dataset, day),
                },
            )
        return dg.MaterializeResult()

    return asset
