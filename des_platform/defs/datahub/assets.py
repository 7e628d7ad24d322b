"""`<datahub>/datahub_files`: the files of a DataHub that were uploaded in a month, taken into their landing bucket.

Bucket: `<landing prefix><day of the upload>/<file id>-<document id><extension>` in the landing bucket.

Idempotence: what was taken, or given up, is in the ledger, so a run takes what is new to it, and a backfill of months
that were taken takes nothing. A file that cannot be taken becomes a dead letter and its neighbours go on; a DataHub
that serves nobody fails the run, which says what to do and blames no file.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from des_platform.catalog import dead_letters, partitions
from des_platform.defs.partitions import day_of
from des_platform.defs.reporting import Metadata, numbers, report, stopwatch, table
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import OBJECT_STORE_POOL, RANGE_IN_ONE_RUN, RETRY
from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.config import DataHubConfig
from des_platform.sources.datahub.report import TakeReport
from des_platform.sources.datahub.source import DataHubSource

_LETTERS_SHOWN = 5


def datahub_key(config: DataHubConfig) -> dg.AssetKey:
    """Key of a DataHub's asset."""
    return dg.AssetKey([config.name, "datahub_files"])


def datahub_asset(config: DataHubConfig) -> dg.AssetsDefinition:
    """The asset that takes a month's files."""

    @dg.asset(
        key=datahub_key(config),
        group_name="sources",
        pool=OBJECT_STORE_POOL,
        backfill_policy=RANGE_IN_ONE_RUN,
        retry_policy=RETRY,
        partitions_def=dg.MonthlyPartitionsDefinition(config.start.isoformat(), timezone="UTC", end_offset=1),
        kinds={"rest", "postgres"},
        description=f"Files larger than {config.size_threshold:,} bytes, uploaded to {config.name} in a month.",
    )
    def asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult[None]:
        with platform.catalog.begin() as connection:
            datasets = partitions.known_datasets(connection)
        for key in context.partition_keys:
            month = day_of(key)
            with stopwatch() as watch, final_errors():
                done = DataHubSource(config, platform.recorder(datasets)).take(month.year, month.month)
            facts = numbers(files=done.taken, bytes_in=done.bytes, bytes_out=done.bytes, watch=watch)
            report(context, key, facts | _facts(platform, config, done))
        return dg.MaterializeResult()

    return asset


@contextmanager
def final_errors() -> Iterator[None]:
    """What only a person can mend fails the run at once: a refused key must not be offered again and again."""
    try:
        yield
    except ConfigurationError as error:  # a refused key is one
        raise dg.Failure(str(error), allow_retries=False) from error


def _facts(platform: PlatformResource, config: DataHubConfig, done: TakeReport) -> Metadata:
    facts: Metadata = {
        "candidates": done.candidates,
        "candidate_bytes": done.candidate_bytes,
        "known_files": done.known,
        "new_files": done.new,
        "new_dead_letters": done.failed,
        "average_s_per_file": done.statistics()["average_time_per_file"],
        "dagster/uri": platform.buckets.bucket(config.landing.bucket).url + f"/{config.landing.prefix}",
    }
    if done.failures:
        with platform.catalog.begin() as connection:
            letters = dead_letters.newest(connection, _LETTERS_SHOWN, stage="datahub")
        mine = [[letter.reference, letter.reason] for letter in letters if letter.origin == config.name]
        facts["newest_dead_letters"] = table(["file", "reason"], mine)
    return facts
