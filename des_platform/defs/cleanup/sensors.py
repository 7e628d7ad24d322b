"""The clean-up sensor: it plans what was packed since it last looked, and requests runs for days with due originals.

Planning touches the catalogue alone, and can be withdrawn; a run is for what is due, so that an original which may go
after thirty days goes then, and nobody has to remember. A day with a run in flight is left alone; a run that failed is
requested again after a pause, `MAX_ATTEMPTS` times a day.

The cursor holds the policy, and the moment since which archives may have been published that are not planned yet: ten
minutes before the last complete look, since transactions commit out of order. Another policy begins from the start.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa

from des_platform.catalog import cleanups, partitions
from des_platform.catalog.cleanups import DueDay
from des_platform.catalog.dataset import Dataset
from des_platform.compression.cleanup.removal import strictest
from des_platform.defs.attempts import BATCH_TAG, due_attempts, in_flight
from des_platform.defs.resources import PlatformResource

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_LOOK_SECONDS = 30
_OVERLAP = timedelta(minutes=10)
_PAUSE_SECONDS = 60  # after the first failure of a day
_DAYS_LOOKED_AT = 10_000
_DATASET = "des/cleanup_of"
_DAY = "des/cleanup_day"


def cleanup_sensor(dataset: Dataset, cleanup: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """The sensor that requests the clean-up of a dataset's days.

    Args:
        dataset: whose originals it looks at.
        cleanup: the job that removes those of a day.
    """

    @dg.sensor(
        name=f"{dataset.name}_cleanup_sensor",
        job=cleanup,
        minimum_interval_seconds=_LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests runs for the days of {dataset.name} that have originals to remove.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        with platform.catalog.begin() as connection:
            partitions.register_datasets(connection, [dataset])
        cursor = _plan(platform, dataset, context.cursor)
        with platform.catalog.begin() as connection:
            due = cleanups.due_days(connection, dataset.name, _DAYS_LOOKED_AT)
        busy = in_flight(context.instance, {_DATASET: dataset.name}, _DAY)
        today = datetime.now(UTC).date()
        wanted = (
            (found, found.day.isoformat(), f"{dataset.name}:cleanup:{found.day}:{found.newest_file_id}:{today}")
            for found in due
        )
        most = platform.settings.runs_per_tick
        requests = [
            _request(dataset, found, batch, attempt, cleanup.name)
            for found, batch, attempt in due_attempts(
                context.instance, wanted, busy, most=most, pause_seconds=_PAUSE_SECONDS
            )
        ]
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        files = sum(found.files for found in due)
        return dg.SensorResult(
            skip_reason=f"{len(due)} days with {files:,} due originals, {len(busy)} runs are in flight.", cursor=cursor
        )

    return sensor


def _plan(platform: PlatformResource, dataset: Dataset, cursor: str | None) -> str:
    """Plan day by day until the time budget ends; returns the cursor of the next tick."""
    deadline = time.monotonic() + platform.settings.drain_seconds
    place = f"{dataset.originals} of {dataset.bucket}/{dataset.prefix}"
    seen = json.loads(cursor or "{}")
    since = datetime.fromisoformat(seen["since"]) if seen.get("of") == place else None
    with platform.catalog.begin() as connection:
        now = connection.scalars(sa.select(sa.func.now())).one()
        policy = strictest(dataset, partitions.registered_datasets(connection))
        packed = cleanups.packed_since(connection, dataset.name, since)
    last: datetime | None = None
    for found in packed:
        if last is not None and found.packed_at > last and time.monotonic() > deadline:
            break
        with platform.catalog.begin() as connection:
            cleanups.plan(connection, policy, found.day, own_bucket=platform.buckets.own.bucket)
        last = found.packed_at
    else:
        last = now - _OVERLAP
    return json.dumps({"of": place, "since": last.isoformat()})


def _request(dataset: Dataset, due: DueDay, batch: str, attempt: int, job_name: str) -> dg.RunRequest:
    key = due.day.isoformat()
    tags = {_DATASET: dataset.name, _DAY: key, BATCH_TAG: batch}
    return dg.RunRequest(run_key=f"{batch}:{attempt}", job_name=job_name, partition_key=key, tags=tags)
