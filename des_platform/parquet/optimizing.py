"""Writing a Parquet file anew by a plan, smaller: the same rows, schema and metadata, proven before anything is said.

Rows stream through: what is in memory is a row group to write, of at most 256 MiB, and the pages that it comes from.
Values are compared bit for bit with what was read back; a column with a declared tolerance is compared with its rounded
values, and its largest error is measured.

How it fails: what is no Parquet file, or one that contradicts itself, is a `NotParquet`; a page may claim up to 2 GiB
that it does not have, and pyarrow ends the process for some metadata that contradict themselves: read what strangers
send in a process of its own. A file that did not come back as it was is a `NotTheSame`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from des_platform.parquet.narrowing import convert, narrowed_schema
from des_platform.parquet.plan import choose_plan
from des_platform.parquet.rounding import check_tolerance, largest_error, round_columns
from des_platform.parquet.sameness import same_values, side_by_side
from des_platform.parquet.writing import ROW_GROUP_ROWS, open_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_GROUP_BYTES = 256 << 20
_BATCH_BYTES = 16 << 20
_BATCH_ROWS = 1 << 16
_BUFFER_BYTES = 1 << 20


class NotParquet(ValueError):
    """What was given is no whole Parquet file; the message says what is wrong."""


class NotTheSame(ValueError):
    """What was written reads otherwise than what was to be written: a defect, of which nothing was left behind."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        narrow: whether columns may get narrower types that hold every value.
        tolerance: by column, how far a value may move relative to itself.
        cold: as for `choose_plan`.
    """

    narrow: bool = False
    tolerance: Mapping[str, float] = field(default_factory=dict)
    cold: bool = False


@dataclass(frozen=True, slots=True)
class Optimized:
    """What became of a file.

    Attributes:
        rows: how many it has.
        row_groups: how many the new file has.
        before: bytes of the file.
        after: bytes of the new file.
        narrowed: by column, the type that it had and the one it got.
        lost: by column with a tolerance, how far a value moved at most, relative to itself.
    """

    rows: int
    row_groups: int
    before: int
    after: int
    narrowed: dict[str, str]
    lost: dict[str, float]


def optimize(
    source: IO[bytes],
    target: IO[bytes],
    wanted: Wanted,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Optimized:
    """Write a file anew, and prove it.

    Args:
        source: the file.
        target: empty, to be written and read.
        wanted: what is asked for.
        progress: called with the rows that are done and all, each counted once for each time that it is read.

    Raises:
        NotParquet: it is no whole Parquet file, or has types that cannot be written.
        NotTheSame: the rows did not come back.
        ValueError: a tolerance does not suit the columns.
    """
    before = source.seek(0, 2)
    try:
        file = open_parquet(source)
        check_tolerance(file.schema_arrow, wanted.tolerance)
        rows = _Rows(file, wanted, progress)
        schema = narrowed_schema(file.schema_arrow, rows.rounded()) if wanted.narrow else file.schema_arrow
        groups = _write(rows, target, schema)
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise NotParquet(" ".join(str(error).split())) from error
    target.flush()
    after = target.seek(0, 2)
    with _opened(target) as written:
        lost = _prove(rows, written, schema)
    changes = zip(file.schema_arrow, schema, strict=True)
    narrowed = {old.name: f"{old.type} to {new.type}" for old, new in changes if old.type != new.type}
    return Optimized(file.metadata.num_rows, groups, before, after, narrowed, lost)


def open_parquet(source: IO[bytes]) -> pq.ParquetFile:
    """Open a file and look whether its footer can be true.

    Raises:
        NotParquet: it cannot.
    """
    size = source.seek(0, 2)
    try:
        file = _opened(source)
        _check_footer(file.metadata, size)
    except (pa.ArrowException, OSError) as error:
        raise NotParquet(" ".join(str(error).split())) from error
    return file


def _opened(source: IO[bytes]) -> pq.ParquetFile:
    source.seek(0)
    return pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def _check_footer(metadata: pq.FileMetaData, size: int) -> None:
    rows = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        rows += group.num_rows
        for index in range(group.num_columns):
            chunk = group.column(index)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                start = min(start, chunk.dictionary_page_offset)
            if start < 0 or chunk.total_compressed_size < 0 or start + chunk.total_compressed_size > size:
                raise NotParquet(f"column {chunk.path_in_schema!r} claims bytes that the file does not have")
    if rows != metadata.num_rows:
        raise NotParquet(f"the footer tells of {metadata.num_rows} rows, the row groups have {rows}")


class _Rows:
    """The rows of a file, as often as they are needed.

    Attributes:
        file: the file.
        tolerance: as wanted.
    """

    def __init__(self, file: pq.ParquetFile, wanted: Wanted, progress: Callable[[int, int], None]) -> None:
        self.file = file
        self.wanted = wanted
        self._progress = progress
        self._done = 0
        self._all = file.metadata.num_rows * (3 if wanted.narrow else 2)

    def originals(self) -> Iterator[pa.RecordBatch]:
        """The rows as they are."""
        for batch in self.file.iter_batches(_batch_rows(self.file.metadata), use_threads=False):
            yield batch
            self._done += batch.num_rows
            self._progress(self._done, self._all)

    def rounded(self) -> Iterator[pa.RecordBatch]:
        """The rows with as much of them as is wanted."""
        return (round_columns(batch, self.wanted.tolerance) for batch in self.originals())


def _batch_rows(metadata: pq.FileMetaData) -> int:
    unpacked = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return min(max(_BATCH_BYTES * metadata.num_rows // max(unpacked, 1), 1), _BATCH_ROWS)


def _write(rows: _Rows, target: IO[bytes], schema: pa.Schema) -> int:
    """Write all rows; returns the number of row groups."""
    groups = _groups((convert(batch, schema) for batch in rows.rounded()), schema)
    first = next(groups, schema.empty_table())
    plan = choose_plan(first, cold=rows.wanted.cold)
    count = 0
    with open_writer(target, schema, plan, sorting=_sorting(rows.file.metadata), keep_names=True) as writer:
        for group in chain([first], groups):
            if group.num_rows:
                writer.write_table(group.unify_dictionaries(), group.num_rows)
                count += 1
    return count


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    size = count = 0
    for batch in batches:
        if held and (count + batch.num_rows > ROW_GROUP_ROWS or size + batch.nbytes > _GROUP_BYTES):
            yield pa.Table.from_batches(held, schema)
            held, size, count = [], 0, 0
        held.append(batch)
        size += batch.nbytes
        count += batch.num_rows
    if held:
        yield pa.Table.from_batches(held, schema)


def _sorting(metadata: pq.FileMetaData) -> Sequence[pq.SortingColumn]:
    """What the rows are sorted by, if that is known to hold for any part of them."""
    return metadata.row_group(0).sorting_columns if metadata.num_row_groups == 1 else ()


def _prove(rows: _Rows, written: pq.ParquetFile, schema: pa.Schema) -> dict[str, float]:
    """Compare what was written with what should have been; returns the largest error of each rounded column."""
    if not written.schema_arrow.equals(schema, check_metadata=True):
        raise NotTheSame("the new file's schema is another: the file stays as it is")
    lost = dict.fromkeys(rows.wanted.tolerance, 0.0)
    batches = written.iter_batches(_batch_rows(written.metadata), use_threads=False)
    try:
        for original, found in side_by_side(rows.originals(), batches):
            expected = round_columns(original, rows.wanted.tolerance)
            restored = convert(found, original.schema)
            for item, one, other in zip(original.schema, expected.columns, restored.columns, strict=True):
                if not same_values(one, other):
                    raise NotTheSame(f"column {item.name!r} reads otherwise in the new file: the file stays as it is")
            for name, allowed in rows.wanted.tolerance.items():
                lost[name] = max(lost[name], largest_error(original[name], restored[name]))
                if lost[name] > allowed:
                    raise NotTheSame(
                        f"column {name!r} moved by {lost[name]:.3g}, more than the tolerance {allowed:.3g}"
                    )
    except ValueError as error:
        if isinstance(error, NotTheSame):
            raise
        raise NotTheSame(f"the new file reads otherwise ({error}): the file stays as it is") from error
    return lost
