"""Writes the catalogue: the Parquet row groups behind the blocks, and what Parquet keeps at a file's end.

pyarrow's writer cannot go on behind bytes that it has not written. It is made to count them: zeros go into a file that
drops them (3 ms for 800 MB) until the writer stands where the archive stands, and from there on its bytes are the
archive's, with offsets that are right.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from des_platform.archive.v2.layout import PARQUET_MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROW_GROUP_ROWS = 65_536
USER_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
OWN_COLUMNS = ("name", "data_offset", "stored_size", "size", "flags", "metadata")
HASH = "\0hash"
CHECKSUM = "\0checksum"
"""Rows have two columns more on their way into the catalogue, for the pages; no column of a user is called so."""

_ZEROS = bytes(256 * 1024)


def catalogue_schema(user_columns: Mapping[str, str]) -> pa.Schema:
    """Return the columns of a catalogue.

    Raises:
        ValueError: a user column has the name of one of ours, or a type that there is not.
    """
    for name, kind in user_columns.items():
        if not name or name.startswith("\0") or name in OWN_COLUMNS or kind not in USER_TYPES:
            raise ValueError(
                f"the column {name!r} of type {kind!r} cannot be added: types are {', '.join(USER_TYPES)}, "
                f"names are not empty, and {', '.join(OWN_COLUMNS)} are taken"
            )
    fields: list[pa.Field[Any]] = [
        pa.field("name", pa.string(), nullable=False),
        pa.field("data_offset", pa.int64(), nullable=False),
        pa.field("stored_size", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("flags", pa.int32(), nullable=False),
        pa.field("metadata", pa.string()),
        *(pa.field(name, USER_TYPES[kind]) for name, kind in user_columns.items()),
    ]
    return pa.schema(fields)


class CatalogueWriter:
    """Writes one catalogue; row groups go to ``emit`` as they are made.

    Args:
        offset: where the catalogue begins in the archive.
        schema: its columns.
        emit: takes the bytes of the row groups.
    """

    def __init__(self, offset: int, schema: pa.Schema, emit: Callable[[bytes], None]) -> None:
        self._schema = schema
        self._target = _Target()
        self._file = pa.PythonFile(self._target, mode="w")
        self._writer = pq.ParquetWriter(
            self._file,
            schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=[name for name in schema.names if name not in {"name", "data_offset"}],  # type: ignore[arg-type]  # the stubs know no list
            column_encoding={"name": "DELTA_BYTE_ARRAY", "data_offset": "DELTA_BINARY_PACKED"},
            write_page_index=True,
            write_page_checksum=True,
            store_schema=False,
        )
        self.skip(offset - len(PARQUET_MAGIC))
        self._target.emit = emit

    def write(self, rows: pa.Table) -> None:
        """Write sorted rows as a row group; more than `ROW_GROUP_ROWS` make several."""
        self._writer.write_table(rows.select(self._schema.names).cast(self._schema), row_group_size=ROW_GROUP_ROWS)

    def skip(self, length: int) -> None:
        """Leave room for bytes that others write."""
        emit, self._target.emit = self._target.emit, _drop
        for _ in range(length // len(_ZEROS)):
            self._file.write(_ZEROS)
        self._file.write(_ZEROS[: length % len(_ZEROS)])
        self._target.emit = emit

    def finish(self) -> bytes:
        """Return the page indexes and the Parquet metadata, up to the end of a file."""
        end: list[bytes] = []
        self._target.emit = end.append
        self._writer.close()
        return b"".join(end)


class _Target(io.RawIOBase):
    """What pyarrow takes for a file."""

    def __init__(self) -> None:
        super().__init__()
        self.emit: Callable[[bytes], None] = _drop

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - the base class's own; pyarrow passes bytes
        self.emit(data)
        return len(data)


def _drop(data: bytes) -> None:
    """The bytes stand elsewhere."""
