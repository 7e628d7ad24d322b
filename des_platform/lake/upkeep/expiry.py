"""Old snapshots are forgotten, and then the files that no snapshot names any more are removed.

A snapshot's age counts from when another one took its place, not from when it was made: one that was current a minute
ago may be being read, however old it is. Newest snapshots, branches and tags stay, whatever their age.

The order is what makes a kill harmless: the commit first, the files after it. Killed in between, the files are orphans.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update.snapshot import ExpireSnapshots

from des_platform.lake.commit import commit
from des_platform.lake.upkeep.reachable import reachable
from des_platform.lake.upkeep.types import Part, Report

if TYPE_CHECKING:
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

    from des_platform.lake.upkeep.places import Folder

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def expire(table: Table, folder: Folder, *, older_than: timedelta, keep: int, apply: bool) -> Report:
    """Forget a table's old snapshots.

    Args:
        table: the table, freshly loaded.
        folder: its folder.
        older_than: least time since a snapshot was the table's newest; a reader has that long to end.
        keep: how many of the newest stay, however old.
        apply: do it; otherwise say what would be done.

    Raises:
        UpkeepRefused: a manifest cannot be read; nothing was removed.
        pyiceberg.exceptions.CommitFailedException: other writers won every attempt; nothing was changed.
    """
    started = time.monotonic()
    known = table.metadata.snapshots
    expired = _expired(table.metadata, older_than, keep)
    if apply and expired:
        staged: list[list[Snapshot]] = []

        def stage(transaction: Transaction) -> None:
            staged.append(_expired(transaction.table_metadata, older_than, keep))
            ids = [snapshot.snapshot_id for snapshot in staged[-1]]
            if ids:
                ExpireSnapshots(transaction).by_ids(ids).commit()

        table = commit(table, stage)
        expired = staged[-1]
    gone = {snapshot.snapshot_id for snapshot in expired}
    # What another writer forgot meanwhile counts as named: it is younger than those that are forgotten here.
    after = reachable(table, (found for found in (*known, *table.metadata.snapshots) if found.snapshot_id not in gone))
    forgotten = reachable(table, expired)
    unnamed = {path: size for path, size in forgotten.items() if path not in after}
    before = after | forgotten
    if apply:
        folder.remove(unnamed)
    return Report(
        table=table.name()[-1],
        job="expire",
        applied=apply,
        files_before=len(before),
        bytes_before=sum(before.values()),
        files_after=len(before) - len(unnamed),
        bytes_after=sum(before.values()) - sum(unnamed.values()),
        seconds=time.monotonic() - started,
        parts=tuple(Part(str(snapshot.snapshot_id), 0, 0, note=_told(snapshot)) for snapshot in expired),
        snapshots=len(expired),
    )


def _expired(metadata: TableMetadata, older_than: timedelta, keep: int) -> list[Snapshot]:
    """The snapshots to forget, the oldest first."""
    protected = {ref.snapshot_id for ref in metadata.refs.values()}
    newest = [snapshot.snapshot_id for snapshot in ancestors_of(metadata.current_snapshot(), metadata)]
    protected |= set(newest[:keep])
    replaced: dict[int, int] = {}
    for snapshot in metadata.snapshots:
        parent = snapshot.parent_snapshot_id
        if parent is not None:
            replaced[parent] = max(replaced.get(parent, 0), snapshot.timestamp_ms)
    until = (datetime.now(UTC) - older_than - _EPOCH) / timedelta(milliseconds=1)
    found = [
        snapshot
        for snapshot in metadata.snapshots
        if snapshot.snapshot_id not in protected and replaced.get(snapshot.snapshot_id, snapshot.timestamp_ms) < until
    ]
    return sorted(found, key=lambda snapshot: snapshot.timestamp_ms)


def _told(snapshot: Snapshot) -> str:
    made = _EPOCH + timedelta(milliseconds=snapshot.timestamp_ms)
    what = snapshot.summary.operation.value if snapshot.summary else "unknown"
    return f"{what} of {made:%Y-%m-%d %H:%M:%S}"
