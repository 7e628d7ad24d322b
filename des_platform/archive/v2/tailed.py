"""A source whose last bytes are in memory already: what lies there is never asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.archive.errors import CorruptArchive

if TYPE_CHECKING:
    from des_platform.archive.source import ByteSource

NO_TAIL = 2**64
"""A start of the tail that no offset reaches."""


class TailedSource:
    """Reads ranges of one archive, all of their bytes or an error.

    Attributes:
        size: of the archive.
        tail_start: from this offset on the bytes are in memory; `NO_TAIL` if there are none.

    Args:
        source: where the bytes come from.
        where: names the archive in errors.
        size: of the archive.
        tail: its last bytes; nothing, where they have not been read.
    """

    __slots__ = ("_source", "_tail", "_where", "size", "tail_start")

    def __init__(self, source: ByteSource, where: str, size: int, tail: bytes = b"") -> None:
        self.size = size
        self.tail_start = size - len(tail) if tail else NO_TAIL
        self._source = source
        self._where = where
        self._tail = tail

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, which have to lie in the archive.

        Raises:
            CorruptArchive: the source has fewer.
        """
        if offset >= self.tail_start:
            start = offset - self.tail_start
            data = self._tail[start : start + length]
        else:
            data = self._source.read_range(offset, length) if length else b""
        if len(data) != length:
            raise CorruptArchive(
                f"{self._where}: got {len(data)} bytes for the {length} at {offset}: cut or replaced since opened?"
            )
        return data
