"""Checks of `<dataset>/table`."""

import dagster as dg

from des_platform.catalog import partitions
from des_platform.catalog.dataset import Dataset
from des_platform.defs.partitions import day_of, days
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import asset_key
from des_platform.lake.load import rejected_table


def table_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Every record is in the table or among the rejected rows (blocking), and none is rejected (a warning)."""

    @dg.asset_check(
        asset=asset_key(dataset, "table"),
        partitions_def=days(dataset),
        blocking=True,
        description="Every record read from the day's files is a row of the table or of the rejected rows, once.",
    )
    def every_record_accounted_for(
        context: dg.AssetCheckExecutionContext, platform: PlatformResource
    ) -> dg.AssetCheckResult:
        problems = []
        records = 0
        for key in context.partition_keys:
            with platform.catalog.begin() as connection:
                load = partitions.load_of(connection, dataset.name, day_of(key))
            if load is None:
                problems.append(f"{key} was never loaded")
                continue
            records += load.parsed_rows
            rows = platform.lake.day_rows(dataset.name, day_of(key))
            rejected = platform.lake.day_rows(rejected_table(dataset.name), day_of(key))
            if rows + rejected != load.parsed_rows:
                problems.append(
                    f"{key}: {load.parsed_rows} records were read, but {rows} rows and {rejected} rejected are there"
                )
        return dg.AssetCheckResult(passed=not problems, metadata={"records": records, "problems": problems})

    @dg.asset_check(
        asset=asset_key(dataset, "table"),
        partitions_def=days(dataset),
        description="No record was rejected; those that were stand in the table of rejected rows, with the reason.",
    )
    def no_rejected_rows(context: dg.AssetCheckExecutionContext, platform: PlatformResource) -> dg.AssetCheckResult:
        with platform.catalog.begin() as connection:
            loads = [partitions.load_of(connection, dataset.name, day_of(key)) for key in context.partition_keys]
        rejected = sum(load.rejected_rows for load in loads if load is not None)
        return dg.AssetCheckResult(
            passed=rejected == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"rejected_rows": rejected, "look_at": f"des.{rejected_table(dataset.name)}"},
        )

    return [every_record_accounted_for, no_rejected_rows]
