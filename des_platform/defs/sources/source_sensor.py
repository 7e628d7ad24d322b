"""A sensor per configured source: it drains the source into the inbox, and shows what it did on the source's asset.

A tick stays inside a budget far below Dagster's limit of 60 s, and everything it did is committed before it returns, so
a tick that dies is only repeated. It starts no runs. A source that cannot be reached fails the tick, with what to do;
what is recorded stays recorded, and the next tick goes on.

The source's asset is external: nothing materializes it. Each tick that found something observes it, so Dagster charts
how much waited and how much was taken over time.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import dagster as dg

from des_platform.catalog import inbox, partitions
from des_platform.catalog.metrics import Counts
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import EVERY_LOOK_SECONDS, INBOX, declared_datasets
from des_platform.sources.recording import Recorder
from des_platform.sources.source import DrainReport, Source, SourceKind

if TYPE_CHECKING:
    from des_platform.defs.reporting import Metadata

NOUNS: Mapping[SourceKind, str] = {
    "queue": "messages",
    "stream": "records",
    "database": "rows",
    "inventory": "objects",
}
_KINDS: Mapping[SourceKind, str] = {"queue": "sqs", "stream": "kinesis", "database": "sql", "inventory": "s3"}

Opener = Callable[[PlatformResource, Recorder], Source]


def source_asset(name: str, kind: SourceKind) -> dg.AssetSpec:
    """The external asset that stands for a source in the lineage."""
    return dg.AssetSpec(
        dg.AssetKey(["sources", name]),
        group_name="sources",
        kinds={_KINDS[kind]},
        description=f"The {kind} {name}: how much waits there, and what each draining took.",
    )


def source_sensor(sensor_name: str, name: str, kind: SourceKind, opener: Opener) -> dg.SensorDefinition:
    """The sensor that drains a source.

    Args:
        sensor_name: what Dagster calls it.
        name: the source's name in the configuration.
        kind: what it is.
        opener: makes the source, once a tick.
    """

    @dg.sensor(
        name=sensor_name,
        minimum_interval_seconds=EVERY_LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Drains the {kind} {name} into the inbox: take, record, commit, and only then let go.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        datasets = declared_datasets(context.repository_def)
        with platform.catalog.begin() as connection:
            partitions.register_datasets(connection, datasets)
        with closing(opener(platform, platform.recorder(datasets))) as source:
            found = source.backlog()
            report = source.drain(seconds=platform.settings.drain_seconds)
            left = source.backlog()
        total = int(context.cursor or 0) + report.received
        with platform.catalog.begin() as connection:
            counts = Counts()
            counts.observe("des_ingest_drain_duration_seconds", report.seconds, source=name)
            for where, number in left.items():
                counts.set("des_source_backlog", number, source=name, where=where)
            counts.write(connection)
            pending = inbox.pending(connection)
        seen = report.received or any(found.values()) or any(left.values())
        return dg.SensorResult(
            skip_reason=_said(NOUNS[kind], report, total),
            cursor=str(total),
            asset_events=_observations(name, report, found, left, pending) if seen else [],
        )

    return sensor


def _said(noun: str, report: DrainReport, total: int) -> str:
    note = f" {report.note}" if report.note else ""
    return (
        f"{report.received} {noun}: {report.new} new files, {report.known} known, {report.removed} deletions, "
        f"{report.dead} dead letters in {report.seconds:.1f} s; {total} {noun} so far.{note}"
    )


def _observations(
    name: str, report: DrainReport, found: Mapping[str, int], left: Mapping[str, int], pending: int
) -> list[dg.AssetObservation]:
    taken: Metadata = {
        "received": report.received,
        "new_files": report.new,
        "known_files": report.known,
        "deletions": report.removed,
        "dead_letters": report.dead,
        "duration_s": round(report.seconds, 3),
    }
    backlog = {f"{where}_before": number for where, number in found.items()}
    backlog |= {f"{where}_after": number for where, number in left.items()}
    return [
        dg.AssetObservation(dg.AssetKey(["sources", name]), metadata=taken | backlog),
        dg.AssetObservation(INBOX, metadata={"new_files": report.new, "pending": pending}),
    ]
