"""Checks of `<dataset>/compressed_objects`."""

import dagster as dg

from des_platform.catalog.dataset import Dataset
from des_platform.compression.verify import prove_objects
from des_platform.defs.checking import PROBLEMS_SHOWN, partition_check
from des_platform.defs.partitions import day_of, days
from des_platform.defs.resources import PlatformResource
from des_platform.defs.stage import asset_key


def compressed_objects_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Every compressed object decompresses to its checksum (blocking)."""

    @partition_check(
        asset_key(dataset, "compressed_objects"),
        days(dataset),
        blocking=True,
        description="Every compressed object, read from the store again, decompresses to the catalogued checksum.",
    )
    def every_object_decompresses(platform: PlatformResource, key: str) -> dg.AssetCheckResult:
        threads = platform.settings.threads
        proof = prove_objects(platform.catalog, platform.reader, dataset.name, day_of(key), threads=threads)
        return dg.AssetCheckResult(
            passed=not proof.problems,
            metadata={
                "objects": proof.objects,
                "bytes_proven": proof.bytes,
                "problems": proof.problems[:PROBLEMS_SHOWN],
            },
        )

    return [every_object_decompresses]
