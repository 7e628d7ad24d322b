"""A source database drained: rows claimed, recorded, kept, and told what became of their files.

The protocol, and what a kill between any two steps leaves behind:

1. The outcome of files that are settled is written into their rows, then the ledger closes them. Killed in between:
   the rows are written again, which finds them written.
2. Claims of files still on their way are renewed before they run out. Killed: they run out and are taken anew, and
   recording a row again changes nothing.
3. Rows are claimed in the source's own transaction, then recorded in the catalogue's: inbox, ledger, dead letters and
   counters in one. Killed in between: the claim runs out and the row comes back. A row that stands for no file is a
   dead letter, and its failure is written back like any other outcome.

So every row is recorded, none twice, whatever dies. A row that its owner sets to pending again is taken again, and a
file that had been given up gets another chance. Rows are taken oldest first; each draining begins at the head of the
table and goes on behind what it has claimed, so rows of a worker that is away are passed over once and not before every
claim, and rows whose claims ran out share each draining with new ones.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from des_platform.catalog import dead_letters, files, inbox, source_rows
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.inbox import InboxEntry
from des_platform.catalog.metrics import Counts
from des_platform.catalog.source_rows import SourceRow
from des_platform.objectstore import StoreUnavailable
from des_platform.settings import ConfigurationError
from des_platform.sources.databases.claims import SourceTable
from des_platform.sources.databases.dialects import CHUNK, Worker
from des_platform.sources.databases.rows import BadRow, body_of, event_of, meta_of, name_of
from des_platform.sources.recording import Prepared
from des_platform.sources.source import DrainReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.sources.databases.claims import ClaimedRow
    from des_platform.sources.databases.config import DatabaseSource
    from des_platform.sources.recording import Recorder

_log = logging.getLogger(__name__)

COUNTED = 100_000
"""Counting further would read the whole table at every tick."""

_LOCK = 0x0DE5_0003
_THREADS = 8
_STAGE = "database"


class DatabaseDrain:
    """One source database, as one of several workers that share it.

    Args:
        source: as configured.
        recorder: where files go.
        worker: which of the workers this is, from 0.
        workers: how many share the source.
    """

    kind: Literal["database"] = "database"

    def __init__(self, source: DatabaseSource, recorder: Recorder, *, worker: int = 0, workers: int = 1) -> None:
        self._source = source
        self._recorder = recorder
        self._catalog = recorder.catalog
        # Two platforms on one table tell their claims apart by the name of their catalogue.
        self._worker = Worker(worker, workers, self._catalog.engine.url.database or "des")
        self._table: SourceTable | None = None

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._source.name

    def close(self) -> None:
        """Close every connection to the source; the next draining opens them again."""
        if self._table is not None:
            self._table.close()
            self._table = None

    def drain(self, *, seconds: float) -> DrainReport:
        """Write back, renew, and claim and record until no row waits or the time is up.

        Args:
            seconds: time budget; at most half of it is spent on rows that were claimed before.

        Raises:
            SourceUnavailable: the source cannot be reached.
            ConfigurationError: its configuration does not fit the database.
            StoreUnavailable: rows were claimed, and the object store could not be asked about any of their files.
        """
        started = time.monotonic()
        report = DrainReport()
        try:
            table = self._opened()
            with self._alone() as alone:
                if alone:
                    self._write_back(table, report, until=started + seconds / 3)
                    self._renew(table, until=started + seconds / 2)
            self._take(table, report, until=started + seconds)
            with self._alone() as alone:
                if alone:  # what was refused a moment ago need not wait for the next time
                    self._write_back(table, report, until=started + seconds)
        except ConfigurationError:
            self.close()  # the table may be another when it has been corrected
            raise
        finally:
            report.seconds = time.monotonic() - started
        return report

    def backlog(self) -> dict[str, int]:
        """Rows that wait and rows that are claimed, of all workers; each counted no further than `COUNTED`.

        Raises:
            SourceUnavailable: the source cannot be reached.
            ConfigurationError: its configuration does not fit the database.
        """
        waiting, claimed = self._opened().count(COUNTED)
        return {"waiting": waiting, "in_flight": claimed}

    def retry(self, row_ids: Sequence[str]) -> int:
        """Let rows that failed wait again, so that the next draining takes them; returns how many had failed.

        Raises:
            SourceUnavailable: the source cannot be reached.
            ConfigurationError: its configuration does not fit the database.
        """
        return self._opened().reset(row_ids)

    def _opened(self) -> SourceTable:
        if self._table is None:
            self._table = SourceTable.open(self._source, self._worker)
        return self._table

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other worker writes outcomes of this source now: they would write the same rows."""
        key = sa.func.hashtext(self.name)
        with self._catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            alone = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK, key))))
            try:
                yield alone
            finally:
                if alone:
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK, key)))

    def _write_back(self, table: SourceTable, report: DrainReport, *, until: float) -> None:
        while time.monotonic() < until:
            with self._catalog.begin() as connection:
                rows = source_rows.settled(connection, self.name, CHUNK)
            if not rows:
                return
            refused = table.write_back(rows)
            counts = Counts()
            for row in rows:
                outcome = "refused" if row.row_id in refused else row.outcome
                counts.add("des_source_rows_written_back_total", source_db=self.name, outcome=outcome)
            letters = [
                DeadLetter(
                    _STAGE,
                    self._subject(table, row_id),
                    f"its outcome could not be written back: {reason}",
                    origin=self.name,
                    reference=row_id,
                )
                for row_id, reason in refused.items()
            ]
            with self._catalog.begin() as connection:
                source_rows.close(connection, self.name, sorted(row.row_id for row in rows))
                dead_letters.add(connection, *letters)
                counts.write(connection)
            report.dead += len(letters)

    def _renew(self, table: SourceTable, *, until: float) -> None:
        age = self._source.claim_timeout_seconds / 2
        while time.monotonic() < until:
            with self._catalog.begin() as connection:
                row_ids = source_rows.expiring(connection, self.name, older_than_seconds=age, limit=CHUNK)
            if not row_ids:
                return
            held = table.renew(row_ids)
            if held < len(row_ids):
                _log.warning("%s: %d claims are no longer ours", self._source.what, len(row_ids) - held)
            with self._catalog.begin() as connection:
                source_rows.renew(connection, self.name, sorted(row_ids))

    def _take(self, table: SourceTable, report: DrainReport, *, until: float) -> None:
        expired, after = True, None
        while time.monotonic() < until:
            if expired:
                expired = self._take_batch(table, report, None, expired=True)[0] == self._source.batch_size
            rows, last = self._take_batch(table, report, after, expired=False)
            if not rows and after is None and not expired:
                return
            after = last if rows == self._source.batch_size else None

    def _take_batch(
        self, table: SourceTable, report: DrainReport, after: object, *, expired: bool
    ) -> tuple[int, object]:
        started = time.monotonic()
        claim = table.claim(self._source.batch_size, after=after, expired=expired)
        counts = Counts()
        counts.observe("des_source_claim_duration_seconds", time.monotonic() - started, source_db=self.name)
        if not claim.rows:
            return 0, None
        counts.add("des_source_rows_claimed_total", len(claim.rows), source_db=self.name)
        if expired:
            counts.add("des_recovery_stale_claims_total", len(claim.rows), source_db=self.name)
        self._record(table, claim.rows, counts, report)
        return len(claim.rows), claim.last

    def _record(self, table: SourceTable, rows: Sequence[ClaimedRow], counts: Counts, report: DrainReport) -> None:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(self._entry_of, rows))
        errors = [entry for entry in found if isinstance(entry, StoreUnavailable)]
        if len(errors) == len(rows):
            raise errors[0]
        if errors:
            report.note = f"Rows that wait for the object store: {len(errors)} ({errors[0]})."
        prepared = Prepared(self.name, len(rows))
        entries: dict[str, InboxEntry] = {}
        taken = []
        for row, entry in zip(rows, found, strict=True):
            if isinstance(entry, InboxEntry):
                entries[row.row_id] = entry
            elif isinstance(entry, str):
                taken.append(SourceRow(row.row_id, error=entry))
                prepared.letters.append(
                    DeadLetter(
                        _STAGE,
                        self._subject(table, row.row_id),
                        entry,
                        body_of(row),
                        origin=self.name,
                        reference=row.row_id,
                    )
                )
        with self._catalog.begin() as connection:
            prepared.entries = _without_old_names(connection, list(entries.values()))
            report += prepared.write(connection)
            seqs = inbox.seqs(connection, [(entry.bucket, entry.key, entry.etag) for entry in entries.values()])
            taken += [SourceRow(row_id, seqs[entry.bucket, entry.key, entry.etag]) for row_id, entry in entries.items()]
            source_rows.open_rows(connection, self.name, taken)
            counts.write(connection)

    def _entry_of(self, row: ClaimedRow) -> InboxEntry | StoreUnavailable | str:
        try:
            event, name, meta = event_of(row), name_of(row), meta_of(row, self.name)
            entry = self._recorder.entry_of(event)
        except BadRow as error:
            return str(error)
        except StoreUnavailable as error:
            return error  # one object that the store refuses must not hold its neighbours; its claim runs out
        if isinstance(entry, InboxEntry):
            return replace(entry, source=f"db:{self.name}", name=name, meta=meta)
        return entry

    def _subject(self, table: SourceTable, row_id: str) -> str:
        return f"row {row_id} of {table.name}"


def _without_old_names(connection: sa.Connection, entries: Sequence[InboxEntry]) -> list[InboxEntry]:
    """The entries, without the names that were written back for an earlier version of the same file."""
    known: dict[tuple[str, str], str] = {}
    for bucket in {entry.bucket for entry in entries if entry.name}:
        keys = [entry.key for entry in entries if entry.name and entry.bucket == bucket]
        known |= {(bucket, key): row.name for key, row in files.by_keys(connection, bucket, keys).items()}
    return [
        replace(entry, name=None) if entry.name and known.get((entry.bucket, entry.key)) == entry.name else entry
        for entry in entries
    ]
