"""What upkeep reports and how it refuses; importing this costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Job = Literal["compact", "expire", "orphans", "manifests"]


class UpkeepRefused(Exception):
    """A table's upkeep would not be safe, so nothing was changed.

    Attributes:
        table: the table.
        found: what stands in the way.
        advice: what to do next.
    """

    def __init__(self, table: str, found: str, advice: str) -> None:
        super().__init__(table, found, advice)
        self.table, self.found, self.advice = table, found, advice

    def __str__(self) -> str:
        return f"table {self.table!r}: {self.found}; {self.advice}"


class RowsDiffer(Exception):
    """Rewritten files do not hold the rows of the files that they are made from: a defect; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a job's work, such as the small files of one partition.

    Attributes:
        name: the partition, the snapshot or the file.
        files: how many files there are before.
        bytes: their size.
        files_after: how many there are after; as far as is known before the work is done.
        bytes_after: their size.
        rows: rows in them; 0 where there are none.
        note: what else is worth saying.
    """

    name: str
    files: int
    bytes: int
    files_after: int = 0
    bytes_after: int = 0
    rows: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What one job did to one table, or would do.

    Attributes:
        table: the table.
        job: which job.
        applied: whether it was done; otherwise the numbers of afterwards are what is expected.
        files_before: files that the job looks at.
        bytes_before: their size.
        files_after: files after it.
        bytes_after: their size.
        seconds: wall time.
        parts: what the work consists of.
        skipped: work that was left to the next time, and why.
        snapshots: snapshots forgotten.
    """

    table: str
    job: Job
    applied: bool
    files_before: int
    bytes_before: int
    files_after: int
    bytes_after: int
    seconds: float = 0.0
    parts: tuple[Part, ...] = ()
    skipped: tuple[str, ...] = ()
    snapshots: int = 0

    @property
    def bytes_saved(self) -> int:
        """Bytes that are no longer kept; negative where a job had to write more than it removed."""
        return self.bytes_before - self.bytes_after

    @property
    def files_removed(self) -> int:
        """Files that are no longer there."""
        return self.files_before - self.files_after
