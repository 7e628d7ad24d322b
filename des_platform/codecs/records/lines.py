"""A file cut into blocks of whole lines, each with the positions of its lines.

A line ends with its line feed. What has none, the file's last line or a piece of a line that is too long, is a line
that no template fits, so it is kept as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

BLOCK_BYTES = 4 << 20
"""Original bytes of a block, and so of a row group, unless one line is longer."""

MAX_FIELDS = 700_000
"""Fields of a block, a column's in every line: of lines with many short fields a block has fewer bytes."""

LEAST_BLOCK_BYTES = 256 << 10
"""No block is made smaller than that, however many columns there are."""

MAX_LINE_BYTES = 1 << 20
"""A longer line is kept in pieces of this length."""

MAX_GROUP_BYTES = 128 << 20
"""A row group that would take more, stored or written as lines, is none that this codec wrote: it is not read."""

PADDING = 64
"""Bytes before and behind a block's own, so that numbers can be read eight bytes at a time."""

LINE_FEED = 10
_ASCII = 0x7F


def blocks(chunks: Iterable[bytes], size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Cut into pieces of whole lines.

    Args:
        chunks: the file, cut anywhere; where does not change the pieces.
        size: the most bytes of a piece; one without a line feed in so many bytes is cut there.
    """
    kept = bytearray()
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            kept += memoryview(chunk)[start : start + size]
            while len(kept) >= size:
                end = kept.rfind(b"\n", 0, size) + 1 or size
                yield bytes(memoryview(kept)[:end])
                del kept[:end]
    if kept:
        yield bytes(kept)


@dataclass(frozen=True)
class Block:
    """Some lines of a file.

    Attributes:
        data: their bytes, with `PADDING` zero bytes before and behind.
        starts: where each line begins in `data`.
        ends: where each line's line feed is; where the next line begins, for one that has none.
        after: where the next line begins.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    after: NDArray[np.int64]
    _places: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, text: bytes) -> Block:
        """Find the lines of a piece of a file."""
        import numpy as np

        size = len(text)
        data = np.zeros(size + 2 * PADDING, np.uint8)
        data[PADDING : PADDING + size] = np.frombuffer(text, np.uint8)
        feeds = np.flatnonzero(data[PADDING : PADDING + size] == LINE_FEED)
        after = feeds + (PADDING + 1)
        ends = after - 1
        if size and (not len(feeds) or feeds[-1] != size - 1):
            cuts = np.arange(after[-1] if len(after) else PADDING, PADDING + size, MAX_LINE_BYTES)[1:]
            rest = np.append(cuts, PADDING + size)
            after, ends = np.concatenate([after, rest]), np.concatenate([ends, rest])
        starts = np.empty_like(after)
        starts[:1], starts[1:] = PADDING, after[:-1]
        return cls(data, starts, ends, after)

    @property
    def rows(self) -> int:
        """How many lines."""
        return len(self.starts)

    def line(self, row: int) -> bytes:
        """One line, without its line feed."""
        return self.data[self.starts[row] : self.ends[row]].tobytes()

    def sample(self, most: int) -> list[int]:
        """Lines spread over the block evenly."""
        step = max(1, self.rows // most)
        return list(range(0, self.rows, step))[:most]

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The eight bytes from each position on, the first of them the least significant."""
        import numpy as np

        return np.ndarray(shape=(len(self.data) - 8,), dtype="<u8", buffer=self.data, strides=(1,))

    def places(self, characters: str) -> NDArray[np.int64]:
        """Where these characters are."""
        import numpy as np

        if characters not in self._places:
            found = np.zeros(0, np.int64)
            for byte in characters.encode():
                found = np.concatenate([found, np.flatnonzero(self.data == byte)])
            self._places[characters] = np.sort(found)
        return self._places[characters]

    def windows(self, width: int) -> NDArray[np.bytes_]:
        """The `width` bytes from each position on."""
        import numpy as np

        return np.ndarray(shape=(len(self.data) - width,), dtype=f"S{width}", buffer=self.data, strides=(1,))

    @cached_property
    def backslashes(self) -> NDArray[np.int64]:
        """Where the backslashes are."""
        import numpy as np

        return np.flatnonzero(self.data == ord("\\"))

    @cached_property
    def quotes(self) -> NDArray[np.int64]:
        """Where the quotes are that no backslash escapes."""
        import numpy as np

        quotes = np.flatnonzero(self.data == ord('"'))
        if not len(self.backslashes):
            return quotes
        slashes = self.backslashes
        fresh = np.ones(len(slashes), bool)
        fresh[1:] = np.diff(slashes) != 1
        first = np.maximum.accumulate(np.where(fresh, np.arange(len(slashes)), 0))
        escaping = slashes[(np.arange(len(slashes)) - first) % 2 == 0]
        escaped = np.zeros(len(self.data), bool)
        escaped[escaping + 1] = True
        return quotes[~escaped[quotes]]


def not_utf8(text: bytes, block: Block) -> NDArray[np.bool_] | None:
    """Which lines of a block are no UTF-8; None if all are.

    Args:
        text: the block's bytes.
        block: its lines.
    """
    try:
        text.decode()
    except UnicodeDecodeError:
        import numpy as np

        wrong = np.zeros(block.rows, bool)
        high = np.flatnonzero(block.data > _ASCII)
        for row in np.unique(np.searchsorted(block.after, high, side="right")):
            try:
                block.line(row).decode()
            except UnicodeDecodeError:
                wrong[row] = True
        return wrong
    return None
