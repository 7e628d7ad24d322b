"""A CSV file to typed batches: the header names the columns, each further record is a row or is rejected.

A file whose header is missing, unreadable, without any declared column, or with one of them twice is rejected as a
whole with one `RejectedRow`, and not read any further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from des_platform.parquet.batches import MAX_BATCH_ROWS, BatchBuilder, RowBatch, Target, reject, utf16_reason
from des_platform.parquet.csv_records import Records, split_plain, split_quoted, take_record
from des_platform.parquet.json_text import json_texts
from des_platform.parquet.lines import LineBlock, read_lines
from des_platform.parquet.names import AmbiguousName, match_names
from des_platform.parquet.text_values import from_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MAX_NAMES_IN_REASON = 20


class _UnusableHeader(Exception):  # caught here, and turned into a rejection
    """What is wrong with the header, for the reason of the file's rejection."""

    def __init__(self, line: int, text: str, reason: str) -> None:
        super().__init__(reason)
        self.line, self.text = line, text


def read_csv(chunks: Iterable[bytes], target: Target, max_line_bytes: int) -> Iterator[RowBatch]:
    """Read a CSV file, as `des_platform.parquet.rows.read_rows` says. Yields at least one batch."""
    reader = _CsvReader(target)
    count = 0
    try:
        for event in read_lines(chunks, max_line_bytes):
            if isinstance(event, LineBlock):
                batches = reader.read_block(event)
            else:
                batches = reader.pass_over(event.line, event.start, event.reason)
            for batch in batches:
                yield batch
                count += 1
        for batch in reader.end():
            yield batch
            count += 1
    except _UnusableHeader as error:
        reason = f"the whole file is rejected, its header is unusable: {error}"
        yield target.nothing([reject(error.line, error.text, reason)])
        return
    if not count:
        yield reader.batch(Records(), quoted=False)


class _CsvReader:
    """What is kept between blocks of lines: the header, and lines whose record may go on in the next block."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._positions: dict[str, int] = {}
        self._others: list[tuple[str, int]] = []  # that nobody declared
        self._width = 0  # no header yet
        self._extra: frozenset[str] = frozenset()
        self._held: list[str] = []
        self._held_first = 1

    def read_block(self, block: LineBlock) -> Iterator[RowBatch]:
        """Read the next lines of the file."""
        quoted = bool(self._held) or block.damaged or '"' in block.text
        lines = [*self._held, *block.text.split("\n")]
        return self._read(lines, block.first - len(self._held), quoted=quoted, more=True)

    def pass_over(self, line: int, text: str, reason: str) -> Iterator[RowBatch]:
        """Reject one line that was not read, and end the record before it."""
        yield from self._read(self._held, self._held_first, quoted=True, more=False)
        if not self._width:
            raise _UnusableHeader(line, text, reason)
        yield self.batch(Records(rejected=[reject(line, text, reason)]), quoted=False)

    def end(self) -> Iterator[RowBatch]:
        """Read the lines that were held back: nothing follows them."""
        yield from self._read(self._held, self._held_first, quoted=True, more=False)
        if not self._width:
            raise _UnusableHeader(1, "", "the file is empty, and its first line should name the columns")

    def _read(self, lines: list[str], first: int, *, quoted: bool, more: bool) -> Iterator[RowBatch]:
        position = 0 if self._width else self._take_header(lines, first, more=more)
        while self._width and position < len(lines):
            part = lines[position : position + MAX_BATCH_ROWS]
            at_end = position + len(part) == len(lines)
            if quoted:
                # Part of a longer list always yields a record: it has more lines than the look-ahead.
                records, taken = split_quoted(part, first + position, self._width, more=more or not at_end)
            else:
                records, taken = split_plain(part, first + position, self._width), len(part)
            position += taken
            if records.lines or records.rejected:
                yield self.batch(records, quoted=quoted)
            if at_end:
                break
        self._held, self._held_first = lines[position:], first + position

    def _take_header(self, lines: Sequence[str], first: int, *, more: bool) -> int:
        """Find the header, if these lines have it; return how many lines are done with."""
        for position in range(len(lines)):
            taken = take_record(lines, position, None, more=more)
            if taken is None:
                return position
            if taken.fields is None and not taken.reason:
                continue  # an empty line before the header
            if taken.fields is None:
                raise _UnusableHeader(first + position, taken.text, utf16_reason(taken.text) or taken.reason)
            self._name_columns([name or "" for name in taken.fields], first + position, taken.text)
            return position + taken.line_count
        return len(lines)

    def _name_columns(self, names: list[str], line: int, text: str) -> None:
        columns = self._target.columns
        try:
            found = match_names(names, columns)
        except AmbiguousName as error:
            raise _UnusableHeader(line, text, str(error)) from None
        if not found:
            declared = ", ".join([*columns][:_MAX_NAMES_IN_REASON])
            raise _UnusableHeader(line, text, f"it names none of the declared columns ({declared})")
        twice = [name for name in found.values() if names.count(name) > 1]
        if twice:
            raise _UnusableHeader(line, text, f"it names column {twice[0]!r} twice")
        self._positions = {column: names.index(name) for column, name in found.items()}
        self._others = [(name, index) for index, name in enumerate(names) if name not in found.values()]
        self._extra = frozenset(name for name, _ in self._others)
        self._width = len(names)

    def batch(self, records: Records, *, quoted: bool) -> RowBatch:
        """Type the fields of some records.

        Args:
            records: all of the header's width.
            quoted: whether an empty string among their fields was quoted, and so is no null.
        """
        builder = BatchBuilder(self._target, records.lines, records.texts.__getitem__, records.rejected)
        for name, kind in self._target.columns.items():
            position = self._positions.get(name)
            if position is None:
                builder.add_nulls()
                continue
            if quoted and kind == "string":
                values = [row[position] for row in records.rows]
            else:
                values = [row[position] or None for row in records.rows]
            array = from_text(values, kind)
            faults: dict[int, str] = {}
            if array.null_count != values.count(None):
                valid = array.is_valid().to_pylist()
                faults = {i: value for i, value in enumerate(values) if value is not None and not valid[i]}
            builder.add(array, faults)
        if self._target.is_rescue:
            for name, position in self._others:
                values = [row[position] or None for row in records.rows]
                builder.keep(name, json_texts(pa.array(values, pa.string())))
        return builder.build(self._extra)
