"""Thrift's compact protocol, as far as Parquet's metadata need it: reads what is asked for and skips the rest.

Nothing is built that the caller does not ask for, so bytes that lie cost no memory. What breaks the protocol is a
`CorruptArchive`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.archive.errors import CorruptArchive

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_STOP = 0
_LONG_SIZE = 15
_MAX_DEPTH = 16
_MAX_VARINT_BITS = 64
_FIXED = {BYTE: 1, DOUBLE: 8}


class CompactReader:
    """Reads one struct after its beginning.

    Args:
        data: the bytes, from the struct's first field header on.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Iterate over id and type of a struct's fields; each value has to be read or skipped before the next."""
        field = 0
        while (header := self._byte()) != _STOP:
            field = field + (header >> 4) if header >> 4 else self.integer()
            yield field, header & 15

    def integer(self) -> int:
        """Read an integer of 16, 32 or 64 bits."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        """Read bytes or a string."""
        length = self._varint()
        start = self._at
        self._move(length)
        return self._data[start : self._at]

    def items(self, kind: int) -> range:
        """Begin a list of one kind; return as many numbers as it has items, each of which has to be read.

        Raises:
            CorruptArchive: its items are of another kind, or more than there are bytes.
        """
        found, size = self._list_header()
        if size and found != kind:
            raise CorruptArchive(f"has a list of type {found} where one of type {kind} belongs")
        return range(size)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Go past a value.

        Raises:
            CorruptArchive: there is no such type, or values are nested too deeply.
        """
        if depth > _MAX_DEPTH:
            raise CorruptArchive(f"has values nested more than {_MAX_DEPTH} deep")
        if kind in {TRUE, FALSE}:
            return
        if kind in _FIXED:
            self._move(_FIXED[kind])
        elif kind in {I16, I32, I64}:
            self._varint()
        elif kind == BINARY:
            self._move(self._varint())
        elif kind in {LIST, SET}:
            self._skip_items(depth)
        elif kind == MAP:
            self._skip_map(depth)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise CorruptArchive(f"has a value of the type {kind}, which there is not")

    def _skip_items(self, depth: int) -> None:
        kind, size = self._list_header()
        for _ in range(size):
            self._skip_item(kind, depth)

    def _skip_map(self, depth: int) -> None:
        size = self._varint()
        self._require(size)
        kinds = self._byte() if size else 0
        for _ in range(size):
            self._skip_item(kinds >> 4, depth)
            self._skip_item(kinds & 15, depth)

    def _skip_item(self, kind: int, depth: int) -> None:
        # Within a list a boolean is a byte; as a field it is in its header.
        self.skip(BYTE if kind in {TRUE, FALSE} else kind, depth + 1)

    def _list_header(self) -> tuple[int, int]:
        header = self._byte()
        size = header >> 4
        if size == _LONG_SIZE:
            size = self._varint()
        self._require(size)
        return header & 15, size

    def _byte(self) -> int:
        at = self._at
        self._move(1)
        return self._data[at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
                return value
            shift += 7
            if shift >= _MAX_VARINT_BITS:
                raise CorruptArchive("has an integer of more than 64 bits")

    def _move(self, length: int) -> None:
        self._require(length)
        self._at += length

    def _require(self, length: int) -> None:
        if length > len(self._data) - self._at:
            raise CorruptArchive(f"ends {length - len(self._data) + self._at} bytes too early")
