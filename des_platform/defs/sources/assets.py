"""`<dataset>/raw_files`: every file that arrived on a day, recorded once.

Bucket: `manifests/<dataset>/<day>/<digest>.parquet` lists the day's files; the files themselves stay where they
arrived.

Idempotence: the asset claims what is pending for its day, so running it again finds nothing to do and reports the same
numbers. A bad file becomes a dead letter and never stops the partition.
"""

from collections import Counter
from datetime import date
from pathlib import PurePosixPath

import dagster as dg

from des_platform.catalog import dead_letters, files, inbox, partitions
from des_platform.catalog.dataset import Dataset
from des_platform.defs.partitions import day_of, days
from des_platform.defs.reporting import Metadata, bars, numbers, report, stopwatch, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import DATASET_METADATA, INBOX, OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY, asset_key
from des_platform.sources.intake import take_in


def raw_files(dataset: Dataset) -> dg.AssetsDefinition:
    """The asset that records a day's files."""

    @dg.asset(
        key=asset_key(dataset, "raw_files"),
        group_name=dataset.name,
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=days(dataset),
        deps=[INBOX],
        kinds={"postgres", "parquet"},
        description=f"Every file of {dataset.name} that arrived on a day, recorded once, with its checksum and name.",
        metadata={DATASET_METADATA: dataset.model_dump(mode="json")},
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        settings = platform.settings
        with platform.catalog.begin() as connection:
            partitions.register_datasets(connection, [dataset])
        for key in context.partition_keys:
            with stopwatch() as watch:
                taken = take_in(
                    platform.catalog,
                    platform.buckets,
                    dataset,
                    day_of(key),
                    name_prefix=settings.name_prefix,
                    scratch=settings.scratch,
                    threads=settings.threads,
                )
            with platform.catalog.begin() as connection:
                recorded = files.totals(connection, dataset.name, day_of(key))
            facts = _facts(platform, dataset, day_of(key))
            facts |= numbers(files=recorded.files, bytes_in=recorded.bytes, bytes_out=recorded.bytes, watch=watch)
            report(context, key, facts | {"new_files": taken.files, "new_dead_letters": taken.dead})
        return dg.MaterializeResult()

    return asset


def _facts(platform: PlatformResource, dataset: Dataset, day: date) -> Metadata:
    kinds: Counter[str] = Counter()
    with platform.catalog.begin() as connection:
        tally = inbox.tally(connection, dataset.name, day)
        manifest = partitions.manifest_of(connection, dataset.name, day)
        letters = dead_letters.newest(connection, limit=5, dataset=dataset.name)
        for batch in files.of_day(connection, dataset.name, day):
            kinds.update(PurePosixPath(row.key).suffix.lower() or "(none)" for row in batch)
    facts: Metadata = {
        "dead_letters": tally["dead"],
        "pending": tally["pending"],
        "files_by_kind": bars("kind", "files", dict(kinds.most_common(10))),
    }
    if manifest is not None:
        facts["dagster/uri"] = platform.buckets.own.uri(manifest.key)
        facts["dagster/row_count"] = manifest.files
    if letters:
        facts["newest_dead_letters"] = table(
            ["file", "reason"], [[letter.subject, letter.reason] for letter in letters]
        )
    return facts
