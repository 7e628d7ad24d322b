"""`lake_ingestion`: one try of one ingestion job of the lake API.

Which table a job fills is known only when it runs, so this is an op that reports a materialization of `lake/<table>`.

Idempotence: a try is begun by one run only, and a file's rows come into the table once however often its job is tried.
A run of a try that is over, or that another run has begun, does nothing.
"""

from datetime import datetime

import dagster as dg

from des_platform.catalog.ingestion_attempts import Attempt
from des_platform.defs.reporting import numbers, stopwatch
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL

JOB_TAG = "des/ingestion_job"
OP = "bring_files"


class AttemptConfig(dg.Config):
    """The try that a run is for."""

    job_id: int
    requested_at: str
    attempt: int


def config_of(attempt: Attempt) -> dg.RunConfig:
    """The configuration of the run of a try."""
    wanted = AttemptConfig(job_id=attempt.job_id, requested_at=attempt.requested_at.isoformat(), attempt=attempt.number)
    return dg.RunConfig(ops={OP: wanted})


@dg.op(name=OP, pool=OBJECT_STORE_POOL, out=dg.Out(dg.Nothing), description="Brings a data source's new files.")
def bring_files(context: dg.OpExecutionContext, config: AttemptConfig, platform: PlatformResource) -> None:
    """Do one try, and show on the table's asset what came of it."""
    from des_platform.lake.ingestion.run import run_attempt

    attempt = Attempt(config.job_id, datetime.fromisoformat(config.requested_at), config.attempt)
    with stopwatch() as watch:
        report = run_attempt(
            platform.catalog,
            platform.buckets,
            platform.lake,
            platform.settings,
            attempt,
            run_id=context.run.run_id,
        )
    if report is None:
        context.log.info("Try %s is over, or another run's: nothing to do.", attempt)
        return
    if report.batches:
        facts = numbers(files=report.files, bytes_in=report.bytes_in, bytes_out=report.bytes_out, watch=watch)
        facts |= {
            "dagster/row_count": platform.lake.total_rows(report.table),
            "dagster/uri": platform.lake.uri(report.table),
            "dagster/table_name": f"des.{report.table}",
            "batches": report.batches,
            "new_rows": report.rows,
            "rejected_rows": report.rejected,
            "job": attempt.job_id,
        }
        if report.undeclared:
            facts["columns_not_declared"] = ", ".join(sorted(report.undeclared))
        context.log_event(dg.AssetMaterialization(["lake", report.table], metadata=facts))
    if report.status == "cancelled":
        context.log.info("Job %s was cancelled.", attempt.job_id)
    elif report.error is not None:
        raise dg.Failure(f"job {attempt.job_id} failed: {report.error}", allow_retries=False)


@dg.job(description="One try of an ingestion job; the sensor of the same name asks for it.")
def lake_ingestion() -> None:
    """Bring a data source's files into a table."""
    bring_files()
