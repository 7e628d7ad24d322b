"""Processed data by month: one Parquet file and its statistics each, under names that tell which month they hold.

`processed-data/monthly/YYYY/MM/monthly_YYYY-MM_TIME.parquet`, and `statistics/monthly_YYYY-MM_TIME_statistics.json`;
TIME is UTC, so a month that is processed again has a later name and both stay. A month is there when its data are:
statistics do not count, and neither does a file of 0 bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from des_platform.objectstore.errors import StoreUnavailable, UnsupportedByStore
from des_platform.objectstore.transfers.file_upload import Upload, Verify, upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from des_platform.objectstore.objects import Progress
    from des_platform.objectstore.store import ObjectStore

PREFIX = "processed-data/monthly"
STATISTICS_PREFIX = "statistics"
PIPELINE_VERSION = "1"
_NAME = re.compile(r"(\d{4})/(\d{2})/monthly_(\d{4})-(\d{2})_\d{8}_\d{6}\.parquet", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_DECEMBER = 12
_FROM_STATISTICS = (
    "overall_quality_score",
    "requires_reprocessing",
    "processing_successful",
    "total_rollover_events",
)
_VALUE_CHARS = 200


class Month(NamedTuple):
    """A month of a year; they sort by time."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read `YYYY-MM`.

        Raises:
            ValueError: it is none.
        """
        found = _MONTH.fullmatch(text)
        if not found or text.startswith("0000"):
            raise ValueError(f"{text!r} is no month: expected YYYY-MM, such as 2026-03")
        return cls(int(found[1]), int(found[2]))

    def until(self, last: Month) -> Iterator[Month]:
        """This month, and each one after it, up to the last, which is included."""
        month = self
        while month <= last:
            yield month
            month = Month(month.year + month.month // _DECEMBER, month.month % _DECEMBER + 1)


@dataclass(frozen=True, slots=True)
class MonthUpload:
    """What became of a month.

    Attributes:
        data: the Parquet file.
        statistics_key: key of its statistics; None where there are none, or where they failed.
        statistics_problem: why they failed; '' if they did not.
    """

    data: Upload
    statistics_key: str | None
    statistics_problem: str


def monthly_key(prefix: str, month: Month, written_at: datetime) -> str:
    """The key of a month's data; `written_at` has a time zone."""
    return f"{prefix}/{month.year:04d}/{month.month:02d}/monthly_{month}_{_stamp(written_at)}.parquet"


def statistics_key(month: Month, written_at: datetime) -> str:
    """The key of a month's statistics."""
    return f"{STATISTICS_PREFIX}/monthly_{month}_{_stamp(written_at)}_statistics.json"


def upload_month(  # noqa: PLR0913 - what `upload` takes, and what a month is
    store: ObjectStore,
    path: Path,
    month: Month,
    *,
    statistics: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    prefix: str = PREFIX,
    written_at: datetime | None = None,
    verify: Verify = "reply",
    progress: Progress | None = None,
    resume: Path | None = None,
) -> MonthUpload:
    """Store a month's Parquet file, then its statistics, whose failure does not undo the first.

    Args:
        store: the bucket.
        path: the Parquet file.
        month: which one.
        statistics: what JSON can hold; some of it becomes metadata of the data, too.
        metadata: further metadata.
        prefix: of the data's key.
        written_at: when it was processed, with a time zone; now, if not given.
        verify: as for `upload`.
        progress: as for `upload`.
        resume: as for `upload`; the key holds the time, so give `written_at`, too.

    Raises:
        IntegrityError: as for `upload`, as are all its other errors: there is then no such month.
    """
    written_at = written_at or datetime.now(UTC)
    told = month_metadata(month, written_at, statistics or {}) | dict(metadata or {})
    key = monthly_key(prefix, month, written_at)
    data = upload(store, path, key, metadata=told, verify=verify, progress=progress, resume=resume)
    if statistics is None:
        return MonthUpload(data, None, "")
    key = statistics_key(month, written_at)
    try:
        body = json.dumps(statistics, allow_nan=False, default=str, indent=1).encode()
        store.put(key, body, attributes={"Content-Type": "application/json"})
    except (StoreUnavailable, UnsupportedByStore, TypeError, ValueError) as error:
        return MonthUpload(data, None, f"the statistics of {month} were not stored as {key}: {error}")
    return MonthUpload(data, key, "")


def month_metadata(month: Month, written_at: datetime, statistics: Mapping[str, Any]) -> dict[str, str]:
    """The user metadata of a month's data."""
    told: dict[str, Any] = {
        "source": "des_platform",
        "month": str(month),
        "processing_date": written_at.astimezone(UTC).isoformat(timespec="seconds"),
        "pipeline_version": PIPELINE_VERSION,
        "compression": "parquet",
        "data_format": "parquet",
    }
    told |= {name: statistics[name] for name in _FROM_STATISTICS if name in statistics}
    return {name: _printable(value) for name, value in told.items()}


def months_present(store: ObjectStore, prefix: str = PREFIX) -> dict[Month, list[str]]:
    """The months that have data, each with the keys of all its files, the newest last.

    Raises:
        StoreUnavailable: the bucket cannot be listed.
    """
    found: dict[Month, list[str]] = {}
    for info in store.list(f"{prefix}/"):
        name = _NAME.fullmatch(info.key.removeprefix(f"{prefix}/"))
        if name and info.size and (name[1], name[2]) == (name[3], name[4]) and _MONTH.fullmatch(f"{name[1]}-{name[2]}"):
            found.setdefault(Month(int(name[1]), int(name[2])), []).append(info.key)
    return found


def months_missing(store: ObjectStore, first: Month, last: Month, prefix: str = PREFIX) -> list[Month]:
    """The months from the first to the last that have no data.

    Raises:
        StoreUnavailable: the bucket cannot be listed.
    """
    present = months_present(store, prefix)
    return [month for month in first.until(last) if month not in present]


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%d_%H%M%S")


def _printable(value: object) -> str:
    """A value as a header may carry it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode("unicode_escape").decode("ascii")[:_VALUE_CHARS]
