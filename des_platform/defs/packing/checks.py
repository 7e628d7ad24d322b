"""Checks of `<dataset>/des_shards`."""

from typing import Any

import dagster as dg

from des_platform.catalog.dataset import Dataset
from des_platform.defs.checking import PROBLEMS_SHOWN, partition_check
from des_platform.defs.partitions import day_and_shard_of, days_and_shards
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import asset_key
from des_platform.packing.verify import prove_shard


def des_shards_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Every archive member is readable and equal (blocking)."""

    @partition_check(
        asset_key(dataset, "des_shards"),
        days_and_shards(dataset),
        blocking=True,
        description=(
            "The published archive, read again, is sound and holds exactly the packed files, each equal to its SHA-256."
        ),
    )
    def every_member_readable_and_equal(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        proof = prove_shard(platform.catalog, platform.reader, dataset.name, *day_and_shard_of(key))
        metadata: dict[str, Any] = {
            "members": proof.members,
            "bytes_proven": proof.bytes,
            "problems": proof.problems[:PROBLEMS_SHOWN],
        }
        if proof.container is not None:
            metadata |= {
                "archive_version": proof.container.archive_version,
                "archive_bytes": proof.container.size,
                "generation": proof.container.generation,
            }
        return dg.AssetCheckResult(passed=not proof.problems, metadata=metadata)

    return [every_member_readable_and_equal]
