"""The catalogue sensor: from what waits in the catalogue to requests for runs, one run a partition.

It looks at what is pending, not at what is newer than a cursor: sequence numbers commit out of order, and a row that
commits late must not be missed. A partition that has a run in flight is left alone, so runs of one partition follow
each other. The run key ends in the highest sequence number, so a tick that is repeated requests nothing twice; a run
that failed is requested again after a pause, with the attempt in its key, at most `MAX_ATTEMPTS` times until something
new arrives.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa

from des_platform.catalog import files, inbox, partitions
from des_platform.catalog.dataset import Dataset
from des_platform.defs.attempts import BATCH_TAG, due_attempts, in_flight
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import EVERY_LOOK_SECONDS
from des_platform.naming import shard_labels

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_PAUSE_SECONDS = 10  # after the first failure of a batch
_LOOK_AGAIN_SECONDS = 0.2
# A shard is built whole, so files that come one after the other are packed together: once none has come for some
# seconds and no ingest of their day is at work, or when they have waited long enough.
PACK_QUIET_SECONDS = 5
PACK_AT_LATEST_SECONDS = 600
# Every day that a dataset may have: those with a run in flight, or given up, must not hide the ones behind them.
_DAYS_LOOKED_AT = 10_000
_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_DATASET = "des/dataset"
_PARTITION = "des/partition"


@dataclass(frozen=True, slots=True)
class Work:
    """Something that waits: files of a day for the stages up to the table (`ingest`), or for their shards (`pack`).

    What is patient gives way to an ingest of the same day.
    """

    stage: str
    day: date
    files: int
    newest: str
    patient: bool = False

    @property
    def partition(self) -> str:
        """How runs in flight are told apart."""
        return f"{self.stage}:{self.day}"


def catalog_sensor(
    dataset: Dataset, ingest: "UnresolvedAssetJobDefinition", pack: "UnresolvedAssetJobDefinition"
) -> dg.SensorDefinition:
    """The sensor that requests a dataset's runs.

    Args:
        dataset: whose files it looks at.
        ingest: the job of the stages that are partitioned by day.
        pack: the job of the stage that is partitioned by day and shard.
    """

    @dg.sensor(
        name=f"{dataset.name}_catalog_sensor",
        jobs=[ingest, pack],
        minimum_interval_seconds=EVERY_LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests runs for the partitions of {dataset.name} that have files waiting.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform: PlatformResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        waiting = _awaited_work(platform, dataset)
        busy = in_flight(context.instance, {_DATASET: dataset.name}, _PARTITION)
        # Looked at one by one, as what is requested makes the next one's day busy.
        wanted = (
            (work, work.partition, f"{dataset.name}:{work.partition}:{work.newest}")
            for work in waiting
            if not (work.patient and f"ingest:{work.day}" in busy)
        )
        requested = 0
        most = platform.settings.runs_per_tick
        for work, batch, attempt in due_attempts(
            context.instance, wanted, busy, most=most, pause_seconds=_PAUSE_SECONDS
        ):
            requested += 1
            yield _request(dataset, work, batch, attempt, pack.name if work.stage == "pack" else ingest.name)
        if not requested:
            yield dg.SkipReason(f"{len(waiting)} partitions have files waiting, {len(busy)} runs are in flight.")

    return sensor


def _awaited_work(platform: PlatformResource, dataset: Dataset) -> list[Work]:
    """What waits; where nothing does, what comes within a moment: the queues' ticks have begun with this one."""
    deadline = time.monotonic() + platform.settings.catalog_wait_seconds
    while True:
        with platform.catalog.begin() as connection:
            waiting = waiting_work(connection, dataset)
        if waiting or time.monotonic() >= deadline:
            return waiting
        time.sleep(_LOOK_AGAIN_SECONDS)


def waiting_work(connection: sa.Connection, dataset: Dataset) -> list[Work]:
    """What waits in the catalogue, the longest wait first within each kind.

    A day waits for an ingest if files are pending, if those of a run that died are not yet compressed, or if those of a
    run that failed are not yet in its table.
    """
    ingest: dict[date, Work] = {}
    for day in inbox.backlog(connection, dataset.name, _DAYS_LOOKED_AT):
        ingest[day.day] = Work("ingest", day.day, day.files, f"s{day.newest_seq}")
    for left in files.waiting_days(connection, dataset.name, "catalogued", _DAYS_LOOKED_AT):
        ingest.setdefault(left.day, Work("ingest", left.day, left.files, f"c{left.newest_file_id}"))
    unloaded = partitions.not_loaded(connection, dataset.name, _DAYS_LOOKED_AT) if dataset.table else []
    for manifest in unloaded:
        ingest.setdefault(manifest.day, Work("ingest", manifest.day, manifest.files, f"t{manifest.files}"))
    pack = []
    for ready in files.waiting_days(connection, dataset.name, "ready", _DAYS_LOOKED_AT):
        patient = ready.waited_seconds < PACK_AT_LATEST_SECONDS
        if ready.quiet_seconds >= PACK_QUIET_SECONDS or not patient:
            pack.append(Work("pack", ready.day, ready.files, f"r{ready.newest_file_id}", patient))
    return [*ingest.values(), *pack]


def _request(dataset: Dataset, work: Work, batch: str, attempt: int, job_name: str) -> dg.RunRequest:
    tags = {_DATASET: dataset.name, _PARTITION: work.partition, BATCH_TAG: batch}
    run_key = f"{batch}:{attempt}"
    if work.stage == "ingest":
        return dg.RunRequest(run_key=run_key, job_name=job_name, partition_key=work.day.isoformat(), tags=tags)
    labels = shard_labels(dataset.shard_bits)
    tags |= {_RANGE_START: f"{work.day}|{labels[0]}", _RANGE_END: f"{work.day}|{labels[-1]}"}
    return dg.RunRequest(run_key=run_key, job_name=job_name, tags=tags)
