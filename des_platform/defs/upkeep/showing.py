"""What upkeep shows of itself: numbers that the UI charts."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from des_platform.lake.types import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.defs.reporting import Metadata
    from des_platform.defs.resources import PlatformResource
    from des_platform.lake.upkeep.types import Part, Report
    from des_platform.lake.upkeep.upkeep import Upkeep


@contextmanager
def upkeep_of(platform: PlatformResource) -> Iterator[Upkeep]:
    """The upkeep of the platform's tables."""
    from des_platform.lake.upkeep.upkeep import Upkeep

    upkeep = Upkeep(platform.settings, platform.catalog, platform.buckets)
    try:
        yield upkeep
    finally:
        upkeep.close()


def by_day(done: Report) -> dict[str, list[Part]]:
    """The parts of a compaction by their partition's day, as `2026-03-01`."""
    from des_platform.lake.partitioning import parse_partition_path

    found = defaultdict(list)
    for part in done.parts:
        found[parse_partition_path(part.name)[DAY] or ""].append(part)
    return found


def shown(parts: Sequence[Part]) -> Metadata:
    """The numbers of some work."""
    before, after = sum(part.bytes for part in parts), sum(part.bytes_after for part in parts)
    return {
        "files_before": sum(part.files for part in parts),
        "files_after": sum(part.files_after for part in parts),
        "bytes_before": before,
        "bytes_after": after,
        "bytes_saved": before - after,
        "rows": sum(part.rows for part in parts),
    }
