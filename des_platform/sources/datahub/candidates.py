"""A DataHub's table `fdhdata.dh_file`: which of its files wait to be taken, or compressed.

A month is a half-open range of UTC time, which an index over `uploaded_at_dttm` serves; a column without a time zone is
read as UTC. Rows come in pages, each a short transaction of its own that starts behind the last row of the page before,
so memory holds one page and no transaction lasts as long as the downloads. Nothing is ever written here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from des_platform.sources.databases.engine import open_engine
from des_platform.sources.retrying import retrying
from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.sources.datahub.config import DataHubAccess

_WANTED = """
    uploaded_at_dttm >= %(start)s AND uploaded_at_dttm < %(end)s
    AND size_no > %(threshold)s AND properties->>'is_compressed' IS NULL
"""
# The identifier's type is the table's business: it is compared and ordered as it is, and shown as text.
_PAGE = f"""
    SELECT file_id, document_id, document_type_nm, size_no, uploaded_at_dttm FROM fdhdata.dh_file
    WHERE {_WANTED} {{behind}}
    ORDER BY uploaded_at_dttm, file_id LIMIT %(limit)s
"""  # noqa: S608 - no text from outside
_BEHIND = "AND (uploaded_at_dttm, file_id) > (%(at)s, %(file_id)s)"
_MONTHS = f"""
    SELECT date_trunc('month', uploaded_at_dttm), count(*), sum(hashtextextended(CAST(file_id AS text), 0))
    FROM fdhdata.dh_file WHERE {_WANTED} GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - no text from outside
_MAX_SIZE = (1 << 63) - 1  # the catalogue keeps sizes as signed 64-bit integers
_READ_ATTEMPTS = 3
_READ_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file of the DataHub that is large enough and not compressed.

    Attributes:
        file_id: its identifier, as text.
        document_id: the document that it belongs to; any text.
        document_type: its type, such as `pdf`; any text.
        size: bytes as the table has it, or None where that is no number.
        uploaded_at: when it was uploaded, in UTC.
    """

    file_id: str
    document_id: str
    document_type: str
    size: int | None
    uploaded_at: datetime

    def as_json(self) -> dict[str, Any]:
        """The row for a person to read."""
        return asdict(self) | {"uploaded_at": self.uploaded_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Month:
    """The candidates of one month.

    Attributes:
        first: its first day.
        files: how many candidates.
        fingerprint: of their identifiers; another set has another one.
    """

    first: date
    files: int
    fingerprint: str


class CandidateTable:
    """Reads the candidates of one DataHub.

    Args:
        config: its database, threshold and page size.

    Raises:
        ConfigurationError: a variable of the connection is not set.
    """

    def __init__(self, config: DataHubAccess) -> None:
        self._config = config
        self._database = open_engine(config.connection, f"the database of datahub {config.name!r}")

    def of_month(self, first: date) -> Iterator[list[Candidate]]:
        """The candidates of a month, page by page, in the order of their upload.

        Raises:
            SourceUnavailable: the database cannot be read.
            ConfigurationError: it has no such table, or another one.
        """
        bounds = self._bounds(first, next_month(first)) | {"limit": self._config.batch_size}
        rows = self._rows(_PAGE.format(behind=""), bounds)
        while rows:
            yield [_candidate(row) for row in rows]
            if len(rows) < self._config.batch_size:
                return
            behind = {"file_id": rows[-1][0], "at": rows[-1][4]}
            rows = self._rows(_PAGE.format(behind=_BEHIND), bounds | behind)

    def months(self, first: date, end: date) -> list[Month]:
        """The months that have candidates, the earliest first.

        Args:
            first: first day of the first month to look at.
            end: first day behind the last month to look at.

        Raises:
            SourceUnavailable: the database cannot be read.
            ConfigurationError: it has no such table, or another one.
        """
        rows = self._rows(_MONTHS, self._bounds(first, end))
        return [Month(utc_of(month).date(), files, f"{files}:{digest}") for month, files, digest in rows]

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _bounds(self, first: date, end: date) -> dict[str, Any]:
        # Without a zone: the session's is UTC, so a column with one is compared as UTC too.
        midnight = {name: datetime(day.year, day.month, 1) for name, day in (("start", first), ("end", end))}  # noqa: DTZ001
        return midnight | {"threshold": self._config.size_threshold}

    def _rows(self, statement: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        for attempt in retrying(_READ_ATTEMPTS, base=_READ_PAUSE_SECONDS, on=SourceUnavailable):
            with attempt, self._database.begin() as connection:
                # Straight to the driver, which lets the server infer the identifier's type; SQLAlchemy would cast it.
                return connection.exec_driver_sql(statement, values).all()
        raise AssertionError("the last attempt returns or raises")


def next_month(first: date) -> date:
    """The first day of the month that follows."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def _candidate(row: Sequence[Any]) -> Candidate:
    file_id, document_id, document_type, size, uploaded_at = row
    return Candidate(str(file_id), str(document_id or ""), str(document_type or ""), size_of(size), utc_of(uploaded_at))


def size_of(found: Any) -> int | None:  # noqa: ANN401 - whatever the column's type is
    """Bytes as the table has them, or None where that is no number."""
    # A numeric column may hold NaN, which is larger than every threshold.
    if not isinstance(found, int | float | Decimal) or not math.isfinite(found) or found % 1 or found > _MAX_SIZE:
        return None
    return int(found)


def utc_of(found: datetime) -> datetime:
    """A moment of the table, in UTC."""
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
