"""A day's clean-up: what may go is planned, and what is due goes, each original right after its copy was proven.

Order of things, for a batch of files whose rows are locked: the policy as the catalogue knows it now; what speaks
against a file (`objection`); the proof that its copy, read from the store, is equal; the original itself, if it is
still the object that was catalogued; the record, in the transaction that holds the locks.

Killed anywhere, the batch's rows are planned as before; the next run proves the copies again and finds the originals
that were deleted gone. A copy that is not equal keeps its original, with a dead letter. An original that the store does
not let go stays planned, with what the store said; the others go on, and the run fails at its end, or as soon as the
store has let nothing go for a while.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.catalog import cleanups, dead_letters, partitions
from des_platform.catalog.dataset import dataset_of
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.metrics import Counts
from des_platform.compression.cleanup.copies import Prover
from des_platform.compression.cleanup.originals import Fate, remove_original

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor
    from datetime import date

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.objectstore import Buckets, StoreUnavailable

STAGE = "originals_removed"

_LOG = logging.getLogger(__name__)
# Locked at once: few enough that a packer of the same shard waits for seconds.
_SMALL_AT_ONCE = 256
# Batches in a row of which the store let nothing go, after which a run takes it for a store that is out of reach.
_PATIENCE = 3


@dataclass(slots=True)
class RemovalReport:
    """What one run did now: originals removed and their bytes, refused, and withdrawn since the policy is `keep`."""

    removed: int = 0
    bytes: int = 0
    refused: int = 0
    withdrawn: int = 0


def remove_due(catalog: Catalog, buckets: Buckets, dataset: Dataset, day: date, *, threads: int) -> RemovalReport:
    """Plan the originals of one partition that may go, and remove those that are due.

    Args:
        catalog: what is planned, and where the copies are.
        buckets: where originals and copies are.
        dataset: the partition's dataset; where the catalogue knows a more careful policy of it, that one holds.
        day: the partition's day (UTC).
        threads: files to read and delete at once.

    Raises:
        StoreUnavailable: the store is out of reach, or lets nothing be deleted; what was removed is recorded.
    """
    run = _Run(catalog, buckets, dataset, day)
    run.plan()
    with ThreadPoolExecutor(threads) as pool:
        # A large file is read for seconds: fewer are locked at once.
        for large, limit in ((True, threads), (False, _SMALL_AT_ONCE)):
            last: int | None = 0
            while last is not None:
                last = run.step(pool, large=large, after=last, limit=limit)
    if run.denied is not None:
        raise run.denied
    return run.report


class _Run:
    def __init__(self, catalog: Catalog, buckets: Buckets, dataset: Dataset, day: date) -> None:
        self.report = RemovalReport()
        self.denied: StoreUnavailable | None = None
        self._fruitless = 0
        self._catalog = catalog
        self._buckets = buckets
        self._dataset = dataset
        self._day = day
        self._prover = Prover(catalog, buckets)

    def plan(self) -> None:
        with self._catalog.begin() as connection:
            policy = strictest(self._dataset, partitions.registered_datasets(connection))
            cleanups.plan(connection, policy, self._day, own_bucket=self._buckets.own.bucket)

    def step(self, pool: Executor, *, large: bool, after: int, limit: int) -> int | None:
        """Carry out one batch; returns the last file's id, None where nothing is left."""
        with self._catalog.begin() as connection:
            datasets = partitions.registered_datasets(connection)
            if strictest(self._dataset, datasets).originals_after_days is None:
                self.report.withdrawn += cleanups.withdraw(
                    connection, self._dataset.name, None, cleanups.POLICY_IS_KEEP
                )
                return None
            rows = cleanups.claim(connection, self._dataset.name, self._day, large=large, after=after, limit=limit)
            if not rows:
                return None
            fates = list(self._fates(connection, rows, datasets, pool))
            self._settle(connection, fates)
        self._count(fates)
        return rows[-1].file_id

    def _fates(
        self, connection: sa.Connection, rows: Sequence[FileRow], datasets: Sequence[Dataset], pool: Executor
    ) -> Iterator[Fate]:
        sharing = cleanups.sharing_their_place(connection, rows)
        sound = []
        for row in rows:
            reason = objection(row, datasets, own_bucket=self._buckets.own.bucket, shared=row.file_id in sharing)
            if reason is None:
                sound.append(row)
            else:
                yield Fate(row, "refused", reason)
        proven = []
        for proof in self._prover.prove(connection, sound, pool):
            if proof.holds:
                proven.append(proof.file)
            elif proof.unavailable is not None:
                yield Fate(proof.file, "planned", str(proof.unavailable), unavailable=proof.unavailable)
            else:
                yield Fate(proof.file, "refused", f"its copy is not proven: {proof.problem}", damaged=True)
        yield from pool.map(lambda row: remove_original(self._buckets, row), proven)

    def _count(self, fates: Sequence[Fate]) -> None:
        denials = [fate.unavailable for fate in fates if fate.unavailable is not None]
        self.denied = self.denied or next(iter(denials), None)
        self._fruitless = self._fruitless + 1 if len(denials) == len(fates) else 0
        if self.denied is not None and self._fruitless == _PATIENCE:
            raise self.denied

    def _settle(self, connection: sa.Connection, fates: Sequence[Fate]) -> None:
        gone = [fate.file for fate in fates if fate.state == "removed"]
        cleanups.mark_removed(connection, [file.file_id for file in gone])
        self.report.removed += len(gone)
        freed = sum(file.size for file in gone)
        self.report.bytes += freed
        counts = Counts()
        counts.add("des_cleanup_bytes_total", freed, dataset=self._dataset.name)
        for fate in fates:
            counts.add("des_cleanup_originals_total", dataset=self._dataset.name, outcome=fate.state)
            if fate.state == "planned":
                cleanups.note(connection, fate.file.file_id, fate.reason)
            elif fate.state == "refused":
                self._refuse(connection, fate)
        counts.write(connection)

    def _refuse(self, connection: sa.Connection, fate: Fate) -> None:
        file = fate.file
        cleanups.refuse(connection, file.file_id, fate.reason)
        self.report.refused += 1
        _LOG.warning("the original %s stays: %s", file.subject, fate.reason)
        if fate.damaged:
            letter = DeadLetter(STAGE, file.subject, fate.reason, dataset=file.dataset, seq=file.seq)
            dead_letters.add(connection, letter)


def strictest(dataset: Dataset, registered: Sequence[Dataset]) -> Dataset:
    """The dataset with the more careful of two policies: its own, and the one that the catalogue knows of it."""
    known = next((found for found in registered if found.name == dataset.name), None)
    if known is None or known.originals_after_days is None or dataset.originals_after_days is None:
        return dataset.model_copy(update={"originals": "keep"})
    return max(dataset, known, key=lambda found: found.originals_after_days or 0)


def objection(file: FileRow, datasets: Sequence[Dataset], *, own_bucket: str, shared: bool) -> str | None:
    """What speaks against the removal of a file's original, whatever was planned; None if nothing does.

    Args:
        file: the file as catalogued, locked.
        datasets: all that the catalogue knows.
        own_bucket: the platform's own bucket.
        shared: another file's original was catalogued under the same bucket and key.
    """
    owner = dataset_of(datasets, file.bucket, file.key)
    objections = {
        f"the file is {file.state}, not packed": file.state != "packed",
        "the original is the file's only copy": file.codec is not None and file.object_key is None,
        "it lies in the platform's own bucket": file.bucket == own_bucket,
        "its copy has the same key": file.key == file.object_key,
        "the store gave it no etag, so that nothing tells it from another object": not file.etag,
        f"{file.bucket}/{file.key} is no longer one of dataset {file.dataset}'s": owner is None
        or owner.name != file.dataset,
        "another file was catalogued under the same key": shared,
    }
    return next((reason for reason, applies in objections.items() if applies), None)
