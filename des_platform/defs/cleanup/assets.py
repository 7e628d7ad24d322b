"""`<dataset>/originals_removed`: what arrived goes, once the platform's own copy of it is proven and it is due.

Only for datasets whose `originals` is `after-verify` or `after N days`; others have no such asset. Of a versioned
bucket the objects get a delete marker, and their versions stay until the bucket's own lifecycle ends them.

Never removed: a file that was kept as it is, since the original is its only copy; one that is in no archive yet, or
whose archive or object does not give it back right now; one whose object was replaced since; one in the platform's own
bucket; one that its dataset no longer names; one that shares its key with another file. An archive that is lost after
this can be built from nothing but what it held: that is why the proof comes first, and not from memory.

Idempotence: what is removed is recorded with the proof; a run that was killed in between is repaired by the next one,
which proves the copies again and finds the originals gone.
"""

from datetime import date

import dagster as dg

from des_platform.catalog import cleanups
from des_platform.catalog.dataset import Dataset
from des_platform.compression.cleanup.removal import remove_due
from des_platform.defs.partitions import day_of, days
from des_platform.defs.reporting import Metadata, report, stopwatch, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY, asset_key

STAGE = "originals_removed"
_SHOWN = 20


def originals_removed(dataset: Dataset) -> dg.AssetsDefinition:
    """The asset that removes a day's originals."""

    @dg.asset(
        key=asset_key(dataset, STAGE),
        group_name=dataset.name,
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=days(dataset),
        deps=[
            asset_key(dataset, "compressed_objects"),
            dg.AssetDep(
                asset_key(dataset, "des_shards"),
                partition_mapping=dg.MultiToSingleDimensionPartitionMapping("day"),
            ),
        ],
        kinds={"s3"},
        description=f"The originals of {dataset.name}: removed {dataset.originals}, each behind a proof of its copy.",
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        for key in context.partition_keys:
            day = day_of(key)
            with stopwatch() as watch:
                done = remove_due(platform.catalog, platform.buckets, dataset, day, threads=platform.settings.threads)
            facts = _facts(platform, dataset, day)
            facts |= {
                "newly_removed": done.removed,
                "newly_refused": done.refused,
                "newly_freed_bytes": done.bytes,
                "duration_s": round(watch.seconds, 3),
            }
            report(context, key, facts)
        return dg.MaterializeResult()

    return asset


def _facts(platform: PlatformResource, dataset: Dataset, day: date) -> Metadata:
    with platform.catalog.begin() as connection:
        shares = {share.state: share for share in cleanups.shares(connection, dataset.name, day)}
        kept_back = cleanups.kept_back(connection, dataset.name, day, _SHOWN)
    freed = shares["removed"].bytes if "removed" in shares else 0
    facts: Metadata = {state: shares[state].files if state in shares else 0 for state in cleanups.STATES}
    facts |= {
        "files": sum(share.files for share in shares.values()),
        "bytes_freed": freed,
        "dollars_a_month": round(freed / 1e9 * platform.settings.storage_price, 6),
    }
    if "planned" in shares:
        facts["due_first"] = dg.MetadataValue.timestamp(shares["planned"].first_due)
        facts["due_last"] = dg.MetadataValue.timestamp(shares["planned"].last_due)
    if kept_back:
        rows = [[f"{found.bucket}/{found.key}", found.state, found.reason] for found in kept_back]
        facts["kept_back"] = table(["original", "state", "because"], rows)
    return facts
