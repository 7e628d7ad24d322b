"""`<dataset>/table_upkeep`: the small files of a day of a dataset's table, made few and large.

A day has small files where it came in many pieces, or in many partitions. The rows stay the same and so does the day:
materializing it anew replaces the large files as it would have replaced the small ones.

Idempotence: a day with nothing to do is left alone. A run that is killed leaves files that nothing names, which
`lake/upkeep` removes days later. A run that meets a load of the same day gives way to it.

Every night a schedule looks which days have anything to do, which reads metadata alone, and requests one run for them.
"""

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from des_platform.catalog.dataset import Dataset
from des_platform.defs.partitions import day_of, days
from des_platform.defs.reporting import report
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY, asset_key
from des_platform.defs.upkeep.showing import by_day, shown, upkeep_of
from des_platform.lake.rejected import rejected_table

STAGE = "table_upkeep"
_EVERY_NIGHT = "17 2 * * *"


def upkeep_definitions(dataset: Dataset) -> dg.Definitions:
    """The asset that compacts a dataset's tables, its job and its schedule."""
    asset = table_upkeep(dataset)
    job = dg.define_asset_job(f"{dataset.name}_upkeep", dg.AssetSelection.assets(asset))

    @dg.schedule(
        name=f"{dataset.name}_upkeep_schedule",
        job=job,
        cron_schedule=_EVERY_NIGHT,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Requests a run for the days of {dataset.name} whose files should become fewer.",
    )
    def schedule(platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        known = set(days(dataset).get_partition_keys())
        with upkeep_of(platform) as upkeep:
            names = set(upkeep.names()) & _tables(dataset)
            found = {day for name in names for day in by_day(upkeep.compact(name, apply=False))}
        wanted = sorted(found & known)
        if not wanted:
            return dg.SkipReason("No day has files that should become fewer.")
        # A run for each of them would cost more than the days between that have nothing to do.
        tags = {ASSET_PARTITION_RANGE_START_TAG: wanted[0], ASSET_PARTITION_RANGE_END_TAG: wanted[-1]}
        return dg.RunRequest(tags=tags)

    return dg.Definitions(assets=[asset], jobs=[job], schedules=[schedule])


def table_upkeep(dataset: Dataset) -> dg.AssetsDefinition:
    """The asset that compacts a day of a dataset's tables."""

    @dg.asset(
        key=asset_key(dataset, STAGE),
        group_name=dataset.name,
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=days(dataset),
        deps=[asset_key(dataset, "table")],
        kinds={"iceberg", "parquet"},
        description=f"Few large files instead of many small ones in {dataset.name}'s tables; the rows stay the same.",
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        keys = context.partition_keys
        properties = {"dagster-run-id": context.run.run_id, "upkeep": "compact"}
        with upkeep_of(platform) as upkeep:
            reports = [
                upkeep.compact(name, apply=True, days={day_of(key) for key in keys}, properties=properties)
                for name in sorted(set(upkeep.names()) & _tables(dataset))
            ]
        for key in keys:
            report(context, key, shown([part for done in reports for part in by_day(done).get(key, [])]))
        for done in reports:
            for reason in done.skipped:
                context.log.warning("table %s, %s: left to the next time", done.table, reason)
        return dg.MaterializeResult()

    return asset


def _tables(dataset: Dataset) -> set[str]:
    return {dataset.name, rejected_table(dataset.name)}
