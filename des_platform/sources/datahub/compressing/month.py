"""All files of a month, some at once: first what a killed run left half done, then every candidate.

The end is the same however often a run is killed: each candidate is replaced by one proven copy, known not to shrink,
or a dead letter with its original in place. Candidates that failed are tried again by every run; those that do not
shrink, and those whose copies stand beside kept originals, never. Files of a DataHub that the platform takes files
from wait until they are taken: the copy is another file to the DataHub, which `datahub_files` leaves alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.catalog import checkpoints, source_rows
from des_platform.catalog.tables import source_rows as taken_rows
from des_platform.sources.datahub.candidates import next_month
from des_platform.sources.datahub.client import DataHubClient
from des_platform.sources.datahub.compressing.ledger import Ledger, State, failures_source
from des_platform.sources.datahub.compressing.lock import month_lease
from des_platform.sources.datahub.compressing.replacing import FileReplacer, Replaced
from des_platform.sources.datahub.compressing.report import CompressReport
from des_platform.sources.datahub.compressing.table import FileTable
from des_platform.sources.datahub.config import Compress, DataHubConfig
from des_platform.sources.datahub.source import WaitingMonth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.leases import Lease
    from des_platform.sources.datahub.candidates import Candidate, Month
    from des_platform.sources.datahub.config import DataHubAccess

    Work = Callable[[], Replaced]
    Progress = Callable[[CompressReport], None]

_LOG = logging.getLogger(__name__)


class MonthCompressor:
    """Compresses the files of one DataHub there.

    Args:
        config: the DataHub; one with a landing place has its files taken first.
        catalog: where the ledger is.
        scratch: folder for compressed bytes on their way.
        lease_seconds: life of a month's lease without renewal.
    """

    def __init__(self, config: DataHubAccess, catalog: Catalog, scratch: Path, *, lease_seconds: float) -> None:
        self.config = config
        self._compress = config.compress or Compress()
        self._catalog = catalog
        self._scratch = scratch
        self._lease_seconds = lease_seconds

    def run(self, year: int, month: int, *, dry_run: bool = False, progress: Progress | None = None) -> CompressReport:
        """Compress every candidate of a month.

        Args:
            year: year of the uploads, UTC.
            month: their month, 1 to 12.
            dry_run: download and compress, and leave everything as it is.
            progress: called in this thread with the report before the first file and after each.

        Raises:
            MonthBusy: another process compresses this month.
            SourceUnavailable: the DataHub or its database serves nobody.
            DataHubAccessDenied: the DataHub refuses the key.
            ConfigurationError: a variable is not set, or the scratch folder cannot be written to.
        """
        report = CompressReport(date(year, month, 1), dry_run=dry_run)
        with ExitStack() as stack:
            table = stack.enter_context(closing(FileTable(self.config)))
            client = stack.enter_context(DataHubClient(self.config))
            name = f"{self.config.name}:compress:{report.month:%Y-%m}"
            lease = (
                None if dry_run else stack.enter_context(month_lease(self._catalog, name, seconds=self._lease_seconds))
            )
            self._run(table, client, lease, report, progress)
        report.end()
        _LOG.info("datahub %s, %s: %s", self.config.name, f"{report.month:%Y-%m}", json.dumps(report.statistics()))
        return report

    def waiting(self, first: date) -> list[WaitingMonth]:
        """The months with files to compress, the earliest first.

        Args:
            first: first day of the first month to look at.

        Raises:
            SourceUnavailable: the DataHub's database cannot be read.
        """
        with closing(FileTable(self.config)) as table:
            months = table.months(first, next_month(datetime.now(UTC).date()))
        source = failures_source(self.config.name)
        with self._catalog.begin() as connection:
            positions = checkpoints.positions(connection, source)
            found = []
            for month in months:
                position = json.loads(positions.get(f"{month.first:%Y-%m}", "{}"))
                failures, untaken = position.get("failures", []), position.get("untaken", [])
                again = set(failures) - source_rows.known(connection, source, failures)
                again |= self._taken(connection, untaken)
                if position.get("fingerprint") != month.fingerprint or again:
                    text = json.dumps([month.fingerprint, sorted(again)])
                    batch = hashlib.sha256(text.encode()).hexdigest()[:16]
                    found.append(WaitingMonth(month.first, month.files, batch))
        return found

    def _run(
        self,
        table: FileTable,
        client: DataHubClient,
        lease: Lease | None,
        report: CompressReport,
        progress: Progress | None,
    ) -> None:
        ledger = Ledger(self._catalog, self.config.name, report.month, lease)
        replacer = FileReplacer(self.config, client, table, ledger, self._scratch)
        before = self._survey(table, report.month)
        report.candidates = before.files if before else 0
        if progress:
            progress(report)
        if lease is None:
            self._work(self._trials(table, ledger, replacer, report), replacer, report, progress)
            return
        self._work(self._half_done(ledger, replacer), replacer, report, progress)
        self._work(self._replacements(table, ledger, replacer, report), replacer, report, progress)
        self._save(table, ledger, report)

    def _half_done(self, ledger: Ledger, replacer: FileReplacer) -> Iterator[Work]:
        states = [State.UPLOADING, State.UPLOADED, State.DISCARDING]
        for entry in ledger.in_states(*states, *([] if self._compress.keep_originals else [State.PROVEN])):
            yield partial(replacer.replace, entry.file_id, entry)

    def _replacements(
        self, table: FileTable, ledger: Ledger, replacer: FileReplacer, report: CompressReport
    ) -> Iterator[Work]:
        tried = set(report.failures)
        for page in self._open_candidates(table, ledger, report):
            ids = [candidate.file_id for candidate in page if candidate.file_id not in tried]
            entries = ledger.entries(ids)
            copies = table.copies_of(ids) if ids else []
            for file_id in ids:
                mine = [copy for copy in copies if copy.original_id == file_id]
                yield partial(replacer.replace, file_id, entries.get(file_id), mine)

    def _trials(
        self, table: FileTable, ledger: Ledger, replacer: FileReplacer, report: CompressReport
    ) -> Iterator[Work]:
        for page in self._open_candidates(table, ledger, report):
            for candidate in page:
                yield partial(replacer.try_out, candidate.file_id, candidate.size)

    def _open_candidates(self, table: FileTable, ledger: Ledger, report: CompressReport) -> Iterator[list[Candidate]]:
        """The candidates that are neither settled nor to be taken into the platform first."""
        for page in table.of_month(report.month):
            ids = [candidate.file_id for candidate in page]
            settled = {entry.file_id for entry in ledger.entries(ids).values() if self._is_settled(entry.state)}
            left = [candidate for candidate in page if candidate.file_id not in settled]
            untaken = self._untaken([candidate.file_id for candidate in left])
            report.known += len(settled)
            report.leave(untaken)
            yield [candidate for candidate in left if candidate.file_id not in untaken]

    def _is_settled(self, state: State) -> bool:
        return state in (State.DONE, State.UNWORTHY) or (state is State.PROVEN and self._compress.keep_originals)

    def _untaken(self, file_ids: list[str]) -> set[str]:
        if not isinstance(self.config, DataHubConfig):
            return set()
        with self._catalog.begin() as connection:
            return set(file_ids) - self._taken(connection, file_ids)

    def _taken(self, connection: sa.Connection, file_ids: list[str]) -> set[str]:
        mine = sa.and_(
            taken_rows.c.source == self.config.name, taken_rows.c.row_id.in_(file_ids), taken_rows.c.seq.is_not(None)
        )
        return set(connection.scalars(sa.select(taken_rows.c.row_id).where(mine)))

    def _work(
        self,
        work: Iterable[Work],
        replacer: FileReplacer,
        report: CompressReport,
        progress: Progress | None,
    ) -> None:
        """Do some work at once; one thread, this one, owns the report."""
        limit = self.config.threads
        with ThreadPoolExecutor(limit, thread_name_prefix=f"datahub-{self.config.name}") as pool:
            running: set[Future[Replaced]] = set()
            try:
                for task in work:
                    if len(running) >= limit:
                        running = _collect(running, report, progress)
                    running.add(pool.submit(task))
                while running:
                    running = _collect(running, report, progress)
            except BaseException:
                replacer.stop()
                raise

    def _survey(self, table: FileTable, first: date) -> Month | None:
        return next(iter(table.months(first, next_month(first))), None)

    def _save(self, table: FileTable, ledger: Ledger, report: CompressReport) -> None:
        """Note which candidates are left, so that a month waits again when others come.

        The fingerprint is taken before each candidate is looked for in the ledger: what arrived meanwhile is not there,
        and the month goes on waiting.
        """
        left = self._survey(table, report.month)
        left_alone = {*report.failures, *report.untaken}
        complete = True
        for page in table.of_month(report.month):
            ids = [candidate.file_id for candidate in page if candidate.file_id not in left_alone]
            settled = ledger.entries(ids)
            complete &= all(file_id in settled and self._is_settled(settled[file_id].state) for file_id in ids)
        position = {
            "fingerprint": left.fingerprint if left and complete else "",
            "failures": report.failures,
            "untaken": report.untaken,
        }
        with self._catalog.begin() as connection:
            part = f"{report.month:%Y-%m}"
            checkpoints.save(connection, failures_source(self.config.name), {part: json.dumps(position)})


def _collect(
    running: set[Future[Replaced]], report: CompressReport, progress: Progress | None
) -> set[Future[Replaced]]:
    done, left = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        replaced = future.result()
        report.add(replaced)
        if replaced.problem:
            _LOG.warning("not compressed: %s", replaced.problem)
        if progress:
            progress(report)
    return left
