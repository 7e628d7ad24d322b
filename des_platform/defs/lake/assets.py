"""`<dataset>/table`: the rows of a day's files, as that day of an Iceberg table.

Bucket: `lake/` holds the tables' data and metadata; their catalogue is in the platform's PostgreSQL.
`<dataset>_rejected` keeps the records that fit no declared type, with text, reason, file and line.

Idempotence: the day is replaced in one commit, so running it again changes nothing but the snapshot.
"""

from datetime import date

import dagster as dg

from des_platform.catalog.dataset import Dataset
from des_platform.defs.partitions import day_of, days
from des_platform.defs.reporting import Metadata, bars, numbers, report, stopwatch, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY, asset_key
from des_platform.lake.load import load_day
from des_platform.lake.types import DAY, FILE, LINE

_PREVIEW_ROWS = 5
_OWN_COLUMNS = {
    DAY: "the day whose materialization brought the row",
    FILE: "DES name of the file that the row came from",
    LINE: "line of that file at which the row starts",
}


def table_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """The asset that loads a day into the dataset's table."""
    columns = dataset.table.columns if dataset.table else {}

    @dg.asset(
        key=asset_key(dataset, "table"),
        group_name=dataset.name,
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=days(dataset),
        deps=[asset_key(dataset, "compressed_objects")],
        kinds={"iceberg", "parquet"},
        description=f"The rows of {dataset.name}: an Iceberg table, replaced a day at a time.",
        metadata={
            "dagster/table_name": f"des.{dataset.name}",
            "dagster/column_schema": dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()]),
        },
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        for key in context.partition_keys:
            day = day_of(key)
            with stopwatch() as watch:
                done = load_day(
                    platform.catalog,
                    platform.reader,
                    platform.lake,
                    dataset,
                    day,
                    scratch=platform.settings.scratch,
                    properties={"dagster-run-id": context.run.run_id, "partition": key},
                )
            size = done.replaced.bytes if done.replaced else 0
            facts = numbers(files=done.files, bytes_in=done.bytes_read, bytes_out=size, watch=watch)
            facts |= {
                "dagster/row_count": platform.lake.total_rows(dataset.name),
                "dagster/partition_row_count": done.rows,
                "rejected_rows": done.rejected,
                "snapshot_id": str(done.replaced.snapshot_id) if done.replaced else "",
            }
            if done.reasons:
                facts["rejected_because"] = bars("reason", "rows", done.reasons)
            if done.extra_columns:
                facts["columns_not_declared"] = ", ".join(sorted(done.extra_columns))
            report(context, key, facts | _shown(platform, dataset, day))
        return dg.MaterializeResult()

    return asset


def _shown(platform: PlatformResource, dataset: Dataset, day: date) -> Metadata:
    lake = platform.lake
    schema = sorted(lake.schema_of(dataset.name), key=lambda column: column[0] in _OWN_COLUMNS)
    columns = [dg.TableColumn(name, kind, description=_OWN_COLUMNS.get(name)) for name, kind in schema]
    rows = lake.scan_day(dataset.name, day, _PREVIEW_ROWS).to_pylist()
    header = [name for name, _ in schema if name not in _OWN_COLUMNS]
    return {
        "dagster/uri": lake.uri(dataset.name),
        "dagster/column_schema": dg.TableSchema(columns),
        "first_rows": table(header, [[_as_stored(row.get(name)) for name in header] for row in rows]),
    }


def _as_stored(value: object) -> str:
    """A value without the grouping of digits that counts are shown with: a year is 2013, not 2,013."""
    return "" if value is None else str(value)
