"""Reads the catalogue: the names of an archive in their order, and what Parquet keeps of each.

The archive's own reads stand apart from Parquet's: the bytes of the wanted columns of a row group are fetched first, in
one range where they lie together, and pyarrow then sees these bytes alone. So whatever the source raises is passed on
as it is, and whatever pyarrow raises says that the catalogue is broken: `CorruptArchive`. Every row group is checked
when it is read: types, number of rows, order of names, offsets. Safe for threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from crc32c import crc32c

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import IndexEntry
from des_platform.archive.v2.catalogue_writer import OWN_COLUMNS, USER_TYPES, catalogue_schema
from des_platform.archive.v2.columns import TYPES, NameColumn, SparseFile, check_numbers, read_names
from des_platform.archive.v2.layout import END_BYTES, PARQUET_END_BYTES, Footer, check_crc
from des_platform.archive.v2.parquet_metadata import ParquetMetadata, parse_parquet_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive.v2.tailed import TailedSource

_ENTRY_COLUMNS = ("name", "data_offset", "stored_size", "size", "flags")
_META_COLUMNS = ("name", "size", "metadata")
_JOIN_GAP = 64 * 1024
_GROUPS_KEPT = 4
_BYTES_KEPT = 64 * 1024 * 1024
_MAX_GROUP_BYTES = 2**31 - 1
"""What pyarrow takes for one array of strings, and more than row groups as they should be come to."""
_ROWS_AT_ONCE = 4096


class _Group(NamedTuple):
    """One row group.

    Attributes:
        number: its number.
        rows: how many it has.
        first: the smallest name; None where there are no statistics.
        last: the largest name.
    """

    number: int
    rows: int
    first: bytes | None
    last: bytes | None


class _Decoded(NamedTuple):
    names: NameColumn
    table: pa.Table


class Catalogue:
    """The names of one archive.

    Args:
        source: the archive's bytes.
        footer: of the archive.
        where: names the archive in errors.

    Raises:
        CorruptArchive: the Parquet metadata are broken, or of something else than a catalogue.
    """

    def __init__(self, source: TailedSource, footer: Footer, where: str) -> None:
        self._source = source
        self._footer = footer
        self.where = self._where = f"{where}: the catalogue"
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, tuple[str, ...]], _Decoded] = OrderedDict()
        self._parsed, self._metadata = self._read_metadata()
        self._columns = {column.name: number for number, column in enumerate(self._parsed.columns)}
        self._check_schema()
        self._groups = self._read_groups()

    def entries(self, prefix: bytes) -> Iterator[IndexEntry]:
        """Iterate over the files whose names start with a prefix, in the order of their names.

        Raises:
            CorruptArchive: a row group is broken.
        """
        end = _successor(prefix)
        before: bytes | None = None
        for group in self._groups:
            # A row group without statistics has to be read.
            if group.last is not None and group.last < prefix:
                continue
            if group.first is not None and end is not None and group.first >= end:
                break
            names, table = self._decoded(group, _ENTRY_COLUMNS)
            if before is not None and len(names) and names[0] <= before:
                self._refuse(f"has a row group {group.number} whose names belong before others")
            before = names[len(names) - 1] if len(names) else before
            start = names.find(prefix)
            stop = len(names) if end is None else names.find(end)
            for at in range(start, stop, _ROWS_AT_ONCE):
                part = table.slice(at, min(_ROWS_AT_ONCE, stop - at))
                yield from map(IndexEntry, *(column.to_pylist() for column in part.columns))

    def metadata(self, name: bytes) -> tuple[str | None, int] | None:
        """Return the metadata of a file as JSON, and the file's size; None if there is no such file.

        Raises:
            CorruptArchive: a row group is broken.
        """
        for group in self._groups:
            if group.last is not None and group.last < name:
                continue
            if group.first is not None and group.first > name:
                break
            names, table = self._decoded(group, _META_COLUMNS)
            at = names.find(name)
            if at < len(names) and names[at] == name:
                return table.column("metadata")[at].as_py(), table.column("size")[at].as_py()
        return None

    @property
    def user_columns(self) -> dict[str, str]:
        """The user's columns and their types, as a schema block names them.

        Raises:
            CorruptArchive: one is of a type that there is not.
        """
        with self._translated():
            schema = self._metadata.schema.to_arrow_schema()
        kinds = {kind: name for name, kind in USER_TYPES.items()}
        found = {field.name: kinds.get(field.type, "") for field in schema if field.name not in OWN_COLUMNS}
        for name, kind in found.items():
            if not kind or name.startswith("\0"):
                self._refuse(f"has a column {name!r} of type {schema.field(name).type}")
        return found

    def tables(self) -> Iterator[pa.Table]:
        """Iterate over all row groups with all their columns, the user's included.

        Raises:
            CorruptArchive: a row group is broken.
        """
        columns = (*OWN_COLUMNS, *self.user_columns)
        schema = pa.schema([field.with_nullable(True) for field in catalogue_schema(self.user_columns)])
        for group in self._groups:
            yield self._decode(group, columns).table.cast(schema)

    def _read_metadata(self) -> tuple[ParquetMetadata, pq.FileMetaData]:
        start, size = self._footer.parquet_offset, self._source.size
        raw = self._source.read(start, size - start)
        crc = crc32c(raw[-PARQUET_END_BYTES:], crc32c(raw[:-END_BYTES]))
        check_crc(f"{self._where}'s end", self._footer.parquet_crc, crc)
        self._check_in_memory()
        with self._translated():
            metadata = parse_parquet_metadata(raw)
            # To find the metadata pyarrow needs a file that ends as this one does, and no more of it.
            return metadata, pq.read_metadata(pa.BufferReader(raw))

    def _check_in_memory(self) -> None:
        """Compare the checksum over all row groups, where it needs no read; Parquet's pages may have their own."""
        start, length = self._footer.catalogue_offset, self._footer.catalogue_length
        if start >= self._source.tail_start:
            check_crc(self._where, self._footer.catalogue_crc, crc32c(self._source.read(start, length)))

    def _check_schema(self) -> None:
        for name, (_, physical, repetition) in TYPES.items():
            if name not in self._columns:
                self._refuse(f"has no column {name!r}")
            column = self._parsed.columns[self._columns[name]]
            if (column.physical, column.repetition) != (physical, repetition):
                self._refuse(f"has a column {name!r} that is {column} instead of {(physical, repetition)}")
        if self._parsed.rows != self._footer.count:
            self._refuse(f"has {self._parsed.rows} rows for {self._footer.count} files")

    def _read_groups(self) -> list[_Group]:
        groups = []
        before = None
        for number, row_group in enumerate(self._parsed.row_groups):
            names = row_group.chunks[self._columns["name"]]
            first, last = names.least, names.most
            if first is not None and last is not None and (first > last or (before is not None and before >= first)):
                self._refuse(f"has a row group {number} with names from {first!r} to {last!r}, behind {before!r}")
            before = last if last is not None else before
            groups.append(_Group(number, row_group.rows, first, last))
        return groups

    def _decoded(self, group: _Group, columns: tuple[str, ...]) -> _Decoded:
        key = (group.number, columns)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        decoded = self._decode(group, columns)
        with self._lock:
            self._kept[key] = decoded
            while len(self._kept) > 1 and (
                len(self._kept) > _GROUPS_KEPT or sum(kept.table.nbytes for kept in self._kept.values()) > _BYTES_KEPT
            ):
                self._kept.popitem(last=False)
        return decoded

    def _decode(self, group: _Group, columns: tuple[str, ...]) -> _Decoded:
        file = SparseFile(self._source.size, self._fetch(group, columns))
        with self._translated():
            reader = pq.ParquetFile(
                pa.PythonFile(file, mode="r"),
                metadata=self._metadata,
                read_dictionary=["metadata"],
                pre_buffer=False,
                page_checksum_verification=True,
            )
            names = read_names(reader, group.number)
            others = [name for name in columns if name != "name"]
            table = reader.read_row_group(group.number, columns=others, use_threads=False).select(others)
            types = [TYPES[name].arrow if name in TYPES else table.schema.field(name).type for name in others]
            table = table.cast(pa.schema(list(zip(others, types, strict=True)))).combine_chunks()
            table.validate(full=True)
            check_numbers(table, self._footer.catalogue_offset)
            table = table.add_column(0, "name", names)
        column = NameColumn(names)
        if len(column) != group.rows:
            self._refuse(f"has {len(column)} rows instead of {group.rows} in row group {group.number}")
        if len(column):
            first, last = column[0], column[len(column) - 1]
            if (group.first or first, group.last or last) != (first, last):
                self._refuse(f"has other names in row group {group.number} than its statistics say")
        return _Decoded(column, table)

    def _fetch(self, group: _Group, columns: tuple[str, ...]) -> list[tuple[int, bytes]]:
        """Read the bytes of some columns, as many ranges as they are apart."""
        row_group = self._parsed.row_groups[group.number]
        chunks = [row_group.chunks[self._columns[name]] for name in columns]
        low, high = self._footer.catalogue_offset, self._footer.pages_offset
        if sum(max(0, chunk.unpacked) for chunk in chunks) > _MAX_GROUP_BYTES or not all(
            low <= chunk.start < chunk.end <= high for chunk in chunks
        ):
            self._refuse(f"has columns of row group {group.number} beyond {low} to {high}, or too long: {chunks}")
        spans: list[tuple[int, int]] = []
        for start, end in sorted(chunk[:2] for chunk in chunks):
            if spans and start - spans[-1][1] <= _JOIN_GAP:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        return [(start, self._source.read(start, end - start)) for start, end in spans]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Whatever goes wrong over bytes that are in memory already is wrong with the bytes."""
        try:
            yield
        except CorruptArchive as error:
            raise CorruptArchive(f"{self._where} {error}") from error
        except Exception as error:
            raise CorruptArchive(f"{self._where} cannot be read as Parquet: {error}") from error

    def _refuse(self, what: str) -> NoReturn:
        raise CorruptArchive(f"{self._where} {what}")


def _successor(prefix: bytes) -> bytes | None:
    """Return the smallest bytes that are greater than all that start with a prefix; None if there are none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
