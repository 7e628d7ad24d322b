"""Byte ranges of one object, gathered into requests.

A request to S3 costs tens of milliseconds before its first byte and a fee; 64 KiB cost about one. So ranges that lie
at most `MAX_GAP` apart share a request, up to `MAX_SPAN` bytes, which bounds what is read for nothing and what one
request holds in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_GAP = 64 * 1024
MAX_SPAN = 8 * 1024 * 1024
SPANS_AT_ONCE = 8


@dataclass(slots=True)
class Span:
    """One request and the ranges that it serves.

    Attributes:
        offset: first byte.
        length: bytes.
        ranges: (index in the caller's list, offset in the object, length) of each.
    """

    offset: int
    length: int
    ranges: list[tuple[int, int, int]]

    def cut(self, data: bytes) -> list[tuple[int, bytes]]:
        """The ranges' bytes, each with its index, from the bytes of the span."""
        return [(index, data[start - self.offset : start - self.offset + size]) for index, start, size in self.ranges]


def check_range(offset: int, length: int) -> None:
    """Refuse a range that no object can have.

    Raises:
        ValueError: a negative offset or length.
    """
    if offset < 0 or length < 0:
        raise ValueError(f"a range of {length} bytes at offset {offset} is none: neither may be negative")


def spans_of(ranges: Sequence[tuple[int, int]]) -> list[Span]:
    """Plan the requests for ranges in any order.

    An empty range needs none, one longer than `MAX_SPAN` has a request of its own.

    Args:
        ranges: (offset, length) pairs in bytes.

    Raises:
        ValueError: a negative offset or length.
    """
    for offset, length in ranges:
        check_range(offset, length)
    wanted = sorted((offset, length, index) for index, (offset, length) in enumerate(ranges) if length)
    spans: list[Span] = []
    for offset, length, index in wanted:
        last = spans[-1] if spans else None
        if last and offset - (last.offset + last.length) <= MAX_GAP and offset + length - last.offset <= MAX_SPAN:
            last.length = max(last.length, offset + length - last.offset)
            last.ranges.append((index, offset, length))
        else:
            spans.append(Span(offset, length, [(index, offset, length)]))
    return spans
