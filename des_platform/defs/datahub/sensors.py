"""The sensor of a DataHub: a run for each month that has candidates which were not yet looked at.

One aggregate query over the DataHub's table a tick tells which months those are: their candidates' fingerprint is not
the one that the last complete taking left. A month with a run in flight is left alone. A run that failed is requested
again after a pause that grows, a few times until the month's candidates change.
"""

from collections.abc import Collection, Sequence

import dagster as dg

from des_platform.catalog import partitions
from des_platform.defs.attempts import BATCH_TAG, due_attempts, in_flight
from des_platform.defs.datahub.assets import datahub_key
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import declared_datasets
from des_platform.sources.datahub.config import DataHubConfig
from des_platform.sources.datahub.source import DataHubSource, WaitingMonth

MONTHS_IN_FLIGHT = 3
DATAHUB_TAG = "des/datahub"
MONTH_TAG = "des/month"
PAUSE_SECONDS = 120  # after the first failure of a month


def datahub_sensor(config: DataHubConfig) -> dg.SensorDefinition:
    """The sensor that requests a DataHub's runs."""

    @dg.sensor(
        name=f"{config.name}_datahub_sensor",
        target=dg.AssetSelection.assets(datahub_key(config)),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests runs for the months of {config.name} that have files to take.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        datasets = declared_datasets(context.repository_def)
        with platform.catalog.begin() as connection:
            partitions.register_datasets(connection, datasets)
        waiting = DataHubSource(config, platform.recorder(datasets)).waiting()
        return request_months(context, config.name, waiting, DATAHUB_TAG, subject=config.name)

    return sensor


def request_months(
    context: dg.SensorEvaluationContext,
    datahub: str,
    waiting: Sequence[WaitingMonth],
    tag: str,
    *,
    subject: str,
    apart_from: Collection[str] = (),
) -> dg.SensorResult:
    """Request runs for months of a DataHub that wait, a few at a time.

    Args:
        context: of the tick.
        datahub: its name.
        waiting: the months.
        tag: of the runs; its value is the DataHub's name.
        subject: what the batches' names begin with.
        apart_from: tags of other runs, whose months are left alone.
    """
    busy = in_flight(context.instance, {tag: datahub}, MONTH_TAG)
    others = {month for other in apart_from for month in in_flight(context.instance, {other: datahub}, MONTH_TAG)}
    wanted = (
        (month, month.first.isoformat(), f"{subject}:{month.first:%Y-%m}:{month.batch}")
        for month in waiting
        if month.first.isoformat() not in others
    )
    requests = [
        _request(datahub, month, batch, attempt, tag)
        for month, batch, attempt in due_attempts(
            context.instance, wanted, busy, most=MONTHS_IN_FLIGHT, pause_seconds=PAUSE_SECONDS
        )
    ]
    if requests:
        return dg.SensorResult(run_requests=requests)
    files = sum(month.files for month in waiting)
    return dg.SensorResult(
        skip_reason=f"{len(waiting)} months with {files:,} candidates wait, {len(busy)} runs are in flight."
    )


def _request(datahub: str, month: WaitingMonth, batch: str, attempt: int, tag: str) -> dg.RunRequest:
    key = month.first.isoformat()
    tags = {tag: datahub, MONTH_TAG: key, BATCH_TAG: batch}
    return dg.RunRequest(run_key=f"{batch}:{attempt}", partition_key=key, tags=tags)
