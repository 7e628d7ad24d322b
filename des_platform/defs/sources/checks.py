"""Checks of `<dataset>/raw_files`."""

from datetime import date

import dagster as dg

from des_platform.catalog import files, inbox, partitions
from des_platform.catalog.dataset import Dataset
from des_platform.defs.checking import PROBLEMS_SHOWN, partition_check
from des_platform.defs.partitions import day_of, days
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import asset_key
from des_platform.objectstore import IntegrityError, ObjectNotFound
from des_platform.sources.manifest import listed_names


def raw_files_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Every file accounted for (blocking), and none given up (a warning)."""

    @partition_check(
        asset_key(dataset, "raw_files"),
        days(dataset),
        blocking=True,
        description="Every file taken from the inbox is catalogued, and the manifest lists exactly those.",
    )
    def every_file_accounted_for(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        problems = _unaccounted(platform, dataset, day_of(key))
        return dg.AssetCheckResult(passed=not problems, metadata={"problems": problems[:PROBLEMS_SHOWN]})

    @partition_check(
        asset_key(dataset, "raw_files"),
        days(dataset),
        description="No file of the day was given up; those that were stand in the dead letters.",
    )
    def no_dead_letters(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        with platform.catalog.begin() as connection:
            dead = inbox.tally(connection, dataset.name, day_of(key))["dead"]
            dead += files.totals(connection, dataset.name, day_of(key)).failed
        return dg.AssetCheckResult(
            passed=dead == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"given_up": dead, "look_at": "des dead-letters ls"},
        )

    return [every_file_accounted_for, no_dead_letters]


def _unaccounted(platform: PlatformResource, dataset: Dataset, day: date) -> list[str]:
    with platform.catalog.begin() as connection:
        partitions.lock_day(connection, dataset.name, day)
        taken = inbox.tally(connection, dataset.name, day)["done"]
        manifest = partitions.manifest_of(connection, dataset.name, day)
        catalogued = {row.name for batch in files.of_day(connection, dataset.name, day) for row in batch}
    problems = []
    if taken != len(catalogued):
        problems.append(f"{day}: {taken} files were taken from the inbox, {len(catalogued)} are catalogued")
    if manifest is None:
        return [*problems, f"{day}: no manifest"]
    try:
        listed = listed_names(platform.buckets.own, manifest)
    except (ObjectNotFound, IntegrityError) as error:
        return [*problems, f"{day}: {error}; materialize raw_files again, which writes the manifest anew"]
    problems += [f"{day}: the manifest lacks {name}" for name in sorted(catalogued - listed)[:10]]
    problems += [
        f"{day}: the manifest lists {name}, which is not catalogued" for name in sorted(listed - catalogued)[:10]
    ]
    return problems
