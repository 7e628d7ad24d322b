"""The lake: commits beside plain files and deltalake, compaction, and the API under load.

Each row has servers and folders of its own; its module says what it stands beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform_tests.bench import lake_api, lake_backfill, lake_compaction, lake_conflicts, lake_flat
from des_platform_tests.bench.runner import bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.bench.results import Measurement

_ROWS = (
    lake_backfill.backfill_commits,
    lake_flat.commit_flat,
    lake_conflicts.commit_conflicts,
    lake_compaction.compaction,
    lake_api.api_p99,
)


@bench
def lake(*, quick: bool) -> Iterator[Measurement]:
    """Tables: commits, conflicts, compaction and the lake API."""
    for row in _ROWS:
        yield from row(quick=quick)
