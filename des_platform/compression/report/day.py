"""One day of a dataset as the report knows it: read from the catalogue in one snapshot, in numbers of the day's size.

Whatever the number of files, this holds sums, histograms of a dozen classes, thirty days of a trend, and the rows of
the files that are listed one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from des_platform.catalog import compression_report as catalogued
from des_platform.compression.report.rows import Row, Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from des_platform.catalog.compression_report import Archives, DayTotal, Group, ReportedFile
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset

LISTED_FILES = 2000
LISTED_TROUBLES = 100
TREND_DAYS = 30
SIZE_EDGES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
SIZE_LABELS = ("1 KB", "10 KB", "100 KB", "1 MB", "10 MB", "100 MB", "1 GB")
RATIO_EDGES = (1.5, 2, 3, 4, 6, 8, 12, 16, 24, 48)

STAGES: dict[str, str] = {
    "compressed": "Object of its own",
    "kept": "Kept as it is",
    "packed": "Packed into archives",
    "waiting": "Waiting",
    "failed": "Failed",
}


@dataclass(frozen=True, slots=True)
class Day:
    """What the report tells of one day; sizes in bytes.

    Attributes:
        dataset: the day's dataset.
        day: the day (UTC).
        changed: when anything of it last changed; None where nothing came in.
        groups: the files by fate and codec.
        archives: the published archives.
        largest: the files that are listed, the largest first.
        troubled: those that failed.
        ratios: files by ratio, one more number than `RATIO_EDGES`.
        sizes_before: files by size, one more number than `SIZE_EDGES`.
        sizes_after: objects by size, likewise.
        trend: the last `TREND_DAYS` days, those without files left out.
    """

    dataset: Dataset
    day: date
    changed: datetime | None
    groups: Sequence[Group]
    archives: Archives
    largest: Sequence[ReportedFile]
    troubled: Sequence[ReportedFile]
    ratios: Sequence[int]
    sizes_before: Sequence[int]
    sizes_after: Sequence[int]
    trend: Sequence[DayTotal]

    def files(self, *fates: str) -> int:
        """Number of the files of some fates, or of all."""
        return sum(group.files for group in self.groups if not fates or group.fate in fates)

    def bytes_in(self, *fates: str) -> int:
        """Original bytes of the files of some fates, or of all."""
        return sum(group.bytes_in for group in self.groups if not fates or group.fate in fates)

    def bytes_out(self, *fates: str) -> int:
        """Bytes of what stands for the files now, archives apart."""
        return sum(group.bytes_out for group in self.groups if not fates or group.fate in fates)

    @property
    def objects(self) -> int:
        """Objects that stand for the day's files now."""
        return self.files("compressed", "kept", "waiting", "failed") + self.archives.number

    @property
    def stored(self) -> int:
        """Their bytes."""
        return self.bytes_out("compressed", "kept", "waiting", "failed") + self.archives.bytes


def read_day(catalog: Catalog, dataset: Dataset, day: date) -> Day:
    """Read what the report tells of a day."""
    with catalogued.snapshot(catalog) as connection:
        of_day = (connection, dataset.name, day)
        return Day(
            dataset=dataset,
            day=day,
            changed=catalogued.last_change(*of_day),
            groups=catalogued.groups(*of_day),
            archives=catalogued.archives(*of_day),
            largest=catalogued.largest(*of_day, LISTED_FILES),
            troubled=catalogued.in_trouble(*of_day, LISTED_TROUBLES),
            ratios=catalogued.ratios(*of_day, RATIO_EDGES),
            sizes_before=catalogued.sizes_before(*of_day, SIZE_EDGES),
            sizes_after=catalogued.sizes_after(*of_day, SIZE_EDGES),
            trend=catalogued.trend(connection, dataset.name, day - timedelta(days=TREND_DAYS - 1), day),
        )


def codec_name(codec: str | None, level: int | None) -> str:
    """A codec as the tables name it, such as zstd-9; empty where there is none."""
    return f"{codec}-{level}" if codec and level else codec or ""


def rows_of(day: Day) -> list[Row]:
    """What became of the files: a row for each codec, the most bytes first, and one for each other fate."""
    order = list(STAGES)
    groups = sorted(day.groups, key=lambda group: (order.index(group.fate), -group.bytes_in, group.codec or ""))
    rows = []
    merged: set[str] = set()
    for group in groups:
        if group.fate == "compressed":
            rows.append(_row(group))
        elif group.fate not in merged:
            merged.add(group.fate)
            rows.append(_merged(day, group.fate))
    return rows


def steps_of(day: Day) -> list[Step]:
    """How things stood at arrival, after the large files were compressed, and after the small ones were packed."""
    steps = [
        Step("As it arrived", day.files(), day.bytes_in()),
        Step("Step 1: large files compressed", day.files(), day.bytes_out()),
    ]
    if day.archives.number:
        steps.append(Step("Step 2: small files packed", day.objects, day.stored))
    return steps


def _row(group: Group) -> Row:
    return Row(
        STAGES[group.fate],
        codec_name(group.codec, group.codec_level),
        group.files,
        group.bytes_in,
        group.bytes_out,
        group.compress_seconds,
        group.compress_cpu_seconds,
        group.prove_seconds,
        group.timed_bytes,
        group.fate,
    )


def _merged(day: Day, fate: str) -> Row:
    archives = day.archives
    if fate == "packed":
        return Row(STAGES[fate], "DES archives", day.files(fate), day.bytes_in(fate), archives.bytes, kind=fate)
    names = {"kept": "none: it would not shrink", "waiting": "none yet", "failed": "none"}
    kept = [group.prove_seconds for group in day.groups if group.fate == fate and group.prove_seconds is not None]
    return Row(
        STAGES[fate],
        names[fate],
        day.files(fate),
        day.bytes_in(fate),
        day.bytes_out(fate),
        prove_seconds=sum(kept) if kept else None,
        kind=fate,
    )
