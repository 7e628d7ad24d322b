"""A DataHub as a source of files: a month at a time, some files at once.

What is taken is in the ledger under the file's identifier, so taking a month again takes what is new, whoever killed
the last one and wherever. A month that was seen to its end leaves the fingerprint of its candidates as a checkpoint: it
waits again as soon as they are others, or one of the files given up in it was taken out of the ledger (`dead-letters
retry`). Nothing is written to the DataHub.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.catalog import checkpoints, source_rows
from des_platform.catalog.dataset import dataset_of
from des_platform.catalog.tables import source_rows as ledger
from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.candidates import Candidate, CandidateTable, Month, next_month
from des_platform.sources.datahub.client import DataHubClient
from des_platform.sources.datahub.report import TakeReport
from des_platform.sources.datahub.taking import FileTaker, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from des_platform.catalog.dataset import Dataset
    from des_platform.sources.datahub.config import DataHubConfig
    from des_platform.sources.recording import Recorder

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitingMonth:
    """A month with candidates that may not all be taken; `batch` changes whenever what waits does."""

    first: date
    files: int
    batch: str


class DataHubSource:
    """Takes files from one DataHub.

    Args:
        config: the DataHub.
        recorder: catalogue, object store and datasets.

    Raises:
        ConfigurationError: the landing prefix belongs to no dataset, or to one that takes the day from elsewhere.
    """

    def __init__(self, config: DataHubConfig, recorder: Recorder) -> None:
        self.config = config
        self.name = config.name
        self._catalog = recorder.catalog
        self._buckets = recorder.buckets
        self._dataset = _dataset_of_landing(config, recorder.datasets)

    def take(
        self,
        year: int,
        month: int,
        *,
        seconds: float | None = None,
        progress: Callable[[TakeReport], None] | None = None,
    ) -> TakeReport:
        """Take every candidate of a month that is not in the ledger.

        Args:
            year: year of the uploads, UTC.
            month: their month, 1 to 12.
            seconds: time budget; files that have begun are finished.
            progress: called in this thread with the report after each file.

        Raises:
            SourceUnavailable: the DataHub or its database serves nobody; no file is blamed.
            DataHubAccessDenied: the DataHub refuses the key.
            StoreUnavailable: the landing bucket cannot be written to.
            ConfigurationError: the month is none of the dataset's, or a variable is not set.
        """
        first = date(year, month, 1)
        self._check_month(first)
        started = time.monotonic()
        report = TakeReport(first)
        with closing(CandidateTable(self.config)) as table, DataHubClient(self.config) as client:
            # Before the first page: what arrives later makes the month wait again.
            seen = _only(table.months(first, next_month(first)))
            taker = FileTaker(self.config, client, self._catalog, self._buckets, self._dataset)
            with ThreadPoolExecutor(self.config.threads, thread_name_prefix=f"datahub-{self.name}") as pool:
                running: set[Future[Taken]] = set()
                try:
                    for candidate in self._untaken(table, report):
                        if seconds is not None and time.monotonic() - started >= seconds:
                            report.complete = False
                            break
                        if len(running) >= self.config.threads:
                            running = _collect(running, FIRST_COMPLETED, report, progress)
                        running.add(pool.submit(taker.take, candidate))
                    while running:
                        running = _collect(running, FIRST_COMPLETED, report, progress)
                except BaseException:
                    taker.stop()
                    raise
        report.seconds = time.monotonic() - started
        if report.complete:
            self._save(first, seen, report)
        _LOG.info("datahub %s, %s: %s", self.name, first.strftime("%Y-%m"), json.dumps(report.statistics()))
        return report

    def survey(self, year: int, month: int) -> TakeReport:
        """Count what `take` would take, without a request to the REST interface: candidates, bytes, known.

        Raises:
            SourceUnavailable: the DataHub's database cannot be read.
            ConfigurationError: the month is none of the dataset's, or a variable is not set.
        """
        report = TakeReport(date(year, month, 1))
        self._check_month(report.month)
        with closing(CandidateTable(self.config)) as table:
            for _ in self._untaken(table, report):
                pass
        return report

    def waiting(self) -> list[WaitingMonth]:
        """The months that have something to take, the earliest first.

        Raises:
            SourceUnavailable: the DataHub's database cannot be read.
        """
        with closing(CandidateTable(self.config)) as table:
            months = table.months(self.config.start, next_month(datetime.now(UTC).date()))
        with self._catalog.begin() as connection:
            positions = checkpoints.positions(connection, self.name)
            found = []
            for month in months:
                position = json.loads(positions.get(_part(month.first), "{}"))
                failures = position.get("failures", [])
                forgotten = set(failures) - source_rows.known(connection, self.name, failures)
                if position.get("fingerprint") != month.fingerprint or forgotten:
                    text = json.dumps([month.fingerprint, sorted(forgotten)])
                    batch = hashlib.sha256(text.encode()).hexdigest()[:16]
                    found.append(WaitingMonth(month.first, month.files, batch))
        return found

    def _untaken(self, table: CandidateTable, report: TakeReport) -> Iterator[Candidate]:
        for page in table.of_month(report.month):
            ids = [candidate.file_id for candidate in page]
            with self._catalog.begin() as connection:
                known = source_rows.known(connection, self.name, ids)
                failed = sa.and_(ledger.c.source == self.name, ledger.c.row_id.in_(known), ledger.c.seq.is_(None))
                report.remember_failures(connection.scalars(sa.select(ledger.c.row_id).where(failed)))
            report.candidates += len(page)
            report.candidate_bytes += sum(candidate.size or 0 for candidate in page)
            report.known += len(known)
            yield from (candidate for candidate in page if candidate.file_id not in known)

    def _check_month(self, first: date) -> None:
        dataset = self._dataset
        if first < dataset.start.replace(day=1) or (dataset.end is not None and first >= dataset.end):
            until = f" to before {dataset.end}" if dataset.end else " on"
            raise ConfigurationError(
                f"datahub {self.name}: files of {first:%Y-%m} would land in dataset {dataset.name}, "
                f"which goes from {dataset.start}{until}; widen the dataset, or ask for another month"
            )

    def _save(self, first: date, seen: Month | None, report: TakeReport) -> None:
        position = {"fingerprint": seen.fingerprint if seen else "", "failures": report.failures}
        with self._catalog.begin() as connection:
            checkpoints.save(connection, self.name, {_part(first): json.dumps(position)})


def _collect(
    running: set[Future[Taken]], until: str, report: TakeReport, progress: Callable[[TakeReport], None] | None
) -> set[Future[Taken]]:
    """Enter what has ended into the report, in the one thread that owns it."""
    done, left = wait(running, return_when=until)
    for future in done:
        taken = future.result()
        if taken.problem is None:
            report.taken += 1
            report.new += taken.new
            report.bytes += taken.bytes
        else:
            report.failed += 1
            report.remember_failures([taken.file_id])
            _LOG.warning("given up: %s", taken.problem)
        if progress:
            progress(report)
    return left


def _dataset_of_landing(config: DataHubConfig, datasets: Sequence[Dataset]) -> Dataset:
    landing = config.landing
    dataset = dataset_of(datasets, landing.bucket, landing.prefix)
    place = f"datahubs.{config.name}.landing is {landing.bucket}/{landing.prefix}"
    if dataset is None:
        known = ", ".join(sorted(f"{dataset.bucket}/{dataset.prefix}*" for dataset in datasets)) or "none"
        raise ConfigurationError(
            f"{place}, which belongs to no dataset: known are {known}. Add a dataset with this bucket and prefix; it "
            "is known as soon as a sensor of its code location has run"
        )
    if not dataset.day_in_key:
        # A listing that comes across a file first would take the day on which it was put for its day.
        raise ConfigurationError(f"{place} in dataset {dataset.name}, which must take the day from the key: day_in_key")
    return dataset


def _only(months: list[Month]) -> Month | None:
    return months[0] if months else None


def _part(first: date) -> str:
    return first.strftime("%Y-%m")
