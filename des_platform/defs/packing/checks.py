"""Checks of `<dataset>/des_shards`."""

import dagster as dg

from des_platform.catalog.dataset import Dataset
from des_platform.defs.checking import verdict
from des_platform.defs.partitions import day_and_shard_of, days_and_shards
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import asset_key
from des_platform.packing.verify import prove_shard


def des_shards_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Every archive member is readable and equal (blocking)."""

    @dg.asset_check(
        asset=asset_key(dataset, "des_shards"),
        partitions_def=days_and_shards(dataset),
        blocking=True,
        description="The published archive, read again, holds exactly the packed files, each equal to its checksum.",
    )
    def every_member_readable_and_equal(
        context: dg.AssetCheckExecutionContext, platform: PlatformResource
    ) -> dg.AssetCheckResult:
        reader = platform.reader

        def evaluate(key: str) -> dg.AssetCheckResult:
            proof = prove_shard(platform.catalog, reader, dataset.name, *day_and_shard_of(key))
            return dg.AssetCheckResult(
                passed=not proof.problems,
                metadata={"members": proof.members, "bytes_proven": proof.bytes, "problems": proof.problems[:20]},
            )

        return verdict(context, evaluate)

    return [every_member_readable_and_equal]
