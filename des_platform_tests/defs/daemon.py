"""Dagster's daemon as far as tests need it: it ticks sensors and executes what they request, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from des_platform.catalog.dataset import Dataset, TableSpec
from des_platform.components.dataset import dataset_definitions
from des_platform.defs.resources import PlatformResource
from des_platform.defs.sources.configured import configured_sources
from des_platform.defs.sources.sensors import listing_sensor
from des_platform_tests.platform import DATASET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster._core.definitions.sensor_definition import SensorExecutionData

TABLED = DATASET.model_copy(update={"table": TableSpec(columns={"id": "long", "name": "string"})})
RAW, COMPRESSED, TABLE, SHARDS = (
    dg.AssetKey([TABLED.name, stage]) for stage in ("raw_files", "compressed_objects", "table", "des_shards")
)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# What materializations show, by asset and partition.
Shown = dict[tuple[str, str], dict[str, Any]]
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


class Daemon:
    """A code location with the given datasets, and an instance that lives as long as this object."""

    def __init__(self, *datasets: Dataset) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.definitions = dg.Definitions.merge(
            *(dataset_definitions(dataset) for dataset in datasets),
            configured_sources(),
            dg.Definitions(resources={"platform": PlatformResource()}, sensors=[listing_sensor]),
        )
        self.repository = self.definitions.get_repository_def()
        self.cursors: dict[str, str | None] = {}

    def close(self) -> None:
        """Forget every run."""
        self.instance.dispose()

    def tick(self, sensor_name: str) -> SensorExecutionData:
        """Evaluate a sensor once, with the cursor that its last tick left."""
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor_name),
            repository_def=self.repository,
            resources={"platform": PlatformResource()},
            sensor_name=sensor_name,
        )
        with context:
            data = self.repository.get_sensor_def(sensor_name).evaluate_tick(context)
        self.cursors[sensor_name] = data.cursor
        return data

    def said(self, sensor_name: str) -> str:
        """What a sensor that starts no runs has to say."""
        data = self.tick(sensor_name)
        assert not data.run_requests
        assert data.skip_message
        return data.skip_message

    def requests(self, sensor_name: str) -> Sequence[dg.RunRequest]:
        """The runs that a sensor asks for."""
        return self.tick(sensor_name).run_requests or []

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a sensor asked for."""
        return self.repository.get_job(request.job_name or "").execute_in_process(
            run_config=_QUIET,
            instance=self.instance,
            partition_key=request.partition_key,
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def work_off(self, dataset: Dataset) -> list[dg.ExecuteInProcessResult]:
        """Find what was put, and execute what the dataset's sensor asks for until it asks for nothing."""
        self.cursors.pop("listing_sensor", None)
        self.said("listing_sensor")
        results = []
        while requests := self.requests(f"{dataset.name}_catalog_sensor"):
            results += [self.execute(request) for request in requests]
            assert all(result.success for result in results)
        return results

    def materialize(self, *assets: dg.AssetKey, first: str, last: str = "") -> dg.ExecuteInProcessResult:
        """Materialize assets and evaluate their checks as the UI does: one partition, or a range in one run."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.get_subset(asset_selection=set(assets)).execute_in_process(
            run_config=_QUIET,
            instance=self.instance,
            partition_key=None if last else first,
            tags={RANGE_START: first, RANGE_END: last} if last else None,
            raise_on_error=False,
        )

    def check(self, asset: dg.AssetKey, name: str, partition: str) -> dg.AssetCheckEvaluation:
        """Evaluate one check of one partition, and nothing else."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        result = job.get_subset(asset_selection=set(), asset_check_selection={dg.AssetCheckKey(asset, name)})
        events = result.execute_in_process(
            run_config=_QUIET, instance=self.instance, tags={"dagster/partition": partition}, raise_on_error=False
        )
        (evaluation,) = events.get_asset_check_evaluations()
        return evaluation


def metadata(result: dg.ExecuteInProcessResult) -> Shown:
    """What a run's materializations show, by asset and partition."""
    found: Shown = {}
    for event in result.get_asset_materialization_events():
        shown = event.materialization
        key = (shown.asset_key.path[-1], shown.partition or "")
        assert key not in found
        found[key] = {name: getattr(value, "value", value) for name, value in shown.metadata.items()}
    return found


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Which checks of a run passed."""
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}
