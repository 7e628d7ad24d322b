"""What the compressing of one month did, in numbers."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from des_platform.sources.datahub.compressing.metadata import percent

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from des_platform.sources.datahub.compressing.replacing import Replaced

_MB = 1e6
_KEPT = 1000


@dataclass(slots=True)
class CompressReport:
    """What one compressing of a month's files did.

    Attributes:
        month: first day of the month.
        dry_run: whether nothing was uploaded or deleted.
        candidates: files of the month that were large enough and not compressed when it began.
        known: those that were left alone, since they were dealt with before.
        waiting: those that were left alone, since they are not yet taken into the platform.
        compressed: files whose proven copy is in the DataHub now; in a dry run: those that would shrink.
        resumed: those of them that an earlier run had begun.
        removed: originals deleted.
        unworthy: files that do not shrink.
        failed: files that could not be compressed; each is a dead letter, and its original is where it was.
        original_bytes: bytes of the files that were compressed.
        compressed_bytes: bytes of their copies.
        seconds: how long it took, so far.
        failures: identifiers of the files that failed, up to 1,000.
        untaken: identifiers of the files that are not yet taken, up to 1,000.
    """

    month: date
    dry_run: bool = False
    candidates: int = 0
    known: int = 0
    waiting: int = 0
    compressed: int = 0
    resumed: int = 0
    removed: int = 0
    unworthy: int = 0
    failed: int = 0
    original_bytes: int = 0
    compressed_bytes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    untaken: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic, repr=False, compare=False)

    @property
    def processed(self) -> int:
        """Files dealt with now, whatever became of them."""
        return self.compressed + self.unworthy + self.failed

    def add(self, done: Replaced) -> None:
        """Enter what became of a file."""
        self.end()
        if done.outcome == "compressed":
            self.compressed += 1
            self.resumed += done.resumed
            self.removed += done.removed
            self.original_bytes += done.original_bytes
            self.compressed_bytes += done.compressed_bytes
        elif done.outcome == "unworthy":
            self.unworthy += 1
        elif done.outcome == "failed":
            self.failed += 1
            _remember(self.failures, [done.file_id])

    def leave(self, untaken: Collection[str]) -> None:
        """Enter files that the platform must take first."""
        self.waiting += len(untaken)
        _remember(self.untaken, untaken)

    def end(self) -> None:
        """Note how long it took."""
        self.seconds = time.monotonic() - self._began

    def statistics(self) -> dict[str, int | float | bool]:
        """The numbers for a log; MB are 10^6 bytes, the ratio is compressed bytes in per cent of the original ones."""
        return {
            "total_files_processed": self.processed,
            "successful_compressions": self.compressed,
            "failed_compressions": self.failed,
            "total_original_size_mb": round(self.original_bytes / _MB, 3),
            "total_compressed_size_mb": round(self.compressed_bytes / _MB, 3),
            "space_saved_mb": round((self.original_bytes - self.compressed_bytes) / _MB, 3),
            "compression_ratio": percent(self.compressed_bytes, self.original_bytes),
            "processing_time_seconds": round(self.seconds, 3),
            "average_time_per_file": round(self.seconds / self.processed, 3) if self.processed else 0.0,
            "candidate_files": self.candidates,
            "known_files": self.known,
            "files_not_yet_taken": self.waiting,
            "files_that_do_not_shrink": self.unworthy,
            "resumed_files": self.resumed,
            "originals_removed": self.removed,
            "peak_memory_mb": round(_peak_memory_bytes() / _MB, 1),
            "dry_run": self.dry_run,
        }


def _remember(kept: list[str], file_ids: Collection[str]) -> None:
    kept += islice(file_ids, max(0, _KEPT - len(kept)))


def _peak_memory_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
