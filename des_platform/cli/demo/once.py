"""The demo without the UI: the sensors' ticks and the runs they request, one after the other in this process.

These are the sensors and jobs that Dagster loads, with its instance, so a later `des demo` shows the runs in the UI.
Runs that a killed demo left unfinished are closed first: this process holds the state folder, so nobody works on them
any more.
"""

from __future__ import annotations

import json
import time
import warnings
from typing import TYPE_CHECKING

import dagster as dg

from des_platform.cli.demo.progress import look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster._core.definitions.repository_definition import RepositoryDefinition

    from des_platform.catalog.database import Catalog
    from des_platform.cli.demo.feed import Fed
    from des_platform.cli.demo.progress import Progress

_IDLE_SECONDS = 0.5
_STANDSTILL_SECONDS = 100.0  # longer than the longest pause between two attempts at a partition
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def close_unfinished_runs(instance: dg.DagsterInstance) -> int:
    """Report the runs of a killed demo as cancelled; the sensors request their partitions again, at once."""
    from des_platform.defs.attempts import IN_FLIGHT

    left = instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT))
    for run in left:
        instance.report_run_canceled(run, "The demo that ran it was ended.")
    return len(left)


class OnceDriver:
    """Plays the daemon's part."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        from des_platform.definitions import defs
        from des_platform.defs.resources import PlatformResource

        warnings.filterwarnings("ignore", category=dg.BetaWarning)  # of Dagster's own calls: nobody could mend them
        self._repository: RepositoryDefinition = defs().get_repository_def()
        self._instance = instance
        self._resources = {"platform": PlatformResource()}
        # Whatever requests no runs drains a source; listing waits until everything is fed.
        self._draining = [sensor.name for sensor in self._repository.sensor_defs if not sensor.targets]
        self._draining.remove("listing_sensor")
        self._cursors: dict[str, str | None] = {}
        self._requested: set[str] = set()

    def drive(self, catalog: Catalog, fed: Fed, progress: Progress, check: Callable[[], None]) -> None:
        """Tick until everything that was fed is packed, or given up, or nothing moves any more."""
        listed = False
        last_move = time.monotonic()
        while True:
            check()
            for sensor in self._draining:
                self._tick(sensor)
            feeding_done = fed.finished
            if feeding_done and not listed:
                self._tick("listing_sensor")
                listed = not json.loads(self._cursors["listing_sensor"] or "{}").get("unfinished")
            moved = self._run(self._requests(), catalog, fed, progress)
            stages = look(catalog, fed)
            progress.show(stages)
            if feeding_done and listed and stages.settled and stages.inbox >= stages.fed:
                return
            if moved or not feeding_done:
                last_move = time.monotonic()
            elif time.monotonic() > last_move + _STANDSTILL_SECONDS:
                progress.say("nothing moves any more: what is not packed has been given up")
                return
            if not moved:
                time.sleep(_IDLE_SECONDS)

    def _requests(self) -> Sequence[dg.RunRequest]:
        names = [sensor.name for sensor in self._repository.sensor_defs if sensor.name.endswith("_catalog_sensor")]
        return [request for name in sorted(names) for request in self._tick(name)]

    def _tick(self, name: str) -> Sequence[dg.RunRequest]:
        sensor = self._repository.get_sensor_def(name)
        context = dg.build_sensor_context(
            instance=self._instance,
            cursor=self._cursors.get(name),
            repository_def=self._repository,
            resources=self._resources,
            sensor_name=name,
        )
        with context:
            data = sensor.evaluate_tick(context)
        self._cursors[name] = data.cursor
        return data.run_requests or []

    def _run(self, requests: Sequence[dg.RunRequest], catalog: Catalog, fed: Fed, progress: Progress) -> bool:
        moved = False
        for request in requests:
            if request.run_key in self._requested:
                continue
            self._requested.add(request.run_key or "")
            moved = True
            job = self._repository.get_job(request.job_name or "")
            result = job.execute_in_process(
                run_config=_QUIET,
                instance=self._instance,
                partition_key=request.partition_key,
                tags=dict(request.tags),
                raise_on_error=False,
            )
            if not result.success:
                progress.say(f"failed: {request.job_name} {request.run_key}: {_cause(result)}")
            progress.show(look(catalog, fed))
        return moved


def _cause(result: dg.ExecuteInProcessResult) -> str:
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    errors = [failure.error for failure in failures if failure.error is not None]
    if not errors:
        return f"see run {result.run_id}"
    cause = errors[0].cause or errors[0]
    return cause.message.strip().splitlines()[0]
