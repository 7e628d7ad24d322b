"""`<dataset>/table`: the rows of a day's files, as that day of an Iceberg table.

Bucket: `lake/` holds the tables' data and metadata; their catalogue is in the platform's PostgreSQL.
`<dataset>_rejected` keeps the records that fit no declared type, with text, reason, file and line.

Idempotence: days are replaced, thirty in one commit, so running one again changes nothing but the snapshot.
"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from des_platform.archive import CorruptArchive
from des_platform.catalog.dataset import Dataset
from des_platform.codecs import CorruptStream
from des_platform.defs.partitions import day_of, days
from des_platform.defs.reporting import Metadata, Stopwatch, bars, numbers, report, stopwatch, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY, asset_key
from des_platform.lake.load import LoadReport, load_days
from des_platform.lake.types import DAY, FILE, LINE, RESCUED
from des_platform.objectstore import IntegrityError

_PREVIEW_ROWS = 5
# A commit costs 30 ms whatever it holds: 365 days in one each take twice the time of 30 in one.
_DAYS_PER_COMMIT = 30
_OWN_COLUMNS = {
    DAY: "the day whose materialization brought the row",
    FILE: "DES name of the file that the row came from",
    LINE: "line of that file at which the row starts, or number of its record",
    RESCUED: "values that their columns cannot hold, and those of columns that nobody declared, as a JSON object",
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
        keys = context.partition_keys
        damaged: dict[str, Exception] = {}
        for start in range(0, len(keys), _DAYS_PER_COMMIT):
            damaged |= _load(context, platform, dataset, keys[start : start + _DAYS_PER_COMMIT])
        if damaged:
            for key in (key for key in keys if key not in damaged):
                # What a step that fails has logged of its assets, Dagster drops.
                context.instance.report_runless_asset_event(dg.AssetMaterialization(context.asset_key, partition=key))
            told = "; ".join(f"{key}: {error}" for key, error in damaged.items())
            # Damaged bytes are damaged the next time, too.
            raise dg.Failure(f"these days are as they were, all others are loaded: {told}", allow_retries=False)
        return dg.MaterializeResult()

    return asset


def _load(
    context: dg.AssetExecutionContext, platform: PlatformResource, dataset: Dataset, keys: Sequence[str]
) -> dict[str, Exception]:
    """Load days in one commit, or each by itself where one has damaged bytes; returns those that were not loaded."""
    try:
        with stopwatch() as watch:
            loads = load_days(
                platform.catalog,
                platform.reader,
                platform.lake,
                dataset,
                [day_of(key) for key in keys],
                scratch=platform.settings.scratch,
                properties={"dagster-run-id": context.run.run_id},
            )
    except (IntegrityError, CorruptArchive, CorruptStream) as error:
        if len(keys) == 1:
            return {keys[0]: error}
        return {day: why for key in keys for day, why in _load(context, platform, dataset, [key]).items()}
    watch.seconds /= len(keys)  # the days of a commit are written together
    for key in keys:
        report(context, key, _facts(platform, dataset, day_of(key), loads[day_of(key)], watch))
    return {}


def _facts(platform: PlatformResource, dataset: Dataset, day: date, done: LoadReport, watch: Stopwatch) -> Metadata:
    size = done.replaced.bytes if done.replaced else 0
    facts = numbers(files=done.files, bytes_in=done.bytes_read, bytes_out=size, watch=watch)
    facts |= {
        "dagster/partition_row_count": done.rows,
        "rejected_rows": done.rejected,
        "rescued_rows": done.rescued,
        "snapshot_id": str(done.replaced.snapshot_id) if done.replaced else "",
    }
    if done.reasons:
        facts["rejected_because"] = bars("reason", "rows", done.reasons)
    if done.extra_columns:
        facts["columns_not_declared"] = ", ".join(sorted(done.extra_columns))
    if dataset.table and dataset.table.tolerance:
        rounded = (f"{name} (by up to {most:g} of itself)" for name, most in dataset.table.tolerance.items())
        facts["rounded_columns"] = ", ".join(rounded)
    return facts | _shown(platform, dataset, day) if done.replaced else facts


def _shown(platform: PlatformResource, dataset: Dataset, day: date) -> Metadata:
    lake = platform.lake
    schema = sorted(lake.schema_of(dataset.name), key=lambda column: column[0] in _OWN_COLUMNS)
    columns = [dg.TableColumn(name, kind, description=_OWN_COLUMNS.get(name)) for name, kind in schema]
    rows = lake.scan_day(dataset.name, day, _PREVIEW_ROWS).to_pylist()
    header = [name for name, _ in schema if name not in _OWN_COLUMNS]
    return {
        "dagster/uri": lake.uri(dataset.name),
        "dagster/row_count": lake.total_rows(dataset.name),
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/column_lineage": _lineage(dataset, header),
        "first_rows": table(header, [[_as_stored(row.get(name)) for name in header] for row in rows]),
    }


def _lineage(dataset: Dataset, columns: Sequence[str]) -> dg.TableColumnLineage:
    """Each column comes from the files' column of that name, or of the name that it had there before."""
    renames = dataset.table.renames if dataset.table else {}
    files = asset_key(dataset, "compressed_objects")
    return dg.TableColumnLineage(
        {name: [dg.TableColumnDep(files, former) for former in {name, renames.get(name, name)}] for name in columns}
    )


def _as_stored(value: object) -> str:
    """A value without the grouping of digits that counts are shown with: a year is 2013, not 2,013."""
    return "" if value is None else str(value)
