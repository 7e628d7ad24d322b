"""One pass of the marker: batches named, rows that refuse their name found and given up, everything counted."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from des_platform.catalog import dead_letters, source_rows
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.metrics import Counts
from des_platform.catalog.source_rows import SourceRow
from des_platform.settings import ConfigurationError
from des_platform.sources.marking.stats import MarkerStats
from des_platform.sources.marking.table import Mark, RowRefused
from des_platform.sources.retrying import retrying
from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from tenacity import AttemptManager

    from des_platform.catalog.database import Catalog
    from des_platform.naming import NameMinter
    from des_platform.sources.databases.config import DatabaseSource, MarkerConfig
    from des_platform.sources.marking.table import MarkerTable

MANY_REFUSED = 100
"""So many rows refused and none named in a pass: the table is to blame."""

_STAGE = "marker"


class HashStrategy(Protocol):
    """How a name becomes the hash whose first byte is its shard."""

    def digest(self, name: str) -> bytes:
        """The hash of a name; at least one byte."""


class Sha256:
    """SHA-256 of the name's UTF-8 bytes, as everywhere in the platform."""

    def digest(self, name: str) -> bytes:
        """The hash of a name, 32 bytes."""
        return hashlib.sha256(name.encode()).digest()


@dataclass(frozen=True, slots=True)
class _Refused:
    row: object
    kind: str
    reason: str
    attempts: int


class MarkerPass:
    """One pass through one table.

    Args:
        source: the source; its name and its marker's retries are used.
        config: the source's marker.
        catalog: ledger, dead letters and counters.
        table: where the rows are.
        minter: gives names.
        strategy: hashes them.
    """

    def __init__(
        self,
        source: DatabaseSource,
        config: MarkerConfig,
        catalog: Catalog,
        table: MarkerTable,
        minter: NameMinter,
        strategy: HashStrategy,
    ) -> None:
        self.stats = MarkerStats()
        self._origin = ledger_of(source)
        self._config = config
        self._catalog = catalog
        self._table = table
        self._minter = minter
        self._strategy = strategy
        self._refused: list[_Refused] = []
        self._refusals = 0
        self._counts = Counts()

    def waiting(self, after: object, limit: int) -> list[object]:
        """Ids of the next rows; tried again while the server is away for a moment.

        Raises:
            SourceUnavailable: it stays away.
        """
        found: list[object] = []
        config = self._config
        for attempt in retrying(config.max_retries + 1, base=config.backoff_base, on=SourceUnavailable):
            with attempt:
                found = self._table.waiting(after, limit)
        return found

    def batch(self, ids: Sequence[object]) -> int:
        """Name rows; returns how many were named.

        Raises:
            SourceUnavailable: the server cannot be reached.
            ConfigurationError: it does not understand the statement, or the user may not write.
        """
        started = time.monotonic()
        row_ids = self._table.row_ids(ids)
        with self._catalog.begin() as connection:
            given_up = source_rows.known(connection, self._origin, row_ids)
        live = [row for row, row_id in zip(ids, row_ids, strict=True) if row_id not in given_up]
        if not live:
            return 0
        before = self.stats.failed
        marked = self._mark(live)
        seconds = time.monotonic() - started
        self.stats.add_marked(marked, seconds * 1000)
        if self.stats.marked:
            self._give_up()
        self._count(len(live), marked, self.stats.failed - before, seconds)
        return marked

    def end(self) -> None:
        """Give up what was refused.

        Raises:
            ConfigurationError: many rows were refused and none was named; nothing is given up.
        """
        if not self.stats.marked and self._refusals > MANY_REFUSED:
            raise ConfigurationError(
                f"{self._origin}: none of {self._refusals} rows could be marked, so none is given up. "
                f"The table refuses them: {self._refused[0].reason}"
            )
        self._give_up()
        with self._catalog.begin() as connection:
            self._counts.write(connection)

    def _mark(self, ids: Sequence[object]) -> int:
        attempts = 0
        try:
            for attempt in self._attempts():
                attempts += 1
                with attempt:
                    return self._table.mark(ids, self._mark_of)
        except RowRefused as error:
            refused = error
        except sa.exc.DBAPIError as error:
            refused = self._table.refusal(error)
            if not self._table.is_reachable():
                raise SourceUnavailable(str(refused)) from None
        if len(ids) > 1:
            half = len(ids) // 2
            return self._mark(ids[:half]) + self._mark(ids[half:])
        self._refusals += 1
        self._note_error(refused.kind)
        # The table may be to blame: so many rows prove it, and a later pass finds the others again.
        if self.stats.marked or len(self._refused) < MANY_REFUSED:
            self._refused.append(_Refused(ids[0], refused.kind, str(refused), attempts))
        return 0

    def _attempts(self) -> Iterator[AttemptManager]:
        config = self._config
        tried = retrying(config.max_retries + 1, base=config.backoff_base, on=self._table.passes)
        for number, attempt in enumerate(tried):
            if number:
                self.stats.retries += 1
                self._counts.add("des_marker_retries_total", attempt=str(number))
                self._note_error("TransientFailure")
            yield attempt

    def _note_error(self, kind: str) -> None:
        self.stats.errors[kind] += 1
        self._counts.add("des_marker_errors_total", error_type=kind)

    def _mark_of(self, day: date) -> Mark:
        name = self._minter.mint(day)
        try:
            digest = self._strategy.digest(name)
            return Mark(name, digest.hex(), digest[0])
        except Exception as error:  # noqa: BLE001 - a strategy is anybody's code, and must not stop the neighbours
            raise RowRefused(type(error).__name__, f"the hash of {name} failed: {error}") from None

    def _give_up(self) -> None:
        refused, self._refused = self._refused, []
        if not refused:
            return
        row_ids = self._table.row_ids([one.row for one in refused])
        letters = [
            DeadLetter(_STAGE, f"{self._origin}: row {row_id}", one.reason, origin=self._origin, reference=row_id)
            for row_id, one in zip(row_ids, refused, strict=True)
        ]
        rows = [SourceRow(row_id, error=one.reason) for row_id, one in zip(row_ids, refused, strict=True)]
        self._counts.add("des_marker_entries_marked_total", len(refused), status="failed")
        self._counts.add("des_marker_dlq_entries_total", len(refused))
        with self._catalog.begin() as connection:
            dead_letters.add(connection, *letters)
            source_rows.open_rows(connection, self._origin, rows)
            source_rows.close(connection, self._origin, row_ids)  # nobody writes them back
            self._counts.write(connection)
        for one in refused:
            self._table.note_failure(one.row, one.reason, one.attempts)
        self.stats.failed += len(refused)
        self.stats.processed += len(refused)

    def _count(self, rows: int, marked: int, failed: int, seconds: float) -> None:
        counts = self._counts
        counts.add("des_marker_entries_marked_total", marked, status="marked")
        counts.observe("des_marker_batch_size", rows)
        counts.observe("des_marker_batch_duration_seconds", seconds)
        for _ in range(marked):
            counts.observe("des_marker_entry_latency_ms", seconds * 1000)
        last = {"processed": rows, "marked": marked, "failed": failed, "latency_ms": seconds * 1000}
        for metric, value in last.items():
            counts.set("des_marker_batch_stats", value, metric=metric)
        counts.set("des_marker_rate_limit_ops_per_sec", self._config.rate_limit or 0)
        with self._catalog.begin() as connection:
            counts.write(connection)


def ledger_of(source: DatabaseSource) -> str:
    """Under which name rows that were given up stand in the ledger and in the dead letters; no source's own name."""
    return f"{source.name}.marker"
