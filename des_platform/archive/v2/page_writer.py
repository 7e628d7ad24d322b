"""Writes the hash pages: entries come sorted by hash, pages leave one after the other, of a number chosen before.

The number is the least found for which no page overflows: hashes are spread evenly, so pages are filled to about 85 %.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from des_platform.archive.v2.layout import (
    PAGE_BYTES,
    PAGE_ENTRIES,
    PAGE_ENTRY_BYTES,
    PAGE_HEADER,
    PAGE_HEADER_BYTES,
    PAGE_MAGIC,
    page_crc,
    page_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    _Entries = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]
    """Hashes, locations, lengths, checksums."""

_CRC = struct.Struct("<I")
_WIDTHS = (8, 8, 4, 4)
_AIM = 0.92
"""The first number of pages tried leaves them filled to so much on average; no larger share has ever fitted."""
_SHIFT = np.uint64(32)


def choose_page_count(high_words: NDArray[np.uint32]) -> int:
    """Return how many pages the hashes with these high halves need; 0 if too many are nearly the same."""
    count = len(high_words)
    if count <= PAGE_ENTRIES:
        return 1
    pages = max(2, int(count / (PAGE_ENTRIES * _AIM)))
    most = 4 * pages + 64
    while pages <= most:
        if _largest_page(high_words, pages) <= PAGE_ENTRIES:
            return pages
        pages += max(1, pages // 100)
    return 0


def _largest_page(high_words: NDArray[np.uint32], pages: int) -> int:
    counts = np.zeros(pages, np.int64)
    for start in range(0, len(high_words), 1 << 20):  # in pieces, for the sake of memory
        wide = high_words[start : start + (1 << 20)].astype(np.uint64)
        numbers = ((wide * np.uint64(pages)) >> _SHIFT).astype(np.int64)
        counts += np.bincount(numbers, minlength=pages)
    return int(counts.max())


class PageWriter:
    """Writes all pages of an archive.

    Args:
        page_count: how many there are.
        archive_id: the archive's.
        emit: takes the bytes.
    """

    def __init__(self, page_count: int, archive_id: int, emit: Callable[[bytearray], None]) -> None:
        self._page_count = page_count
        self._archive_id = archive_id
        self._emit = emit
        self._next = 0
        self._waiting: list[_Entries] = []

    def write(
        self,
        hashes: NDArray[np.uint64],
        locations: NDArray[np.uint64],
        lengths: NDArray[np.uint32],
        checksums: NDArray[np.uint32],
    ) -> None:
        """Take entries, sorted by hash and above those taken before."""
        self._waiting.append((hashes, locations, lengths, checksums))
        self._write_up_to(page_of(int(hashes[-1]), self._page_count))

    def finish(self) -> None:
        """Write the pages that are left."""
        self._write_up_to(self._page_count)

    def _write_up_to(self, end: int) -> None:
        """Write all pages below a number; the entries of later ones go on waiting."""
        if end == self._next:
            return
        waiting = self._waiting or [_NOTHING]
        columns: _Entries = (
            np.concatenate([entries[0] for entries in waiting]),
            np.concatenate([entries[1] for entries in waiting]),
            np.concatenate([entries[2] for entries in waiting]),
            np.concatenate([entries[3] for entries in waiting]),
        )
        numbers = ((columns[0] >> _SHIFT) * np.uint64(self._page_count)) >> _SHIFT
        cuts = np.searchsorted(numbers, np.arange(self._next, end + 1, dtype=np.uint64)).tolist()
        self._emit(self._pages(self._next, cuts, [column.data.cast("B") for column in columns]))
        rest = cuts[-1]
        self._waiting = [(columns[0][rest:], columns[1][rest:], columns[2][rest:], columns[3][rest:])]
        self._next = end

    def _pages(self, first: int, cuts: list[int], columns: list[memoryview]) -> bytearray:
        """Lay out pages; each holds the entries from one cut to the next."""
        single = self._page_count == 1
        pages = bytearray(PAGE_HEADER_BYTES + PAGE_ENTRY_BYTES * cuts[-1] if single else (len(cuts) - 1) * PAGE_BYTES)
        view = memoryview(pages)
        for index, (start, stop) in enumerate(pairwise(cuts)):
            page = index * PAGE_BYTES
            at = page + PAGE_HEADER_BYTES
            for column, width in zip(columns, _WIDTHS, strict=True):
                length = width * (stop - start)
                view[at : at + length] = column[width * start : width * stop]
                at += length
            PAGE_HEADER.pack_into(pages, page, PAGE_MAGIC, first + index, stop - start, 0, self._archive_id)
            _CRC.pack_into(pages, page + 12, page_crc(view[page:], at - page))
        return pages


_NOTHING = (np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint32))
