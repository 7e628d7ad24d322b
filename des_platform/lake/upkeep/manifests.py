"""Many small manifests become few: planning a scan opens each of them.

The tables' own property `commit.manifest-merge.enabled` does this when rows are added, every thirty commits; this does
it in between, for a table that is only read any more, and for one whose manifests another program writes.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from pyiceberg.manifest import ManifestContent
from pyiceberg.table import TableProperties

from des_platform.lake.commit import commit
from des_platform.lake.upkeep.reachable import metadata_read
from des_platform.lake.upkeep.rewriting import stage_merge
from des_platform.lake.upkeep.types import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table

# Below this number nobody feels the difference, and each merge is a snapshot more.
_FEWEST: Final = 8


def merge_manifests(table: Table, *, apply: bool, properties: Mapping[str, str]) -> Report:
    """Merge the manifests of the table's newest snapshot, if there are enough small ones of them.

    Args:
        table: the table, freshly loaded.
        apply: do it; otherwise say what would be done.
        properties: written into the snapshot's summary.

    Raises:
        UpkeepRefused: the table's metadata cannot be read; nothing was changed.
        pyiceberg.exceptions.CommitFailedException, ValidationException: other writers won every attempt; nothing was
            changed.
        CommitUnknown: it may have landed or not; the rows are the same.
    """
    started = time.monotonic()
    before = _manifests(table)
    after = before
    size_after = size = sum(manifest.manifest_length for manifest in before)
    count_after = len(before) - _saved(table, before)
    if apply and count_after < len(before):
        after = _manifests(commit(table, lambda transaction: stage_merge(transaction, properties)))
        count_after, size_after = len(after), sum(manifest.manifest_length for manifest in after)
    return Report(
        table=table.name()[-1],
        job="manifests",
        applied=apply,
        files_before=len(before),
        bytes_before=size,
        files_after=count_after,
        bytes_after=size_after,
        seconds=time.monotonic() - started,
    )


def _manifests(table: Table) -> list[ManifestFile]:
    snapshot = table.current_snapshot()
    if snapshot is None:
        return []
    with metadata_read(table):
        return [found for found in snapshot.manifests(table.io) if found.content == ManifestContent.DATA]


def _saved(table: Table, manifests: list[ManifestFile]) -> int:
    """How many manifests fewer there would be; 0 where it is not worth a commit."""
    target = int(
        table.properties.get(
            TableProperties.MANIFEST_TARGET_SIZE_BYTES, TableProperties.MANIFEST_TARGET_SIZE_BYTES_DEFAULT
        )
    )
    small: Counter[int] = Counter()
    weight: Counter[int] = Counter()
    for manifest in manifests:
        if manifest.manifest_length < target / 2:
            small[manifest.partition_spec_id] += 1
            weight[manifest.partition_spec_id] += manifest.manifest_length
    return sum(count - 1 - weight[spec] // target for spec, count in small.items() if count >= _FEWEST)
