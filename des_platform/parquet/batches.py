"""What reading a file yields: batches of typed rows, and the records that did not become rows, each with its reason."""

from __future__ import annotations

import reprlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from des_platform.parquet.columns import arrow_schema, describe
from des_platform.parquet.json_text import json_text, members, objects, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Misfits = Literal["reject", "rescue"]
"""What becomes of a record with a value that its column cannot hold: it is rejected, or kept without that value, which
goes to the column `_rescued`."""

MAX_BATCH_ROWS = 16_384
"""The most records that one batch is made from."""

MAX_TEXT_CHARACTERS = 4096
"""How much of a rejected record is kept."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 100


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A record that did not become a row.

    Attributes:
        line: the physical line, counted from 1, where the record starts; its number, where a file has no lines.
        text: what stands there, with what is not UTF-8 replaced, cut at 4096 characters; a record that is no text as a
            JSON object.
        reason: one sentence that names the column and the value where they are to blame.
    """

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some consecutive records of a file.

    Attributes:
        rows: the good ones, typed, in the order of the file; its schema is `arrow_schema` of the declared columns.
        lines: where each of the rows starts: the physical line of CSV and JSON lines, else the record's number, both
            counted from 1.
        rejected: the others, by line.
        extra_columns: names that the file has and the declaration lacks: of a CSV file's header or a typed file's
            schema (the same in every batch), or of this batch's JSON objects.
    """

    rows: pa.RecordBatch
    lines: pa.Array[Any]
    rejected: list[RejectedRow]
    extra_columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Target:
    """What a file's records are to become.

    Attributes:
        columns: name to type.
        misfits: what becomes of values that do not fit.
        schema: of the batches.
    """

    columns: Mapping[str, str]
    misfits: Misfits
    schema: pa.Schema

    @classmethod
    def of(cls, columns: Mapping[str, str], misfits: Misfits) -> Target:
        """Check what is asked for.

        Raises:
            ValueError: there is no such column type, or no column.
        """
        return cls(columns, misfits, arrow_schema(columns, rescue=misfits == "rescue"))

    @property
    def is_rescue(self) -> bool:
        """Whether values that do not fit are kept beside their row."""
        return self.misfits == "rescue"

    def nothing(self, rejected: Sequence[RejectedRow] = (), extra_columns: frozenset[str] = frozenset()) -> RowBatch:
        """A batch without rows."""
        none = pa.RecordBatch.from_pylist([], self.schema)
        return RowBatch(none, pa.array([], pa.int64()), [*rejected], extra_columns)


def rejected_file(columns: Mapping[str, str], misfits: Misfits, reason: str) -> RowBatch:
    """A batch of one rejected row, for a file that cannot be read at all."""
    return Target.of(columns, misfits).nothing([reject(1, "", reason)])


def reject(line: int, text: str, reason: str) -> RejectedRow:
    """Make a `RejectedRow` from a record decoded with `surrogateescape`, cut to what is kept."""
    readable = text[:MAX_TEXT_CHARACTERS].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return RejectedRow(line, readable, reason)


def is_damaged(text: str) -> bool:
    """Whether text decoded with `surrogateescape` was not valid UTF-8."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def utf16_reason(text: str) -> str:
    """Why a file that begins so, decoded with `surrogateescape`, is none: a UTF-16 byte order mark; else empty."""
    is_utf16 = text.startswith(("\udcff\udcfe", "\udcfe\udcff"))
    return "the file is UTF-16, by its byte order mark: convert it to UTF-8" if is_utf16 else ""


def shown(value: object) -> str:
    """A value for a reason, cut to what is readable."""
    return _short.repr(value)


@dataclass(slots=True)
class BatchBuilder:
    """Records on their way to a batch: columns are added one by one, and values that do not fit are noted per record.

    Attributes:
        target: what they are to become.
        lines: where each record starts.
        text_of: gives a record as it stands, for those that are rejected.
        rejected: records that were rejected before they had columns.
    """

    target: Target
    lines: Sequence[int]
    text_of: Callable[[int], str]
    rejected: list[RejectedRow]
    _columns: list[pa.Array[Any]] = field(default_factory=list)
    _faults: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    _kept: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    _extras: list[pa.Array[Any]] = field(default_factory=list)

    def add_nulls(self) -> None:
        """Add a column that the file does not have."""
        self._columns.append(pa.nulls(len(self.lines), self.target.schema.field(len(self._columns)).type))

    def add(
        self,
        array: pa.Array[Any],
        faults: Mapping[int, object] | Mapping[int, str],
        *,
        as_json: Callable[[Any], str] = json_text,
        as_shown: Callable[[Any], str] = shown,
    ) -> None:
        """Add the next declared column.

        Args:
            array: its values, typed, null where they do not fit.
            faults: the records whose value does not fit, each with that value.
            as_json: gives such a value as JSON.
            as_shown: gives it for a reason.
        """
        name = self.target.schema.field(len(self._columns)).name
        what = describe(self.target.columns[name])
        for index, value in faults.items():
            if self.target.is_rescue:
                self._kept[index].append(f"{quoted(name)}: {as_json(value)}")
            else:
                self._faults[index].append(f"column {name!r}: {as_shown(value)} is not {what}")
        self._columns.append(array)

    def refuse(self, index: int, reason: str) -> None:
        """Reject a record, whatever is done with misfits."""
        self._faults[index].append(reason)

    def keep(self, name: str, texts: pa.Array[Any]) -> None:
        """Keep a column that nobody declared beside its rows: JSON texts, null where there is nothing to keep."""
        self._extras.append(members(name, texts))

    def keep_members(self, index: int, texts: Sequence[str]) -> None:
        """Keep `"name": value` of names that nobody declared beside one row."""
        self._kept[index].extend(texts)

    def build(self, extra_columns: frozenset[str]) -> RowBatch:
        """Return the batch: records without a fault as rows, all others rejected."""
        columns = [*self._columns, *([self._rescued()] if self.target.is_rescue else [])]
        rows = pa.RecordBatch.from_arrays(columns, schema=self.target.schema)
        lines = pa.array(self.lines, pa.int64())
        if not self._faults:
            return RowBatch(rows, lines, self.rejected, extra_columns)
        rejected = [
            reject(self.lines[index], self.text_of(index), "; ".join(reasons))
            for index, reasons in self._faults.items()
        ]
        good = pa.array([index not in self._faults for index in range(len(self.lines))], pa.bool_())
        by_line = sorted([*self.rejected, *rejected], key=lambda row: row.line)
        return RowBatch(rows.filter(good), lines.filter(good), by_line, extra_columns)

    def _rescued(self) -> pa.Array[Any]:
        parts = list(self._extras)
        if self._kept:
            joined = [", ".join(self._kept[index]) if index in self._kept else None for index in range(len(self.lines))]
            parts.insert(0, pa.array(joined, pa.string()))
        return objects(parts) if parts else pa.nulls(len(self.lines), pa.string())
