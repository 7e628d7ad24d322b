"""Checks of `<dataset>/table`."""

import dagster as dg

from des_platform.catalog import partitions
from des_platform.catalog.dataset import Dataset
from des_platform.defs.checking import partition_check
from des_platform.defs.partitions import day_of, days
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import asset_key
from des_platform.lake.rejected import rejected_table


def table_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Every record is in the table or among the rejected rows (blocking); none is rejected, no column is new."""

    @partition_check(
        asset_key(dataset, "table"),
        days(dataset),
        blocking=True,
        description="Every record read from the day's files is a row of the table or of the rejected rows, once.",
    )
    def every_record_accounted_for(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        with platform.catalog.begin() as connection:
            load = partitions.load_of(connection, dataset.name, day_of(key))
        if load is None:
            return dg.AssetCheckResult(passed=False, metadata={"problem": "the day was never loaded"})
        rows = platform.lake.day_rows(dataset.name, day_of(key)) if platform.lake.exists(dataset.name) else 0
        rejected = platform.lake.day_rows(rejected_table(dataset.name), day_of(key))
        return dg.AssetCheckResult(
            passed=rows + rejected == load.parsed_rows,
            metadata={"records_read": load.parsed_rows, "table_rows": rows, "rejected_rows": rejected},
        )

    @partition_check(
        asset_key(dataset, "table"),
        days(dataset),
        description="No record was rejected; those that were stand in the table of rejected rows, with the reason.",
    )
    def no_rejected_rows(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        with platform.catalog.begin() as connection:
            load = partitions.load_of(connection, dataset.name, day_of(key))
        rejected = load.rejected_rows if load else 0
        return dg.AssetCheckResult(
            passed=rejected == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"rejected_rows": rejected, "look_at": f"des.{rejected_table(dataset.name)}"},
        )

    @partition_check(
        asset_key(dataset, "table"),
        days(dataset),
        description="The day's files hold no column that the table has not: the source has changed, declare it.",
    )
    def columns_as_declared(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        with platform.catalog.begin() as connection:
            load = partitions.load_of(connection, dataset.name, day_of(key))
        new = load.undeclared_columns if load else []
        return dg.AssetCheckResult(
            passed=not new, severity=dg.AssetCheckSeverity.WARN, metadata={"columns_not_declared": ", ".join(new)}
        )

    return [every_record_accounted_for, no_rejected_rows, columns_as_declared]
