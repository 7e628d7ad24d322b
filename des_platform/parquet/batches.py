"""What reading a file yields: batches of typed rows, and the records that did not become rows, each with its reason."""

from __future__ import annotations

import reprlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from des_platform.parquet.columns import ColumnType, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        line: the physical line, counted from 1, where the record starts.
        text: what stands there, with what is not UTF-8 replaced, cut at 4096 characters.
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
        lines: the physical line, counted from 1, where each of the rows starts.
        rejected: the others, by line.
        extra_columns: names that the file has and the declaration lacks: of a CSV file's header (the same in every
            batch), or of this batch's JSON objects.
    """

    rows: pa.RecordBatch
    lines: pa.Array[Any]
    rejected: list[RejectedRow]
    extra_columns: frozenset[str]


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


@dataclass(slots=True)
class BatchBuilder:
    """Records on their way to a batch: columns are added one by one, and values that do not fit are noted per record.

    Attributes:
        schema: of the declared columns.
        lines: where each record starts.
        texts: what each record is.
        rejected: records that were rejected before they had columns.
    """

    schema: pa.Schema
    lines: Sequence[int]
    texts: Sequence[str]
    rejected: list[RejectedRow]
    _columns: list[pa.Array[Any]] = field(default_factory=list)
    _faults: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add_nulls(self) -> None:
        """Add a column that the file does not have."""
        self._columns.append(pa.nulls(len(self.lines), self.schema.field(len(self._columns)).type))

    def add(
        self, values: Sequence[object], array: pa.Array[Any], faults: Iterable[int], column_type: ColumnType
    ) -> None:
        """Add the next column of the schema.

        Args:
            values: as they stand in the file, one per record.
            array: the same, typed.
            faults: the records whose value does not fit the type.
            column_type: that type.
        """
        name = self.schema.field(len(self._columns)).name
        for index in faults:
            self._faults[index].append(f"column {name!r}: {_short.repr(values[index])} is not {describe(column_type)}")
        self._columns.append(array)

    def build(self, extra_columns: frozenset[str]) -> RowBatch:
        """Return the batch: records without a fault as rows, all others rejected."""
        rows = pa.RecordBatch.from_arrays(self._columns, schema=self.schema)
        lines = pa.array(self.lines, pa.int64())
        if not self._faults:
            return RowBatch(rows, lines, self.rejected, extra_columns)
        rejected = [
            reject(self.lines[index], self.texts[index], "; ".join(reasons)) for index, reasons in self._faults.items()
        ]
        good = pa.array([index not in self._faults for index in range(len(self.lines))], pa.bool_())
        by_line = sorted([*self.rejected, *rejected], key=lambda row: row.line)
        return RowBatch(rows.filter(good), lines.filter(good), by_line, extra_columns)
