"""Files cut into chunks where their records end, so that each chunk is a readable file of its own.

The record is the line. One that is longer than a chunk is cut anywhere, and counted; what is no text is cut at the
size. No byte is changed, left out or added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK_BYTES = 400 << 10
"""Bytes of a file in each chunk, before it is compressed."""

_LINE_END = b"\n"
_LOOKED_AT_BYTES = 8000  # as far as git looks for a NUL


class Cutter:
    """Cuts one file.

    Args:
        size: most bytes of a chunk.

    Attributes:
        cut_records: records that are longer than a chunk, and so were cut.
    """

    def __init__(self, size: int) -> None:
        self.cut_records = 0
        self._size = size
        self._within = False  # whether the next chunk goes on with a record that was cut

    def cut(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the same bytes in chunks; one empty chunk where there are no bytes."""
        waiting = bytearray()
        text: bool | None = None
        number = 0
        for part in data:
            waiting += part
            if text is None and len(waiting) > min(self._size, _LOOKED_AT_BYTES):
                text = b"\0" not in waiting[:_LOOKED_AT_BYTES]
            start = 0
            while len(waiting) - start > self._size:
                end = self._end(waiting, start) if text else start + self._size
                yield bytes(waiting[start:end])
                start = end
                number += 1
            del waiting[:start]
        if waiting or not number:
            yield bytes(waiting)

    def _end(self, waiting: bytearray, start: int) -> int:
        """Where the chunk ends that begins at `start`."""
        end = waiting.rfind(_LINE_END, start, start + self._size) + 1
        if end:
            self._within = False
            return end
        self.cut_records += not self._within
        self._within = True
        return start + self._size
