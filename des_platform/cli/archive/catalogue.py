"""An archive's catalogue as a table in memory, wherever the archive is; its files' bytes are not read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from des_platform.files.locations import open_source

if TYPE_CHECKING:
    import pyarrow as pa

    from des_platform.archive import ByteSource, DesReader
    from des_platform.files.locations import Location

_TAIL_BYTES = 64 * 1024
_AHEAD_BYTES = 4 * 1024 * 1024


def catalogue_of(location: Location) -> pa.Table:
    """Return the catalogue: name, data_offset, stored_size, size, flags, metadata, and of version 2 the user's columns.

    Raises:
        CorruptArchive: the archive is broken.
    """
    from des_platform.archive import DesReader

    with open_source(location) as source:
        ahead = _ReadAhead(source)
        reader = DesReader(ahead)
        return _table_of_v1(reader) if reader.version == 1 else _table_of_v2(ahead, str(location))


def _table_of_v2(source: _ReadAhead, where: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from des_platform.archive import CorruptArchive

    try:
        return pq.read_table(pa.PythonFile(io.BufferedReader(_AsFile(source), _TAIL_BYTES)))
    except (pa.ArrowException, OSError) as error:
        raise CorruptArchive(f"{where}: the catalogue cannot be read: {error}") from error


def _table_of_v1(reader: DesReader) -> pa.Table:
    import json

    import pyarrow as pa

    names = ("name", "data_offset", "stored_size", "size", "flags", "metadata")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for entry in reader.iter_entries():
        meta = json.dumps(reader.get_meta(entry.name), ensure_ascii=False)
        for column, value in zip(columns.values(), (*entry, meta), strict=True):
            column.append(value)
    types: tuple[pa.DataType, ...] = (pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.int32(), pa.string())
    return pa.table(columns, schema=pa.schema(list(zip(names, types, strict=True))))


class _ReadAhead:
    """A source that reads a few MiB at once: version 1 keeps its metadata side by side, and gives them one by one."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        tail, self.size = source.read_tail(_TAIL_BYTES)
        self._start, self._kept = self.size - len(tail), tail

    @property
    def identity(self) -> str | None:
        return self._source.identity

    def read_tail(self, length: int) -> tuple[bytes, int]:
        start = max(0, self.size - length)
        return self.read_range(start, self.size - start), self.size

    def read_range(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if not self._start <= offset <= offset + length <= self._start + len(self._kept):
            most = min(max(length, _AHEAD_BYTES), self.size - offset)
            self._start, self._kept = offset, self._source.read_range(offset, most)
        return self._kept[offset - self._start :][:length]


class _AsFile(io.RawIOBase):
    """A source as a file."""

    def __init__(self, source: _ReadAhead) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._source.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a buffer
        data = self._source.read_range(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
