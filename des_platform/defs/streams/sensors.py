"""`<job>/stream_compress` and `<job>/stream_restore`: the two sides of a stream job, worked on by a sensor each.

A tick takes its turn at the job's queue where no other worker has it, stays inside a budget far below Dagster's limit
of 60 s, and starts no runs. Everything that it did is committed before it returns, so a tick that dies is only
repeated. A file that no tick can finish is given back to the queue, and the tick says so: it is one for a worker of
`des stream`, which may share the queue with the sensor.

The assets are external: each tick that did something, or found something, observes them, so Dagster charts the files,
bytes, ratio and what waits over time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import dagster as dg

from des_platform.catalog import partitions
from des_platform.catalog.metrics import Counts
from des_platform.defs.reporting import Metadata, Stopwatch, numbers, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import EVERY_LOOK_SECONDS, declared_datasets
from des_platform.sources.recording import Recorder
from des_platform.sources.streams.config import StreamJob
from des_platform.sources.streams.kinesis import StreamAddress

if TYPE_CHECKING:
    from des_platform.sources.streams.turns import TurnReport
    from des_platform.sources.streams.worker import Side

MOST_SECONDS = 45.0
"""After so long a tick ends between two chunks."""
_SHOWN_FILES = 20

Opener = Callable[[PlatformResource, Recorder], "Side"]


def stream_definitions(jobs: Sequence[StreamJob]) -> dg.Definitions:
    """Assets and sensors of the stream jobs; what is configured not to push stays with `des stream`."""
    specs, sensors = [], []
    for job in jobs:
        if job.files is not None and job.push:
            specs.append(_asset(job, "stream_compress", [], "compressed into chunks, and announced"))
            sensors.append(_sensor(job, "stream_compress", _compressor(job)))
        if job.restored is not None:
            before = [spec.key for spec in specs if spec.key.path[0] == job.name]
            specs.append(_asset(job, "stream_restore", before, "put together from their chunks"))
            sensors.append(_sensor(job, "stream_restore", _restorer(job)))
    return dg.Definitions(assets=specs, sensors=sensors)


def restored_files(jobs: Sequence[StreamJob]) -> list[dg.AssetKey]:
    """Keys of the assets whose files may belong to a dataset."""
    return [_key(job, "stream_restore") for job in jobs if job.restored is not None]


def _key(job: StreamJob, stage: str) -> dg.AssetKey:
    return dg.AssetKey([job.name, stage])


def _asset(job: StreamJob, stage: str, before: list[dg.AssetKey], what: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        _key(job, stage),
        group_name="streams",
        kinds={"kinesis" if isinstance(job.chunks, StreamAddress) else "s3", "sqs"},
        deps=before,
        description=f"Files of the stream job {job.name}, {what}: how many, how large, and what waits.",
    )


def _compressor(job: StreamJob) -> Opener:
    def opened(platform: PlatformResource, _recorder: Recorder) -> "Side":
        from des_platform.sources.streams.compressor import Compressor

        return Compressor(job, platform.settings)

    return opened


def _restorer(job: StreamJob) -> Opener:
    def opened(platform: PlatformResource, recorder: Recorder) -> "Side":
        from des_platform.sources.streams.restorer import Restorer

        return Restorer(job, platform.settings, recorder)

    return opened


def _sensor(job: StreamJob, stage: str, opener: Opener) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{job.name}_{stage}_sensor",
        minimum_interval_seconds=EVERY_LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Works on {job.name}/{stage}: one message at a time, one worker a queue.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        from des_platform.sources.streams.worker import Worker

        started = time.monotonic()
        datasets = declared_datasets(context.repository_def)
        with platform.catalog.begin() as connection:
            partitions.register_datasets(connection, datasets)
        with closing(opener(platform, platform.recorder(datasets))) as side:
            worker = Worker(job, side, platform.catalog, lease_seconds=platform.settings.lease_seconds)
            report = worker.turn(
                seconds=platform.settings.drain_seconds,
                stopping=lambda: time.monotonic() - started > MOST_SECONDS,
            )
            if report.problem is not None:
                raise report.problem
            depth = side.queue.depth()
        backlog = {"waiting": depth.waiting, "in_flight": depth.in_flight, "dead_letters": depth.dead_letters}
        with platform.catalog.begin() as connection:
            counts = Counts()
            for where, number in backlog.items():
                counts.set("des_source_backlog", number, source=job.name, where=f"{stage} {where}")
            counts.write(connection)
        total = int(context.cursor or 0) + report.files
        seen = report.received or any(backlog.values())
        return dg.SensorResult(
            skip_reason=_said(report, total),
            cursor=str(total),
            asset_events=list(_observations(_key(job, stage), report, backlog)) if seen else [],
        )

    return sensor


def _said(report: "TurnReport", total: int) -> str:
    notes = {
        "dead letters": report.dead,
        "messages wait for what is not there yet": report.postponed,
        "files need longer than a tick: let `des stream` do them": report.stopped,
    }
    said = "; ".join(f"{number} {what}" for what, number in notes.items() if number)
    waited = " Another worker has the queue." if report.waited else ""
    return f"{report.files} files in {report.seconds:.1f} s{f'; {said}' if said else ''}; {total} files so far.{waited}"


def _observations(key: dg.AssetKey, report: "TurnReport", backlog: dict[str, int]) -> Iterator[dg.AssetObservation]:
    watch = Stopwatch()
    watch.seconds = report.seconds
    facts: Metadata = numbers(
        files=report.files, bytes_in=report.original_bytes, bytes_out=report.compressed_bytes, watch=watch
    )
    facts |= {
        "chunks": report.chunks,
        "cut_records": report.cut_records,
        "messages": report.received,
        "dead_letters": report.dead,
        "postponed": report.postponed,
        "waited": report.waited,
        "cpu_s": round(report.cpu_seconds, 3),
    }
    if report.done:
        facts["newest_files"] = table(
            ["file", "bytes", "compressed", "ratio", "codec", "chunks", "why, or where"],
            [
                [
                    file.name,
                    file.original_bytes,
                    file.compressed_bytes,
                    round(file.ratio, 2),
                    file.codec,
                    file.chunks,
                    file.reason,
                ]
                for file in report.done[-_SHOWN_FILES:]
            ],
        )
    yield dg.AssetObservation(key, metadata=facts | {f"{where}_after": number for where, number in backlog.items()})
