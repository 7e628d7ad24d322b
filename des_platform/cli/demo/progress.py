"""How far the demo has come, a line per stage, from the catalogue alone."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from des_platform.catalog import containers, dead_letters, files, inbox, partitions

if TYPE_CHECKING:
    from rich.table import Table

    from des_platform.catalog.database import Catalog
    from des_platform.cli.demo.feed import Fed

_PLAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Stages:
    """Counts and bytes of every stage."""

    fed: int
    fed_bytes: int
    inbox: int
    pending: int
    files: files.Totals
    rows: int
    rejected: int
    archives: int
    archive_bytes: int
    dead_letters: int

    @property
    def settled(self) -> bool:
        """Whether every file that the inbox knows is packed or given up."""
        return self.pending == 0 and self.files.packed + self.files.failed == self.files.files

    def lines(self) -> list[tuple[str, int, int, str]]:
        """Stage, done, total, and a remark."""
        total = max(self.fed, self.inbox)
        found = self.files
        large = f"{found.compressed_bytes_in / 1e6:,.0f} -> {found.compressed_bytes_out / 1e6:,.0f} MB"
        return [
            ("fed", self.fed, total, f"{self.fed_bytes / 1e6:,.1f} MB"),
            ("inbox", self.inbox, total, f"{self.dead_letters} dead letters"),
            ("raw_files", found.files, total, f"{found.bytes / 1e6:,.1f} MB"),
            ("compressed_objects", found.files - found.catalogued, total, f"{found.compressed} objects, {large}"),
            ("table", self.rows, self.rows + self.rejected, f"rows, {self.rejected} rejected"),
            ("des_shards", found.packed, total, f"{self.archives} archives, {self.archive_bytes / 1e6:,.1f} MB"),
        ]


def look(catalog: Catalog, fed: Fed) -> Stages:
    """Ask the catalogue."""
    with catalog.begin() as connection:
        tally = inbox.tally(connection)
        rows, rejected = partitions.table_rows(connection)
        archives, archive_bytes = containers.count_published(connection)
        return Stages(
            fed=len(fed.digests),
            fed_bytes=fed.bytes,
            inbox=sum(tally.values()),
            pending=tally["pending"],
            files=files.totals(connection),
            rows=rows,
            rejected=rejected,
            archives=archives,
            archive_bytes=archive_bytes,
            dead_letters=dead_letters.count(connection),
        )


class Progress:
    """Shows stages on standard error: bars on a terminal, a line each few seconds elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4) if sys.stderr.isatty() else None
        self._started = time.monotonic()
        self._last_line = 0.0
        self._last: Stages | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, stages: Stages) -> None:
        """Show where the stages are."""
        if self._live is not None:
            self._live.update(self._table(stages))
        elif stages != self._last and time.monotonic() > self._last_line + _PLAIN_SECONDS:
            self.line(stages)
        self._last = stages

    def line(self, stages: Stages) -> None:
        """Print one line with every stage."""
        self._last_line = time.monotonic()
        text = "  ".join(f"{stage} {done:,}/{total:,}" for stage, done, total, _ in stages.lines())
        self._console.print(f"{time.monotonic() - self._started:6.1f} s  {text}", highlight=False, soft_wrap=True)

    def bar(self, what: str, done: int, total: int) -> None:
        """Show how far one thing has come."""
        if self._live is not None:
            self._live.update(f"{what} {done:,}/{total:,}")
        elif done == total:
            self.say(f"{time.monotonic() - self._started:6.1f} s  {what} {done:,}/{total:,}")

    def say(self, text: str) -> None:
        """Print a line above the stages."""
        # Names of files and causes of failures are in it: '[/a]' is a folder, no markup.
        self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _table(self, stages: Stages) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for stage, done, total, remark in stages.lines():
            bar = ProgressBar(total=max(total, 1), completed=done, width=14)  # fits a terminal of 80 columns
            table.add_row(stage, bar, f"{done:,}/{total:,}", remark)
        return table
