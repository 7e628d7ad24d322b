"""The Parquet file around the columns: its metadata and its seal.

Between the last column and Parquet's footer, where no reader looks, stand 40 bytes: `DESR0001`, the xxh3-128 of all
that is before them, and the xxh3-128 of all that is behind them. They are checked before anything else looks at the
file, since readers of Parquet trust its footer.
"""

from __future__ import annotations

import struct
import tempfile
from typing import IO, TYPE_CHECKING

import xxhash

from des_platform.codecs.errors import CorruptStream

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = b"DESR0001"
_SEAL_BYTES = 40
_END = struct.Struct("<I4s")
_PARQUET = b"PAR1"
_PIECE = 1 << 20
MAX_FOOTER_BYTES = 64 << 20
"""A longer footer is taken for a lie: it would be read into memory whole."""


class Sink:
    """A file that is written once, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._hash = xxhash.xxh3_128()
        self._size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Take bytes over."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._size

    def flush(self) -> None:
        """Nothing: all is in memory."""

    def close(self) -> None:
        """No more will come."""
        self.closed = True

    def take(self) -> bytes:
        """What was written since the last time; it is before the seal."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._hash.update(data)
        return data

    def take_sealed(self) -> bytes:
        """The rest of the file, its footer among it, with the seal in its place."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        footer = len(data) - _END.size - _END.unpack(data[-_END.size :])[0]
        self._hash.update(data[:footer])
        seal = MAGIC + self._hash.digest() + xxhash.xxh3_128(data[footer:]).digest()
        return data[:footer] + seal + data[footer:]


def spool(chunks: Iterable[bytes]) -> IO[bytes]:
    """Write a file to where it can be read from its end, and check its seal.

    Raises:
        CorruptStream: it is no such file, or a byte of it is not what it was.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for chunk in chunks:
            file.write(chunk)
        _check(file)
    except BaseException:
        file.close()
        raise
    return file


def _check(file: IO[bytes]) -> None:
    size = file.seek(0, 2)
    if size < len(_PARQUET) + _SEAL_BYTES + _END.size:
        raise CorruptStream(f"records: {size} bytes are no Parquet file; fetch the object again")
    file.seek(size - _END.size)
    length, magic = _END.unpack(file.read(_END.size))
    footer = size - _END.size - length
    if magic != _PARQUET or length > MAX_FOOTER_BYTES or footer < len(_PARQUET) + _SEAL_BYTES:
        raise CorruptStream("records: this does not end as a Parquet file does; fetch the object again")
    file.seek(footer - _SEAL_BYTES)
    seal, rest = file.read(_SEAL_BYTES), file.read()
    if seal[: len(MAGIC)] != MAGIC:
        raise CorruptStream("records: a Parquet file, but none that this codec wrote")
    if seal[24:] != xxhash.xxh3_128(rest).digest():
        raise CorruptStream("records: the file's metadata are damaged; fetch the object again")
    file.seek(0)
    digest, left = xxhash.xxh3_128(), footer - _SEAL_BYTES
    while left and (piece := file.read(min(_PIECE, left))):
        digest.update(piece)
        left -= len(piece)
    if seal[8:24] != digest.digest():
        raise CorruptStream("records: the file's columns are damaged; fetch the object again")
    file.seek(0)
