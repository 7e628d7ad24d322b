"""The marker: names, hashes and shards for the rows of a source table, before their files are claimed.

A pass goes through the table once, in the order of the ids, a batch at a time. A batch is looked for, then named in one
short transaction of the source; waiting for the rate, and for the next attempt after a failure that passes, happens
outside of any transaction. A batch that is refused is halved until the row that is refused stands alone.

Such a row becomes a dead letter of the catalogue, under the origin `<source>.marker`, and is in its ledger: no later
pass chooses it again until `dead-letters retry` takes it out there, and it holds up no row behind it. While many rows
are refused and none is named, the table is to blame and not its rows: then the pass fails, and nothing is given up.

Names are those of a leased node, so two markers, and everybody else who mints, never give the same one. The counters
are written behind each batch: a kill in between loses counts, never names.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from des_platform.catalog.nodes import leased_node
from des_platform.naming import NameMinter
from des_platform.settings import ConfigurationError
from des_platform.sources.marking.passing import HashStrategy, MarkerPass, Sha256
from des_platform.sources.marking.table import MOST_ROWS, MarkerTable
from des_platform.sources.pace import TokenBucket

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog
    from des_platform.sources.databases.config import DatabaseSource
    from des_platform.sources.marking.stats import MarkerStats


class Marker:
    """Marks the rows of one source.

    Args:
        source: the source, with its table and its `marker`.
        catalog: ledger, dead letters, counters and naming nodes.
        name_prefix: first part of the names.
        strategy: hash of the names; SHA-256 if omitted.
        stop: set from outside to end a pass behind the batch in hand.

    Raises:
        ConfigurationError: the source has no marker.
    """

    def __init__(
        self,
        source: DatabaseSource,
        catalog: Catalog,
        *,
        name_prefix: str,
        strategy: HashStrategy | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        if source.marker is None:
            raise ConfigurationError(f"{source.what} has no marker: add `marker: {{}}` to it in the sources file")
        self.name = source.name
        self._source = source
        self._config = source.marker
        self._catalog = catalog
        self._prefix = name_prefix
        self._strategy = strategy or Sha256()
        self._stop = stop or threading.Event()
        rate = self._config.rate_limit
        self._pace = TokenBucket(rate, sleep=self._wait) if rate else None
        # A second's worth at most: a batch in hand is finished, whoever asks to stop.
        self._batch_rows = min(self._config.batch_size, MOST_ROWS, max(1, int(rate)) if rate else MOST_ROWS)

    def run(self, *, seconds: float | None = None) -> MarkerStats:
        """Mark every row that waits, once through the table.

        Args:
            seconds: time budget; a batch that has begun is finished.

        Raises:
            SourceUnavailable: the source's server cannot be reached; no row is blamed.
            ConfigurationError: the table is not as configured, or refuses every row.
        """
        started = time.monotonic()
        name_chars = len(f"{self._prefix}_YYYYMMDD_(FFFFFFFFFFFF_CC)")
        with closing(MarkerTable.open(self._source, name_chars)) as table, leased_node(self._catalog) as leased:
            minter = NameMinter(self._prefix, leased.node, reserve=leased.reserve)
            done = MarkerPass(self._source, self._config, self._catalog, table, minter, self._strategy)
            after: object = None
            while not self._stop.is_set() and (seconds is None or time.monotonic() - started < seconds):
                ids = done.waiting(after, self._batch_rows)
                if not ids:
                    break
                after = ids[-1]
                marked = done.batch(ids)
                if self._pace:
                    self._pace.take(marked)
            done.end()
        done.stats.seconds = time.monotonic() - started
        return done.stats

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)
