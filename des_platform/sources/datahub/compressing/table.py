"""The rows of `fdhdata.dh_file` that compressing looks at: an original as it is now, and what claims to be its copy.

A copy tells by two of its properties what it is: `compressed_from`, the original's identifier, and `compression_id`,
the mark under which this platform uploaded it. Nothing is written here: rows come and go by the REST interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from des_platform.sources.datahub.candidates import CandidateTable, next_month, size_of, utc_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

_ROW = """
    SELECT file_id, document_id, document_type_nm, size_no, uploaded_at_dttm, properties
    FROM fdhdata.dh_file WHERE file_id = %(file_id)s
"""
# No index serves these two: one scan for a page of candidates, and one for an upload whose answer was lost.
_COPIES = """
    SELECT file_id, properties->>'compressed_from', coalesce(properties->>'compression_id', '')
    FROM fdhdata.dh_file WHERE properties->>'compressed_from' = ANY(%(file_ids)s) ORDER BY uploaded_at_dttm, 1
"""
_MARKED = """
    SELECT file_id FROM fdhdata.dh_file WHERE properties->>'compression_id' = %(mark)s ORDER BY uploaded_at_dttm, 1
"""
_OF_ORIGINALS = """
    SELECT file_id, properties->>'compressed_from', properties->>'compression_id'
    FROM fdhdata.dh_file
    WHERE properties->>'compression_id' IS NOT NULL
    AND properties->>'original_upload_date' >= %(start)s AND properties->>'original_upload_date' < %(end)s
    ORDER BY 1
"""
_TABLE_COLUMNS = """
    SELECT column_name FROM information_schema.columns WHERE table_schema = 'fdhdata' AND table_name = 'dh_file'
"""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of the DataHub, as its table has it at one moment.

    Attributes:
        file_id: its identifier, as text.
        document_id: as the table has it.
        document_type: its type, such as `pdf`; any text.
        size: bytes, or None where that is no number.
        uploaded_at: when it was uploaded, in UTC.
        properties: its properties, whatever they are.
    """

    file_id: str
    document_id: Any
    document_type: str
    size: int | None
    uploaded_at: datetime
    properties: Any


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that says it is the compressed copy of another; `mark` is '' where none was left."""

    file_id: str
    original_id: str
    mark: str


class FileTable(CandidateTable):
    """Reads single rows beside the candidates."""

    def row(self, file_id: str) -> FileRow | None:
        """A file's row, or None where there is no such file.

        Raises:
            SourceUnavailable: the database cannot be read.
        """
        for file_id_, document_id, document_type, size, uploaded_at, properties in self._rows(
            _ROW, {"file_id": file_id}
        ):
            return FileRow(
                str(file_id_),
                document_id if isinstance(document_id, str | int | None) else str(document_id),
                str(document_type or ""),
                size_of(size),
                utc_of(uploaded_at),
                properties,
            )
        return None

    def copies_of(self, file_ids: Sequence[str]) -> list[Copy]:
        """Every file that says it was compressed from one of these.

        Raises:
            SourceUnavailable: the database cannot be read.
        """
        found = self._rows(_COPIES, {"file_ids": list(file_ids)})
        return [Copy(str(file_id), original_id, mark) for file_id, original_id, mark in found]

    def marked(self, mark: str) -> list[str]:
        """The identifiers of the files that were uploaded under a mark, the oldest first.

        Raises:
            SourceUnavailable: the database cannot be read.
        """
        return [str(file_id) for (file_id,) in self._rows(_MARKED, {"mark": mark})]

    def copies_of_month(self, first: date) -> list[Copy]:
        """Every file uploaded under a mark whose original was uploaded in a month.

        Raises:
            SourceUnavailable: the database cannot be read.
        """
        # The copies say it as ISO 8601 in UTC, which is ordered as text.
        bounds = {"start": first.isoformat(), "end": next_month(first).isoformat()}
        return [
            Copy(str(file_id), original or "", mark) for file_id, original, mark in self._rows(_OF_ORIGINALS, bounds)
        ]

    def columns(self) -> set[str]:
        """The table's columns that the user may see; none where there is no such table.

        Raises:
            SourceUnavailable: the database cannot be read.
        """
        return {name for (name,) in self._rows(_TABLE_COLUMNS, {})}
