"""`lake/upkeep`: every table of the lake, whoever made it, once a night.

Old snapshots are forgotten with the files that only they name, orphans are removed, manifests merged; and tables that
no dataset fills, such as those made through the lake's API, are compacted, too. A table that is refused, since
something about it is in doubt, does not stop the others: the run fails at its end and names it.

Idempotence: what is done is done; a run that is killed in between is finished by the next one.
"""

import time

import dagster as dg

from des_platform.catalog import partitions
from des_platform.defs.reporting import Metadata, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RETRY
from des_platform.defs.upkeep.showing import upkeep_of
from des_platform.lake.rejected import rejected_table
from des_platform.lake.upkeep.types import Report

_EVERY_NIGHT = "47 3 * * *"
_REMOVING = ("expire", "orphans")


@dg.asset(
    key=dg.AssetKey(["lake", "upkeep"]),
    group_name="lake",
    pool=OBJECT_STORE_POOL,
    retry_policy=RETRY,
    kinds={"iceberg"},
    description="Old snapshots forgotten, orphans removed, manifests merged, in every table; the rows stay the same.",
)
def lake_upkeep(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
    """Keep every table up."""
    started = time.perf_counter()
    properties = {"dagster-run-id": context.run.run_id}
    with platform.catalog.begin() as connection:
        datasets = [dataset.name for dataset in partitions.registered_datasets(connection)]
    compacted_by_day = {*datasets, *(rejected_table(name) for name in datasets)}
    reports: list[Report] = []
    refused: list[str] = []
    with upkeep_of(platform) as upkeep:
        for name in upkeep.names():
            try:
                if name not in compacted_by_day:
                    reports.append(upkeep.compact(name, apply=True, properties=properties))
                reports.append(upkeep.manifests(name, apply=True, properties=properties))
                reports.append(upkeep.expire(name, apply=True))
                reports.append(upkeep.orphans(name, apply=True))
            except Exception as error:  # whatever is wrong with one table, the others are kept up
                refused.append(f"{name}: {error}")
                context.log.exception("table %s is left as it is", name)
    facts = _shown(reports) | {"refused": len(refused), "duration_s": round(time.perf_counter() - started, 3)}
    if refused:
        raise dg.Failure("; ".join(refused)[:4000], metadata=facts, allow_retries=False)
    return dg.MaterializeResult(metadata=facts)


lake_upkeep_job = dg.define_asset_job("lake_upkeep", dg.AssetSelection.assets(lake_upkeep))

lake_upkeep_schedule = dg.ScheduleDefinition(
    name="lake_upkeep_schedule",
    job=lake_upkeep_job,
    cron_schedule=_EVERY_NIGHT,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def _shown(reports: list[Report]) -> Metadata:
    jobs = {job: [done for done in reports if done.job == job] for job in ("compact", "expire", "orphans", "manifests")}
    facts: Metadata = {
        "tables": len({done.table for done in reports}),
        "files_before": sum(done.files_before for done in jobs["orphans"]),
        "files_after": sum(done.files_after for done in jobs["orphans"]),
        "files_removed": sum(done.files_removed for job in _REMOVING for done in jobs[job]),
        "bytes_saved": sum(done.bytes_saved for job in _REMOVING for done in jobs[job]),
        "snapshots_forgotten": sum(done.snapshots for done in jobs["expire"]),
        "manifests_merged": sum(done.files_removed for done in jobs["manifests"]),
        "files_compacted": sum(done.files_before for done in jobs["compact"]),
    }
    rows = [
        [done.table, done.job, done.files_removed, done.bytes_saved, done.snapshots, round(done.seconds, 3)]
        for done in reports
        if done.files_removed or done.snapshots
    ]
    if rows:
        facts["done"] = table(["table", "job", "files fewer", "bytes saved", "snapshots", "seconds"], rows)
    return facts
