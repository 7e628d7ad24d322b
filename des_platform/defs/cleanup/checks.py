"""Checks of `<dataset>/originals_removed`."""

import dagster as dg

from des_platform.catalog import cleanups
from des_platform.catalog.dataset import Dataset
from des_platform.compression.cleanup.audit import Audit, find_copies, read_copies
from des_platform.defs.checking import PROBLEMS_SHOWN, partition_check
from des_platform.defs.cleanup.assets import STAGE
from des_platform.defs.partitions import day_of, days
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import asset_key

_LATE_HOURS = 24


def originals_removed_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Every removed original has an equal copy, no file is without any (blocking); nothing is late or refused."""

    @partition_check(
        asset_key(dataset, STAGE),
        days(dataset),
        blocking=True,
        description="Files whose originals are gone, read from the store again, are equal to their SHA-256.",
    )
    def every_removed_original_has_an_equal_copy(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        audit = read_copies(
            platform.catalog, platform.buckets, dataset.name, day_of(key), threads=platform.settings.threads
        )
        return _told(audit, files_read=audit.looked_at, bytes_read=audit.bytes)

    @partition_check(
        asset_key(dataset, STAGE),
        days(dataset),
        blocking=True,
        description="The object that holds a file's bytes is there, wherever there is only one.",
    )
    def no_file_without_a_copy(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        audit = find_copies(
            platform.catalog, platform.buckets, dataset.name, day_of(key), threads=platform.settings.threads
        )
        return _told(audit, objects_found=audit.looked_at)

    @partition_check(
        asset_key(dataset, STAGE),
        days(dataset),
        description=f"No original that was due is there {_LATE_HOURS} hours later, and none was refused.",
    )
    def nothing_due_left_behind(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        with platform.catalog.begin() as connection:
            late = cleanups.overdue(connection, dataset.name, day_of(key), hours=_LATE_HOURS)
            shares = cleanups.shares(connection, dataset.name, day_of(key))
        refused = sum(share.files for share in shares if share.state == "refused")
        return dg.AssetCheckResult(
            passed=not late and not refused,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"late": late, "refused": refused, "look_at": f"des cleanup plan {dataset.name} {key}"},
        )

    return [every_removed_original_has_an_equal_copy, no_file_without_a_copy, nothing_due_left_behind]


def _told(audit: Audit, **numbers: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not audit.problems, metadata={**numbers, "problems": audit.problems[:PROBLEMS_SHOWN]}
    )
