"""The rows of data files, in the order asked for, as the table's columns are now, read ahead in several threads.

Opening a small file costs more than what is in it, so small ones are fetched whole and read some ten thousand rows at
once; large ones are read by row groups. Text stays dictionary encoded as long as it can, which halves the time: of
1,000 files with 5,000 rows each, pyiceberg's own scan takes three times this. A file whose columns carry no field ids,
or whose types only pyiceberg knows how to widen, goes through that scan. Memory holds a few such pieces.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import FileScanTask

from des_platform.lake.conforming import arrow_schema
from des_platform.lake.files import FOOTER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from des_platform.lake.upkeep.bag import Bag

    Read = tuple[list[bytes | None], Iterable[pa.Table]]

_AHEAD: Final = 4
_SMALL_BYTES: Final = 4 << 20
_ROWS_AT_ONCE: Final = 64 * 1024
# A row group of more than this, which the platform never writes, is read batch by batch, in the thread that asks.
_ROW_GROUP_BYTES: Final = 128 << 20
_FIELD_ID: Final = b"PARQUET:field_id"


def rows_of(
    table: Table, files: Iterable[DataFile], bag: Bag, footer: Callable[[bytes | None], None] = lambda _found: None
) -> Iterator[pa.RecordBatch]:
    """Read data files that no row was deleted from.

    Args:
        table: the table; its schema is what the batches have.
        files: its data files, in the order in which their rows come.
        bag: gets every row.
        footer: called with what each file says of its origin (`lake.files.FOOTER`), before its rows come.
    """
    for origins, pieces in _read_ahead(_Reader(table, bag, decoding=True).reads(files)):
        for origin in origins:
            footer(origin)
        for piece in pieces:
            yield from piece.to_batches()


def put_into(bag: Bag, table: Table, files: Iterable[DataFile]) -> None:
    """Put every row of some data files into a bag."""
    for _, pieces in _read_ahead(_Reader(table, bag, decoding=False).reads(files)):
        for _ in pieces:
            pass


def _read_ahead(reads: Iterator[Callable[[], Read]]) -> Iterator[Read]:
    with ThreadPoolExecutor(_AHEAD, "read ahead") as pool:
        begun = deque(pool.submit(read) for read in islice(reads, _AHEAD))
        try:
            while begun:
                yield begun.popleft().result()
                begun.extend(pool.submit(read) for read in islice(reads, 1))
        finally:
            for left in begun:
                left.cancel()


class _Reader:
    def __init__(self, table: Table, bag: Bag, *, decoding: bool) -> None:
        self._table = table
        self._bag = bag
        self._schema = arrow_schema(table.schema())
        self._decoding = decoding

    def reads(self, files: Iterable[DataFile]) -> Iterator[Callable[[], Read]]:
        """What is to be done to have all rows, in pieces that any thread may do."""
        together: list[DataFile] = []
        for file in files:
            is_small = file.file_size_in_bytes <= _SMALL_BYTES
            if together and (not is_small or sum(found.record_count for found in together) >= _ROWS_AT_ONCE):
                yield partial(self._small, together)
                together = []
            if is_small:
                together.append(file)
            else:
                yield from self._large(file)
        if together:
            yield partial(self._small, together)

    def _small(self, files: list[DataFile]) -> Read:
        origins: list[bytes | None] = []
        pieces: list[pa.Table] = []
        for file in files:
            with self._opened(file) as stream:
                content = pa.BufferReader(stream.read())
            metadata = pq.read_metadata(content)
            origins.append(_origin(metadata))
            columns = self._columns(metadata)
            if columns is None:
                pieces += self._scanned(file)
            else:
                pieces.append(self._conformed(self._parquet(content, metadata).read(use_threads=False), columns))
        return origins, [self._taken(self._joined(pieces))]

    def _large(self, file: DataFile) -> Iterator[Callable[[], Read]]:
        with self._opened(file) as stream:
            metadata = pq.read_metadata(stream)
        columns = self._columns(metadata)
        if columns is None:
            yield lambda: ([_origin(metadata)], (self._taken(piece) for piece in self._scanned(file)))
            return
        for group in range(metadata.num_row_groups):
            yield partial(self._row_group, file, metadata, group, columns)

    def _row_group(self, file: DataFile, metadata: pq.FileMetaData, group: int, columns: list[int | None]) -> Read:
        stream = self._opened(file)
        parquet = self._parquet(stream, metadata)
        if metadata.row_group(group).total_byte_size > _ROW_GROUP_BYTES:
            batches = parquet.iter_batches(_ROWS_AT_ONCE, row_groups=[group], use_threads=False)
            found = (pa.Table.from_batches([batch]) for batch in batches)
            return [_origin(metadata)], (self._taken(self._conformed(piece, columns)) for piece in found)
        with stream:
            piece = parquet.read_row_group(group, use_threads=False)
        return [_origin(metadata)], [self._taken(self._conformed(piece, columns))]

    def _parquet(self, source: pa.NativeFile, metadata: pq.FileMetaData) -> pq.ParquetFile:
        """A file whose text stays dictionary encoded where it is."""
        first = metadata.row_group(0) if metadata.num_row_groups else None
        encoded = [
            column.path_in_schema
            for column in ([first.column(number) for number in range(first.num_columns)] if first else [])
            if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page
        ]
        return pq.ParquetFile(source, metadata=metadata, read_dictionary=encoded)

    def _scanned(self, file: DataFile) -> Iterator[pa.Table]:
        scan = ArrowScan(self._table.metadata, self._table.io, self._table.schema(), AlwaysTrue())
        for batch in scan.to_record_batches([FileScanTask(file)]):
            yield pa.Table.from_batches([batch]).cast(self._schema)

    def _opened(self, file: DataFile) -> pa.NativeFile:
        stream: Any = self._table.io.new_input(file.file_path).open()
        return stream  # type: ignore[no-any-return]

    def _columns(self, metadata: pq.FileMetaData) -> list[int | None] | None:
        """Where each of the table's columns stands in a file; None if only pyiceberg can tell."""
        found = metadata.schema.to_arrow_schema()
        ids = [field.metadata and field.metadata.get(_FIELD_ID) for field in found]
        if None in ids or any(pa.types.is_nested(field.type) for field in self._schema):
            return None
        columns: list[int | None] = []
        for field, kept in zip(self._schema, self._table.schema().fields, strict=True):
            number = str(kept.field_id).encode()
            position = ids.index(number) if number in ids else None
            if position is None and kept.initial_default is not None:
                return None
            if position is not None and not _widens(found.field(position).type, field.type):
                return None
            columns.append(position)
        return columns

    def _conformed(self, found: pa.Table, columns: list[int | None]) -> pa.Table:
        """The table's columns; text may be dictionary encoded."""
        taken: list[Any] = []
        for position, field in zip(columns, self._schema, strict=True):
            if position is None:
                taken.append(pa.chunked_array([pa.nulls(found.num_rows, field.type)]))
            else:
                column = found.column(position)
                taken.append(column if pa.types.is_dictionary(column.type) else column.cast(field.type))
        return pa.table(taken, self._schema.names)

    def _joined(self, pieces: list[pa.Table]) -> pa.Table:
        """Tables one after the other; where not all have a column encoded, none has."""
        columns = []
        for field in self._schema:
            found = [piece[field.name] for piece in pieces]
            if len({column.type for column in found}) > 1:
                found = [column.cast(field.type) for column in found]
            chunks = [chunk for column in found for chunk in column.chunks]
            columns.append(pa.chunked_array(chunks, found[0].type if found else field.type))
        return pa.table(columns, self._schema.names)

    def _taken(self, piece: pa.Table) -> pa.Table:
        self._bag.add(piece)
        return piece.cast(self._schema) if self._decoding else piece


def _origin(metadata: pq.FileMetaData) -> bytes | None:
    return (metadata.metadata or {}).get(FOOTER.encode())


def _widens(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether Arrow's cast is the widening that Iceberg means."""
    if found.equals(wanted):
        return True
    texts = (pa.types.is_string, pa.types.is_large_string)
    blobs = (pa.types.is_binary, pa.types.is_large_binary)
    numbers = (pa.types.is_int32, pa.types.is_int64), (pa.types.is_float32, pa.types.is_float64)
    if any(narrow(found) and wide(wanted) for narrow, wide in numbers):
        return True
    return any(any(kind(found) for kind in kinds) and any(kind(wanted) for kind in kinds) for kinds in (texts, blobs))
