"""The sensor that turns requests for ingestion jobs into runs, and tells dead runs from living ones.

A tick, in this order: what died is ended, so that it is tried again after its rest; what is due by its schedule is
requested; what is requested is claimed, the most important first. The claim is committed before Dagster hears of the
run, so a tick that dies loses no job: the claim is free again after a while, and the lost try begins nothing any more.
"""

import dagster as dg

from des_platform.catalog import ingestion_attempts
from des_platform.catalog.ingestion_attempts import Attempt
from des_platform.catalog.ingestion_jobs import Job
from des_platform.defs.attempts import in_flight
from des_platform.defs.ingestion.job import JOB_TAG, config_of, lake_ingestion
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import EVERY_LOOK_SECONDS

_RUNS_AT_ONCE = 5
_USUAL_PRIORITY = 5
_OVER = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dg.sensor(
    job=lake_ingestion,
    minimum_interval_seconds=EVERY_LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests runs for the ingestion jobs that were started, or whose time has come.",
)
def lake_ingestion_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
    """End what died, request what is due, claim what is requested."""
    for job in _dead(context.instance, platform):
        context.log.warning("the run %s of job %s died", job.run_id, job.job_id)
    busy = {int(job_id) for job_id in in_flight(context.instance, {}, JOB_TAG)}
    with platform.catalog.begin() as connection:
        ingestion_attempts.request_due(connection)
        claimed = ingestion_attempts.claim(connection, _RUNS_AT_ONCE - len(busy), busy=busy)
    if not claimed:
        return dg.SensorResult(skip_reason=f"No job waits that could run now, {len(busy)} are under way.")
    return dg.SensorResult(run_requests=[_request(job) for job in claimed])


def _dead(instance: dg.DagsterInstance, platform: PlatformResource) -> list[Job]:
    """End the tries whose runs are over without having ended them; returns their jobs."""
    ended = []
    with platform.catalog.begin() as connection:
        running = ingestion_attempts.running(connection)
    for job in running:
        run = instance.get_run_by_id(job.run_id or "")
        if run is not None and run.status not in _OVER:
            continue
        how = "is unknown to Dagster" if run is None else f"ended as {run.status.value}"
        reason = f"its run {job.run_id} {how} before the job did: look at the run's log in Dagster"
        # Whoever ends a run in Dagster wants no other one.
        cancelled = run is not None and run.status == dg.DagsterRunStatus.CANCELED
        with platform.catalog.begin() as connection:
            if ingestion_attempts.end(connection, Attempt.of(job), reason, cancelled=cancelled):
                ended.append(job)
    return ended


def _request(job: Job) -> dg.RunRequest:
    attempt = Attempt.of(job)
    tags = {
        JOB_TAG: str(job.job_id),
        "dagster/priority": str(job.priority - _USUAL_PRIORITY),
        # The next try is the sensor's to ask for, which knows of cancellations and rests.
        "dagster/max_retries": "0",
    }
    return dg.RunRequest(run_key=str(attempt), run_config=config_of(attempt), tags=tags)
