"""A CSV file to typed batches: the header names the columns, each further record is a row or is rejected.

A file whose header is missing, unreadable, without any declared column, or with one of them twice is rejected as a
whole with one `RejectedRow`, and not read any further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.parquet.batches import MAX_BATCH_ROWS, BatchBuilder, RowBatch, reject
from des_platform.parquet.columns import ColumnType, arrow_schema
from des_platform.parquet.csv_records import Records, split_plain, split_quoted, take_record
from des_platform.parquet.lines import LineBlock, read_lines
from des_platform.parquet.text_values import from_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MAX_NAMES_IN_REASON = 20


class _UnusableHeader(Exception):  # caught here, and turned into a rejection
    """What is wrong with the header, for the reason of the file's rejection."""

    def __init__(self, line: int, text: str, reason: str) -> None:
        super().__init__(reason)
        self.line, self.text = line, text


def read_csv(chunks: Iterable[bytes], columns: Mapping[str, ColumnType], max_line_bytes: int) -> Iterator[RowBatch]:
    """Read a CSV file, as `des_platform.parquet.rows.read_rows` says. Yields at least one batch."""
    reader = _CsvReader(columns)
    count = 0
    try:
        for event in read_lines(chunks, max_line_bytes):
            if isinstance(event, LineBlock):
                batches = reader.read_block(event)
            else:
                batches = reader.pass_over(event.line, event.start, f"the line is longer than {max_line_bytes} bytes")
            for batch in batches:
                yield batch
                count += 1
        for batch in reader.end():
            yield batch
            count += 1
    except _UnusableHeader as error:
        reason = f"the whole file is rejected, its header is unusable: {error}"
        yield reader.batch(Records(rejected=[reject(error.line, error.text, reason)]), quoted=False)
        return
    if not count:
        yield reader.batch(Records(), quoted=False)


class _CsvReader:
    """What is kept between blocks of lines: the header, and lines whose record may go on in the next block."""

    def __init__(self, columns: Mapping[str, ColumnType]) -> None:
        self._schema = arrow_schema(columns)
        self._columns = columns
        self._positions: dict[str, int] = {}
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
                raise _UnusableHeader(first + position, taken.text, taken.reason)
            names = [name or "" for name in taken.fields]
            self._positions = {name: index for index, name in enumerate(names) if name in self._columns}
            self._extra = frozenset(names).difference(self._columns)
            self._width = len(names)
            if not self._positions:
                declared = ", ".join([*self._columns][:_MAX_NAMES_IN_REASON])
                raise _UnusableHeader(
                    first + position, taken.text, f"it names none of the declared columns ({declared})"
                )
            twice = [name for name in self._positions if names.count(name) > 1]
            if twice:
                raise _UnusableHeader(first + position, taken.text, f"it names column {twice[0]!r} twice")
            return position + taken.line_count
        return len(lines)

    def batch(self, records: Records, *, quoted: bool) -> RowBatch:
        """Type the fields of some records.

        Args:
            records: all of the header's width.
            quoted: whether an empty string among their fields was quoted, and so is no null.
        """
        builder = BatchBuilder(self._schema, records.lines, records.texts, records.rejected)
        for name, declared in self._columns.items():
            column_type = ColumnType(declared)
            position = self._positions.get(name)
            if position is None:
                builder.add_nulls()
                continue
            if quoted and column_type is ColumnType.STRING:
                values = [row[position] for row in records.rows]
            else:
                values = [row[position] or None for row in records.rows]
            array = from_text(values, column_type)
            faults: Iterable[int] = ()
            if array.null_count != values.count(None):
                valid = array.is_valid().to_pylist()
                faults = [i for i, value in enumerate(values) if value is not None and not valid[i]]
            builder.add(values, array, faults, column_type)
        return builder.build(self._extra)
