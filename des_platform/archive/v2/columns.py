"""Between the archive and pyarrow: a file of which a few ranges are there, decoded columns checked, names searched.

Whatever breaks a rule is a `CorruptArchive` that says what; the catalogue says where.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_COMPRESSED, FLAG_EXTERNAL, MAX_NAME_BYTES
from des_platform.archive.v2.layout import HEADER_BYTES
from des_platform.archive.v2.parquet_metadata import BYTE_ARRAY, INT32, INT64, OPTIONAL, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow.parquet as pq


class ColumnType(NamedTuple):
    """What a column of the catalogue is.

    Attributes:
        arrow: the type that it is decoded to.
        physical: Parquet's number of its type.
        repetition: Parquet's number for whether its values may be missing.
    """

    arrow: pa.DataType
    physical: int
    repetition: int


TYPES = {
    "name": ColumnType(pa.string(), BYTE_ARRAY, REQUIRED),
    "data_offset": ColumnType(pa.int64(), INT64, REQUIRED),
    "stored_size": ColumnType(pa.int64(), INT64, REQUIRED),
    "size": ColumnType(pa.int64(), INT64, REQUIRED),
    "flags": ColumnType(pa.int32(), INT32, REQUIRED),
    # One long value that all rows repeat is small in Parquet: it stays so in memory.
    "metadata": ColumnType(pa.dictionary(pa.int32(), pa.string()), BYTE_ARRAY, OPTIONAL),
}
_NAMES_AT_ONCE = 1024
_MAX_NAMES_BYTES = 2**30


class SparseFile(io.RawIOBase):
    """What pyarrow takes for the whole archive: only some ranges have bytes, and whoever reads elsewhere was misled.

    Args:
        size: of the whole.
        parts: offset and bytes of each range.
    """

    def __init__(self, size: int, parts: Sequence[tuple[int, bytes]]) -> None:
        super().__init__()
        self._size = size
        self._parts = parts
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and return it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, length: int = -1) -> bytes:
        """Return bytes from the position on; fewer only at the end of the whole.

        Raises:
            CorruptArchive: they are not in one of the ranges.
        """
        end = self._size if length < 0 else min(self._size, self._at + length)
        for start, data in self._parts:
            if start <= self._at and end <= start + len(data):
                piece = data[self._at - start : end - start]
                self._at += len(piece)
                return piece
        raise CorruptArchive(f"leads to the bytes from {self._at} to {end}, which are others'")


class NameColumn:
    """Sorted names as bytes, searched where they lie: 65,536 of them as Python strings would take 5 MB and 10 ms."""

    def __init__(self, names: pa.Array[Any]) -> None:
        _, offsets, data = names.buffers()
        self._length = len(names)
        self._offsets = memoryview(offsets or bytes(4)).cast("B").cast("i")
        self._data = memoryview(data or b"")

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: int) -> bytes:
        return bytes(self._data[self._offsets[at] : self._offsets[at + 1]])

    def find(self, name: bytes) -> int:
        """Return the number of the first name that is not smaller."""
        return bisect_left(range(len(self)), name, key=self.__getitem__)


def read_names(reader: pq.ParquetFile, row_group: int) -> pa.Array[Any]:
    """Return the names of a row group, as an array that is not a slice of another.

    Few at a time are decoded, and those are checked: a column that repeats or prefixes a long name grows a thousandfold
    when it is decoded, and the names of no honest archive do.

    Raises:
        CorruptArchive: they are not in order, or too long.
    """
    parts: list[pa.Array[Any]] = [pa.array([], pa.string())]
    total = 0
    for batch in reader.iter_batches(
        batch_size=_NAMES_AT_ONCE, row_groups=[row_group], columns=["name"], use_threads=False
    ):
        names: pa.Array[Any] = batch.column(0).cast(pa.string())
        names.validate(full=True)
        if names.null_count:
            raise CorruptArchive("has rows without a name")
        total += names.nbytes
        if total > _MAX_NAMES_BYTES or _longest(names) > MAX_NAME_BYTES:
            raise CorruptArchive(f"has names of more than {MAX_NAME_BYTES} bytes, or too many for memory")
        if not _ascending(pa.concat_arrays([parts[-1][-1:], names])):
            raise CorruptArchive("has names that are not in order")
        parts.append(names)
    return pa.concat_arrays(parts)


def check_numbers(table: pa.Table, blocks_end: int) -> None:
    """Check the catalogue's own columns of a row group, except names and metadata.

    Raises:
        CorruptArchive: a value is missing, or no file could have it.
    """
    limits = {"data_offset": (HEADER_BYTES, blocks_end), "stored_size": (0, blocks_end), "size": (0, 2**63 - 1)}
    limits["flags"] = (0, 0xFFFF)
    for name in limits.keys() & set(table.column_names):
        column = table.column(name)
        if column.null_count:
            raise CorruptArchive(f"has rows without {name!r}")
        least, most = limits[name]
        low, high = (pc.min_max(column)[key].as_py() for key in ("min", "max"))
        if table.num_rows and (low < least or high > most):
            raise CorruptArchive(f"has {name!r} from {low} to {high}, beyond {least} to {most}")
    if "data_offset" in table.column_names and table.num_rows:
        _check_together(table, blocks_end)


def _check_together(table: pa.Table, blocks_end: int) -> None:
    offsets, stored, sizes, flags = (table.column(name) for name in ("data_offset", "stored_size", "size", "flags"))
    last = pc.max(pc.add(offsets, stored)).as_py()
    if last > blocks_end:
        raise CorruptArchive(f"has a file that ends at {last}, behind the blocks, which end at {blocks_end}")
    others = pa.scalar(FLAG_EXTERNAL | FLAG_COMPRESSED, pa.int32())
    plain = pc.equal(pc.bit_wise_and(flags, others), pa.scalar(0, pa.int32()))
    if pc.any(pc.and_(plain, pc.not_equal(stored, sizes))).as_py():
        raise CorruptArchive("has a plain file that is stored with another length than its own")


def _longest(names: pa.Array[Any]) -> int:
    longest = pc.max(pc.binary_length(names)).as_py()  # type: ignore[call-overload]  # the stubs want no array of any type
    return longest or 0


def _ascending(names: pa.Array[Any]) -> bool:
    return len(names) < 2 or bool(pc.all(pc.less(names[:-1], names[1:])).as_py())  # noqa: PLR2004 - one is in order
