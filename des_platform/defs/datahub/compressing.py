"""`<datahub>/datahub_compressed`: a month's files replaced in the DataHub itself by compressed copies.

For a DataHub whose entry has a section `compress`. Idempotence: the ledger in the catalogue has the last step of every
file, so a run that is killed is gone on with, and what is done, or does not shrink, is not done again. A file that
fails keeps its original and becomes a dead letter; its neighbours go on. Files that `datahub_files` has not taken yet
are left alone, and the month waits until they are.
"""

from collections.abc import Callable, Iterable

import dagster as dg

from des_platform.catalog import dead_letters
from des_platform.compression.report import Row, put_report, report_link, run_page
from des_platform.defs.checking import PROBLEMS_SHOWN, partition_check
from des_platform.defs.datahub.assets import datahub_key, final_errors
from des_platform.defs.datahub.sensors import DATAHUB_TAG, request_months
from des_platform.defs.partitions import day_of
from des_platform.defs.reporting import Metadata, numbers, report, stopwatch, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY
from des_platform.sources.datahub.compressing.audit import Audit, audit_month
from des_platform.sources.datahub.compressing.ledger import STAGE, failures_source
from des_platform.sources.datahub.compressing.month import MonthCompressor
from des_platform.sources.datahub.compressing.report import CompressReport
from des_platform.sources.datahub.config import DataHubConfig

_COMPRESSING_TAG = "des/datahub_compressing"
_LETTERS_SHOWN = 5


def datahub_compression(configs: Iterable[DataHubConfig]) -> dg.Definitions:
    """What the DataHubs that are to be compressed yield."""
    wanted = [config for config in configs if config.compress is not None]
    return dg.Definitions(
        assets=[compressed_asset(config) for config in wanted],
        asset_checks=[check for config in wanted for check in compressed_checks(config)],
        sensors=[compressed_sensor(config) for config in wanted],
    )


def compressed_key(config: DataHubConfig) -> dg.AssetKey:
    """Key of the asset."""
    return dg.AssetKey([config.name, "datahub_compressed"])


def months_of(config: DataHubConfig) -> dg.MonthlyPartitionsDefinition:
    """Its partitions, those of `datahub_files`."""
    return dg.MonthlyPartitionsDefinition(config.start.isoformat(), timezone="UTC", end_offset=1)


def compressed_asset(config: DataHubConfig) -> dg.AssetsDefinition:
    """The asset that compresses a month's files."""

    @dg.asset(
        key=compressed_key(config),
        group_name="sources",
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=months_of(config),
        deps=[datahub_key(config)],
        kinds={"rest", "postgres"},
        description=f"Files of {config.name} larger than {config.size_threshold:,} bytes, compressed in it.",
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        for key in context.partition_keys:
            month = day_of(key)
            with stopwatch() as watch, final_errors():
                done = _compressor(config, platform).run(month.year, month.month)
            facts = numbers(
                files=done.compressed, bytes_in=done.original_bytes, bytes_out=done.compressed_bytes, watch=watch
            )
            page = {"report": _write_page(platform, config, done)} if done.processed else {}
            report(context, key, facts | _facts(platform, config, done) | page)
        return dg.MaterializeResult()

    return asset


def compressed_checks(config: DataHubConfig) -> list[dg.AssetChecksDefinition]:
    """Nothing was uploaded without a proof, and nothing deleted without a copy: the ledger against the table."""

    def check(name: str, description: str, problems_of: Callable[[Audit], list[str]]) -> dg.AssetChecksDefinition:
        @partition_check(compressed_key(config), months_of(config), description=description, name=name)
        def compared(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
            audit = audit_month(config, platform.catalog, day_of(key))
            problems = problems_of(audit)
            return dg.AssetCheckResult(
                passed=not problems,
                metadata={
                    "copies": audit.copies,
                    "originals_removed": audit.removed,
                    "problems": problems[:PROBLEMS_SHOWN],
                },
            )

        return compared

    return [
        check(
            "every_copy_is_proven",
            "Every compressed copy in the DataHub was read back and compared with its original.",
            lambda audit: audit.unproven,
        ),
        check(
            "every_removed_original_has_its_copy",
            "Every original that was deleted has its proven copy in the DataHub.",
            lambda audit: audit.lost,
        ),
    ]


def compressed_sensor(config: DataHubConfig) -> dg.SensorDefinition:
    """The sensor that requests a run for each month with files to compress which nobody takes at the moment."""

    @dg.sensor(
        name=f"{config.name}_datahub_compressed_sensor",
        target=dg.AssetSelection.assets(compressed_key(config)),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests runs for the months of {config.name} that have files to compress in it.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        waiting = _compressor(config, platform).waiting(config.start)
        return request_months(
            context,
            config.name,
            waiting,
            _COMPRESSING_TAG,
            subject=f"{config.name}:compress",
            apart_from=[DATAHUB_TAG],
        )

    return sensor


def _compressor(config: DataHubConfig, platform: PlatformResource) -> MonthCompressor:
    settings = platform.settings
    return MonthCompressor(config, platform.catalog, settings.scratch, lease_seconds=settings.lease_seconds)


def _write_page(platform: PlatformResource, config: DataHubConfig, done: CompressReport) -> dg.UrlMetadataValue:
    """Write the page of a run that did something; one that did nothing leaves the one before."""
    name = f"{config.name}_compressed"
    codec = config.compress.codec if config.compress else ""
    row = Row("Copy in the DataHub", codec, done.compressed, done.original_bytes, done.compressed_bytes, done.seconds)
    notes = [f"{label.replace('_', ' ')}: {number:,}" for label, number in done.statistics().items()]
    page = run_page(
        f"{config.name}, {done.month:%B %Y}",
        [row],
        failed=done.failed,
        price=platform.settings.storage_price,
        notes=["What the last run that had something to do did.", *notes],
    )
    put_report(platform.buckets, name, done.month, page)
    return dg.MetadataValue.url(report_link(platform.settings, name, done.month))


def _facts(platform: PlatformResource, config: DataHubConfig, done: CompressReport) -> Metadata:
    facts: Metadata = dict(done.statistics())
    # The share that every stage shows by this name is original by compressed bytes.
    facts["compressed_percent"] = facts.pop("compression_ratio")
    if done.failed:
        with platform.catalog.begin() as connection:
            letters = dead_letters.newest(connection, _LETTERS_SHOWN, stage=STAGE)
        mine = [
            [letter.reference, letter.reason] for letter in letters if letter.origin == failures_source(config.name)
        ]
        facts["newest_dead_letters"] = table(["file", "reason"], mine)
    return facts
