"""Columns of an index in the least memory: numbers in the narrowest type, offsets as sums, names compressed.

An archive of a million regular names takes 10 MB so, where its index has 68 MB and dictionaries of entry objects take
over 300.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Column = NDArray[np.unsignedinteger]

_STEP = 64
_NAMES_PER_FRAME = 256
_LEVEL = 1


def narrow(column: Column) -> Column:
    """Return the same numbers in the narrowest type that holds them; one number for all takes no room."""
    if not len(column):
        return np.zeros(0, np.uint8)
    highest = column.max()
    narrowest = np.min_scalar_type(highest)
    if column.min() == highest:
        return np.broadcast_to(highest.astype(narrowest), column.shape)
    return column.astype(narrowest)


def join(parts: Sequence[Column]) -> Column:
    """Return narrow columns as one."""
    if len(parts) == 1:
        return parts[0]
    return narrow(np.concatenate([np.zeros(0, np.uint8), *parts]))


class Offsets:
    """Where things stand: a mark for every 64th while they stand back to back, each offset as soon as one does not.

    Args:
        start: where the first one stands if they stand back to back.
    """

    def __init__(self, start: int) -> None:
        self._start = self._next = start
        self._given: list[Column] | None = None
        self._marks: Column = np.zeros(0, np.uint64)
        self._lengths: Column = np.zeros(0, np.uint8)
        self._offsets: Column | None = None

    def append(self, offsets: Column, lengths: Column, before: Sequence[Column]) -> None:
        """Take in the next offsets; ``lengths`` are of these things, ``before`` those of all earlier ones."""
        ends = np.cumsum(lengths, dtype=np.uint64)
        ends += np.uint64(self._next)
        if self._given is None:
            if int(offsets[0]) == self._next and np.array_equal(offsets[1:], ends[:-1]):
                self._next = int(ends[-1])
                return
            earlier = np.concatenate([np.zeros(0, np.uint8), *before])
            self._given = [np.cumsum(earlier, dtype=np.uint64) - earlier + np.uint64(self._start)]
        self._given.append(narrow(offsets))

    def finish(self, lengths: Column) -> None:
        """Be ready for reading; ``lengths`` are of all."""
        if self._given is not None:
            self._offsets = join(self._given)
            self._given = None
        elif len(lengths):
            steps = np.add.reduceat(lengths, np.arange(0, len(lengths), _STEP), dtype=np.uint64)
            self._marks = np.cumsum(steps) - steps + np.uint64(self._start)
            self._lengths = lengths

    def __getitem__(self, ordinal: int) -> int:
        if self._offsets is not None:
            return int(self._offsets.item(ordinal))
        mark = ordinal // _STEP
        return int(self._marks.item(mark)) + _sum(self._lengths, mark * _STEP, ordinal)

    def between(self, first: int, end: int) -> list[int]:
        """Return the offsets from one ordinal on, up to another."""
        if self._offsets is not None:
            return cast("list[int]", self._offsets[first:end].tolist())
        return list(accumulate(self._lengths[first : end - 1].tolist(), initial=self[first]))


class Names:
    """The names, in frames of up to 256; to read one takes 8 us, one of the frame that was read last 1 us."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._edges = [0]
        self._firsts: list[int] = []
        self._parts: list[Column] = []
        self._lengths: Column = np.zeros(0, np.uint8)
        self._count = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        # A decompressor is not for several threads at once.
        self._lock = threading.Lock()
        self._decompressor = zstandard.ZstdDecompressor()
        self._blob = b""
        self._last: tuple[int, bytes] = (-1, b"")

    def append(self, names: bytes, lengths: Column) -> None:
        """Take in the next names, back to back."""
        edges = [0, *np.cumsum(lengths, dtype=np.int64)[_NAMES_PER_FRAME - 1 :: _NAMES_PER_FRAME].tolist()]
        if edges[-1] < len(names):
            edges.append(len(names))
        frames = [self._compressor.compress(names[start:end]) for start, end in pairwise(edges)]
        for number, frame in enumerate(frames):
            self._edges.append(self._edges[-1] + len(frame))
            self._firsts.append(self._count + number * _NAMES_PER_FRAME)
        # Joined, because a frame by itself takes as much memory as it could have been long.
        self._frames.append(b"".join(frames))
        self._count += len(lengths)
        self._parts.append(narrow(lengths))

    def finish(self) -> None:
        """Be ready for reading."""
        self._lengths = join(self._parts)
        self._blob = b"".join(self._frames)
        self._parts, self._frames = [], []
        del self._compressor

    def __getitem__(self, ordinal: int) -> bytes:
        number = bisect_right(self._firsts, ordinal) - 1
        start = _sum(self._lengths, self._firsts[number], ordinal)
        return self._frame(number)[start : start + int(self._lengths.item(ordinal))]

    def frames(self) -> Iterator[tuple[int, list[str]]]:
        """Iterate over all names in order, some at a time, and the ordinal of the first of them."""
        for number, (first, end) in enumerate(pairwise([*self._firsts, self._count])):
            lengths = self._lengths[first:end].tolist()
            names = self._frame(number)
            ends = accumulate(lengths)
            yield first, [str(names[stop - length : stop], "utf-8") for length, stop in zip(lengths, ends, strict=True)]

    def _frame(self, number: int) -> bytes:
        last, names = self._last
        if last != number:
            frame = self._blob[self._edges[number] : self._edges[number + 1]]
            with self._lock:
                names = self._decompressor.decompress(frame)
            self._last = number, names
        return names


def _sum(column: Column, start: int, end: int) -> int:
    if column.strides[0] == 0:  # all the same
        return (end - start) * int(column.item(0))
    return sum(column[start:end].tolist())
