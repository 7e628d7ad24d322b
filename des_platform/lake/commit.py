"""One change of a table, in one commit of its catalogue, however many others write to the table.

Whoever changes a table says how, on a transaction over fresh metadata; nothing is ever committed on metadata that is
out of date. Writers whose changes do not touch each other are retried inside pyiceberg; where it finds that they do
(`ValidationException`), the change is staged again from the start on what the other one left.

A failed commit leaves one question, and this is where it is answered: has it landed? `undo` is called if, and only
if, it certainly has not. `CommitUnknown` says that nobody can tell, since the catalogue's answer is lost.

pyiceberg 0.12 copies the whole metadata some 30 times a commit, 88 of 109 seconds of 365 commits, hence a transaction
of our own; and every commit reads and writes it whole, hence the forgetting of old snapshots here.
"""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Transaction
from pyiceberg.table.update import _apply_table_update, _TableMetadataUpdateContext

from des_platform.lake.types import CommitUnknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableUpdate

_LOG = logging.getLogger(__name__)
# Each snapshot costs every commit a tenth of a millisecond; ten manifests cost as much as ten snapshots.
_SNAPSHOTS_KEPT: Final = 10
_SNAPSHOTS_MOST: Final = 18
_LONGEST_PAUSE: Final = 0.05
# What pyiceberg warns of is the rule among several writers: a commit that is tried again, and an old metadata file that
# another one was quicker to remove (upkeep removes what stays).
_NO_NEWS: Final = ("Commit failed due to a concurrent update", "Failed to delete metadata file")
for _name in ("pyiceberg.table", "pyiceberg.catalog"):
    logging.getLogger(_name).addFilter(lambda record: not str(record.msg).startswith(_NO_NEWS))


def _nothing() -> None: ...


def commit(
    table: Table,
    stage: Callable[[Transaction], None],
    *,
    attempts: int = 20,
    undo: Callable[[], None] = _nothing,
) -> Table:
    """Change a table: all that is staged, or nothing.

    Args:
        table: the table, in whatever state it was loaded.
        stage: puts the change onto a transaction; called anew, on a transaction over fresh metadata, for each attempt.
            What it raises ends the attempts.
        attempts: how often rivals may spoil the change; at least 1.
        undo: called once where nothing has landed, such as to remove files that were written for the change.

    Returns:
        The table as the commit left it.

    Raises:
        pyiceberg.exceptions.CommitFailedException, ValidationException: rivals won every attempt; nothing landed.
        CommitUnknown: the change may have landed or not; `undo` was not called.
    """
    for attempts_left in reversed(range(attempts)):
        transaction = _staged(table, stage, undo)
        try:
            committed = transaction.commit_transaction()
        except (CommitFailedException, ValidationException):
            if not attempts_left:
                undo()
                raise
            time.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 - no secret, only out of step
        except Exception as error:
            raise CommitUnknown(table.name()[-1], error) from error
        else:
            _forget_old_snapshots(committed)
            return committed
    raise ValueError(f"attempts must be at least 1, found {attempts}")


class _Transaction(Transaction):
    """A transaction that applies its updates to the table's metadata once, and copies nothing but what they change."""

    _seen: tuple[TableMetadata, tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        base, updates = self._table.metadata, self._updates
        if self._seen is None or self._seen[0] is not base or self._seen[1] is not updates:
            applied, context = base, _TableMetadataUpdateContext()
            for update in updates:
                applied = _apply_table_update(update, applied, context)
            self._seen = base, updates, applied
        return self._seen[2]


def _staged(table: Table, stage: Callable[[Transaction], None], undo: Callable[[], None]) -> Transaction:
    transaction = None
    try:
        transaction = _Transaction(table.catalog.load_table(table.name()))
        stage(transaction)
    except BaseException:
        for producer in transaction._snapshot_producers if transaction else ():  # noqa: SLF001 - has no public cleanup
            producer._clean_all_uncommitted()  # noqa: SLF001 - as above; removes the manifests written so far
        undo()
        raise
    return transaction


def _forget_old_snapshots(table: Table) -> None:
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    if len(snapshots) <= _SNAPSHOTS_MOST:
        return
    oldest_kept = snapshots[-_SNAPSHOTS_KEPT].timestamp_ms
    try:
        table.maintenance.expire_snapshots().older_than(
            datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=oldest_kept)
        ).commit()
    except Exception as error:  # noqa: BLE001 - the change has landed; most likely another writer was quicker
        _LOG.info("table %r: old snapshots stay until the next commit: %s", table.name()[-1], error)
