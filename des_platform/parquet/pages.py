"""What the pages of a Parquet column chunk claim, read from their headers alone.

A header is a Thrift struct in compact form, of which only sizes matter; the rest is passed over.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from des_platform.parquet.typed_rows import DamagedFile

MAX_PAGE_BYTES: Final = 256 << 20
"""No larger page is read: writers make them of a MiB, and a reader holds one as a whole."""

_DICTIONARY_PAGE: Final = 2
_PAGE_TYPE, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3  # fields of PageHeader
_DATA_PAGES: Final = (5, 8)  # fields that tell of a page's data, first of all how many values there are
_VALUES: Final = -1
_BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 3, 4, 5, 6, 7, 8, 9, 10, 12
_BOOLEANS: Final = (1, 2)
_MAX_DEPTH: Final = 8
_MAX_VARINT_BITS: Final = 70
_LONG_LIST: Final = 15


class Claims(NamedTuple):
    """What a column chunk's pages say: the bytes of its dictionary, 0 without one, and how many values there are."""

    dictionary_bytes: int
    values: int


def claims_of(chunk: memoryview) -> Claims:
    """Return what the pages of a column chunk claim.

    Raises:
        DamagedFile: a page is larger than what is left of the chunk, or than `MAX_PAGE_BYTES` once it is uncompressed.
    """
    position = dictionary = values = 0
    while position < len(chunk):
        header = _Header(chunk, position)
        try:
            fields = header.struct()
        except IndexError:
            raise DamagedFile("a page header is cut short") from None
        size, packed = fields.get(_UNCOMPRESSED, -1), fields.get(_COMPRESSED, -1)
        position = header.position + packed
        if not 0 <= size <= MAX_PAGE_BYTES:
            raise DamagedFile(f"a page claims {size} bytes, and at most {MAX_PAGE_BYTES} are read")
        if packed < 0 or position > len(chunk):
            raise DamagedFile(f"a page claims {packed} bytes, more than its column chunk has")
        if fields.get(_PAGE_TYPE) == _DICTIONARY_PAGE:
            dictionary = max(dictionary, size)
        else:
            values += fields.get(_VALUES, 0)
    return Claims(dictionary, values)


class _Header:
    """Thrift's compact protocol, as far as a page header has it."""

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self.position = position

    def struct(self, depth: int = 0) -> dict[int, int]:
        """The whole numbers among a struct's own fields, by number, and of a page of data how many values it has."""
        if depth > _MAX_DEPTH:
            raise DamagedFile("a page header is nested too deeply")
        fields: dict[int, int] = {}
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._signed()
            if kind in (_I16, _I32, _I64):
                fields[number] = self._signed()
            elif kind == _STRUCT:
                inner = self.struct(depth + 1)
                if number in _DATA_PAGES:
                    fields[_VALUES] = inner.get(1, 0)
            elif kind not in _BOOLEANS:
                self._pass_over(kind, depth)
        return fields

    def _pass_over(self, kind: int, depth: int) -> None:
        if kind in (_BYTE, *_BOOLEANS):
            self.position += 1
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _DOUBLE:
            self.position += 8
        elif kind == _BINARY:
            size = self._varint()
            self.position += size
        elif kind in (_LIST, _SET):
            head = self._byte()
            count = self._varint() if head >> 4 == _LONG_LIST else head >> 4
            if count > len(self._data):
                raise DamagedFile("a page header has a list that is longer than the page")
            for _ in range(count):
                self._pass_over(head & 15, depth)
        elif kind == _STRUCT:
            self.struct(depth + 1)
        else:
            raise DamagedFile("a page header is none")

    def _byte(self) -> int:
        value = self._data[self.position]
        self.position += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - the last one
                return value
            shift += 7
            if shift > _MAX_VARINT_BITS:
                raise DamagedFile("a page header has a number without end")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
