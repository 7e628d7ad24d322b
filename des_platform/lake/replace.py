"""The replacement of a day: new files registered and old ones dropped in one commit of the catalogue.

Atomic: the transaction stages a delete of the day's files and an append of the new ones, and the catalogue's row
moves from the old metadata file to the new one in one compare-and-swap. A reader of the table sees the old day or the
new one. The table's history keeps the step between the two as a snapshot of its own (pyiceberg has one snapshot per
operation; its single-snapshot overwrite never lets go of the manifests of dropped files, so metadata would grow with
every replacement): time travel to exactly that snapshot shows the day empty.

Idempotent: the same batches give the same rows, however often. Concurrent: writers of other days are retried inside
pyiceberg; of two writers of one day the second finds its plan outdated (`ValidationException`), and its commit, not
its writing, is planned again on fresh metadata, so the last one wins whole. Old data files stay in the bucket;
expired snapshots leave the metadata only.

Why files are written here and then registered: pyiceberg 0.12 refuses to stream batches into a partitioned table.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import EqualTo

from des_platform.lake.files import DayFiles
from des_platform.lake.types import DAY, Replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    import pyarrow as pa
    from pyiceberg.table import Table, Transaction

_LOG = logging.getLogger(__name__)
# Each refusal means that another writer of the same day got through: the most rivals that one writer outlasts.
_COMMIT_ATTEMPTS: Final = 20
_SNAPSHOTS_KEPT: Final = 20
_SNAPSHOTS_MOST: Final = 70


def replace_day(table: Table, day: date, batches: Iterable[pa.RecordBatch], properties: Mapping[str, str]) -> Replaced:
    """Make the batches the rows of the day, all or none of them.

    Args:
        table: a table of the lake, freshly loaded.
        day: the partition.
        batches: its rows: declared and lineage columns; consumed once, also when there are rivals.
        properties: written into the snapshot's summary.

    Raises:
        SchemaConflict: a batch does not fit the table.
        pyiceberg.exceptions.CommitFailedException, ValidationException: rivals won every attempt; nothing was changed.
    """
    started = time.monotonic()
    files = DayFiles(table, day)
    files.write(batches)
    committed = _commit(table, day, files, dict(properties))
    _expire(committed)
    snapshot = committed.current_snapshot()
    return Replaced(
        rows=files.rows,
        files=len(files.paths),
        bytes=files.bytes,
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        seconds=time.monotonic() - started,
    )


def _commit(table: Table, day: date, files: DayFiles, properties: dict[str, str]) -> Table:
    for attempts_left in reversed(range(_COMMIT_ATTEMPTS)):
        try:
            transaction = table.catalog.load_table(table.name()).transaction()
            _stage(transaction, day, files.paths, properties)
        except BaseException:
            files.discard()
            raise
        try:
            return transaction.commit_transaction()
        except (CommitFailedException, ValidationException):
            # Both say that nothing landed. Any other error leaves that open (an answer may be lost), so the files stay.
            if not attempts_left:
                files.discard()
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _stage(transaction: Transaction, day: date, paths: list[str], properties: dict[str, str]) -> None:
    # Not Transaction.delete(): it warns about every day without rows, and reads and rewrites what it cannot drop whole.
    with transaction.update_snapshot(snapshot_properties=properties).delete() as delete:
        delete.delete_by_predicate(EqualTo(term=DAY, value=day))
    if delete.rewrites_needed:
        raise RuntimeError(
            f"table {transaction.table_metadata.location}, day {day}: another program wrote files without bounds of"
            f" column {DAY!r}, so they cannot be dropped whole; rewrite them with metrics first"
        )
    if paths:
        transaction.add_files(paths, snapshot_properties=properties, check_duplicate_files=False)


def _expire(table: Table) -> None:
    """Forget old snapshots, so that the metadata file, read and written whole by each commit, stays small."""
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    if len(snapshots) <= _SNAPSHOTS_MOST:
        return
    oldest_kept = snapshots[-_SNAPSHOTS_KEPT].timestamp_ms
    try:
        table.maintenance.expire_snapshots().older_than(
            datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=oldest_kept)
        ).commit()
    except (CommitFailedException, ValueError):
        # Another writer committed in between, or expired the same snapshots: the next commit tidies up.
        _LOG.info("table %r: old snapshots stay for now, another writer was quicker", table.name()[-1])
