"""What the taking of one month did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

_MB = 1e6
_FAILURES_KEPT = 1000


@dataclass(slots=True)
class TakeReport:
    """What one taking of a month's files did.

    Attributes:
        month: first day of the month.
        candidates: files of the month that are large enough and not compressed, as far as it looked.
        candidate_bytes: their bytes as the table has them.
        known: those that were taken, or given up, before.
        taken: files taken now.
        new: those of them that the inbox did not know.
        failed: files given up now; each is a dead letter.
        bytes: bytes of the files taken now.
        seconds: how long it took.
        complete: whether it saw the whole month; otherwise time ran out.
        failures: identifiers of all the month's files that are given up, up to 1,000.
    """

    month: date
    candidates: int = 0
    candidate_bytes: int = 0
    known: int = 0
    taken: int = 0
    new: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0
    complete: bool = True
    failures: list[str] = field(default_factory=list)

    @property
    def processed(self) -> int:
        """Files dealt with now, whatever became of them."""
        return self.taken + self.failed

    def remember_failures(self, file_ids: Iterable[str]) -> None:
        """Add identifiers of files that are given up, as far as there is room."""
        self.failures += islice(file_ids, max(0, _FAILURES_KEPT - len(self.failures)))

    def statistics(self) -> dict[str, int | float]:
        """The numbers for a log; MB are 10^6 bytes."""
        return {
            "total_files_processed": self.processed,
            "successful_files": self.taken,
            "failed_files": self.failed,
            "known_files": self.known,
            "total_size_mb": round(self.bytes / _MB, 3),
            "processing_time_seconds": round(self.seconds, 3),
            "average_time_per_file": round(self.seconds / self.processed, 3) if self.processed else 0.0,
        }
