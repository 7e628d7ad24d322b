"""The hash pages: one page taken apart, and the pages of one archive with those that were used last.

A page is kept as its bytes and four views of them, and searched where it lies. Which pages stay is decided by the
second-chance rule: a page that was used since it was last looked at goes round once more. So a hit costs one attribute
and no lock, and only a page that comes in takes the lock.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from des_platform.archive.batch import read_ranges
from des_platform.archive.errors import CorruptArchive
from des_platform.archive.v2.layout import (
    PAGE_BYTES,
    PAGE_ENTRIES,
    PAGE_ENTRY_BYTES,
    PAGE_HEADER,
    PAGE_HEADER_BYTES,
    PAGE_MAGIC,
    Hint,
    check_crc,
    page_crc,
    page_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform.archive.batch import ReadPolicy
    from des_platform.archive.cache import SourceCache
    from des_platform.archive.v2.tailed import TailedSource

_log = logging.getLogger(__name__)

_PAGE_OVERHEAD = 1100
"""The objects around a page's bytes: 1,060 bytes as tracemalloc counts them, most of it the four views."""


class Page:
    """One page, checked.

    Attributes:
        hashes: of the names, ascending.
        locations: offset of each stored payload in the low 48 bits, the flags in the high 16.
        lengths: of the stored payloads.
        checksums: CRC-32C of the stored payloads.
        used: whether someone has looked something up since the cache last asked.
        weight: bytes that it takes.
    """

    __slots__ = ("checksums", "hashes", "lengths", "locations", "used", "weight")

    def __init__(self, raw: bytes, count: int) -> None:
        entries = memoryview(raw)[PAGE_HEADER_BYTES:]
        self.hashes = entries[: 8 * count].cast("Q")
        self.locations = entries[8 * count : 16 * count].cast("Q")
        self.lengths = entries[16 * count : 20 * count].cast("I")
        self.checksums = entries[20 * count : 24 * count].cast("I")
        self.used = True
        self.weight = len(raw) + _PAGE_OVERHEAD


def parse_page(raw: bytes, number: int, hint: Hint, where: str) -> Page:
    """Check a page and take it apart.

    Args:
        raw: its bytes.
        number: which page it has to be.
        hint: of the archive that it has to belong to.
        where: names the archive in errors.

    Raises:
        CorruptArchive: it is not that page, or its bytes have changed.
    """
    where = f"{where}: page {number}"
    expected = page_bytes(hint)
    if len(raw) != expected:
        raise CorruptArchive(f"{where} has {len(raw)} bytes instead of {expected}: cut or replaced since opened?")
    magic, found, count, crc, archive_id = PAGE_HEADER.unpack_from(raw)
    end = PAGE_HEADER_BYTES + PAGE_ENTRY_BYTES * count
    if magic != PAGE_MAGIC or found != number:
        raise CorruptArchive(f"{where} starts with {magic!r} and the number {found}, not {PAGE_MAGIC!r}")
    if count > PAGE_ENTRIES or (hint.page_count == 1 and count != hint.count):
        raise CorruptArchive(f"{where} says that it has {count} entries, in an archive of {hint.count} files")
    if archive_id != hint.archive_id:
        raise CorruptArchive(f"{where} belongs to the archive {archive_id:016x}, not to {hint.archive_id:016x}")
    check_crc(where, crc, page_crc(memoryview(raw), end))
    if raw[end:].strip(b"\0"):
        raise CorruptArchive(f"{where} has something other than zeros behind its {count} entries")
    page = Page(raw, count)
    _check_order(page.hashes.tolist(), number, hint.page_count, where)
    return page


def page_bytes(hint: Hint) -> int:
    """Return the length of each page: a single one has no padding."""
    return PAGE_HEADER_BYTES + PAGE_ENTRY_BYTES * hint.count if hint.page_count == 1 else PAGE_BYTES


def _check_order(hashes: list[int], number: int, page_count: int, where: str) -> None:
    # A binary search in disorder would answer "no such file". Sorting what is sorted takes 15 us.
    if hashes and (
        hashes != sorted(hashes)
        or page_of(hashes[0], page_count) != number
        or page_of(hashes[-1], page_count) != number
    ):
        raise CorruptArchive(f"{where} has hashes that are not in order, or belong into another page")


class PageTable:
    """The pages of one archive: where they lie, and those that are in memory. Safe for threads.

    Attributes:
        hint: what is known of the archive.
        seed: of the hash.
        page_count: how many there are.
        loaded: pages in memory by number. Look up here first, set `Page.used`, and `load` what is not here.

    Args:
        hint: what is known of the archive.
        source: the archive's bytes.
        cache: keeps pages between archives and processes.
        max_bytes: most bytes of pages in memory.
        where: names the archive in errors.
    """

    def __init__(self, hint: Hint, source: TailedSource, cache: SourceCache, max_bytes: int, where: str) -> None:
        self.hint = hint
        self.seed = hint.seed
        self.page_count = hint.page_count
        self.loaded: dict[int, Page] = {}
        self._source = source
        self._cache = cache
        self._max_bytes = max_bytes
        self._where = where
        self._page_bytes = page_bytes(hint)
        self._lock = threading.Lock()
        self._bytes = 0

    @property
    def bytes_in_memory(self) -> int:
        """What the pages in memory take."""
        return self._bytes

    def load(self, number: int) -> Page:
        """Return a page that is not in memory.

        Raises:
            CorruptArchive: the page is broken.
        """
        page = self._cached(number)
        if page is None:
            page = self._take(number, self._source.read(self._offset(number), self._page_bytes))
        self._keep(number, page)
        return page

    def load_many(self, numbers: Iterable[int], policy: ReadPolicy) -> dict[int, Page]:
        """Return pages by number, and read what is not in memory with as few requests as the policy says.

        Raises:
            CorruptArchive: a page is broken.
        """
        pages: dict[int, Page] = {}
        missing: list[int] = []
        for number in numbers:
            page = self.loaded.get(number)
            if page is None and (page := self._cached(number)) is not None:
                self._keep(number, page)
            if page is None:
                missing.append(number)
            else:
                page.used = True
                pages[number] = page
        ranges = [(self._offset(number), self._page_bytes) for number in missing]
        for number, raw in zip(missing, read_ranges(self._source.read, ranges, policy), strict=True):
            pages[number] = self._take(number, raw)
            self._keep(number, pages[number])
        return pages

    def _offset(self, number: int) -> int:
        return self.hint.pages_offset + number * self._page_bytes

    def _part(self, number: int) -> str:
        return f"page{self.hint.pages_offset:x}.{number:x}"

    def _cached(self, number: int) -> Page | None:
        if self._offset(number) >= self._source.tail_start:
            return None
        raw = self._cache.get(self._part(number))
        if raw is None:
            return None
        try:
            return parse_page(raw, number, self.hint, self._where)
        except CorruptArchive as error:
            _log.warning("a cached page is not used: %s", error)
            return None

    def _take(self, number: int, raw: bytes) -> Page:
        page = parse_page(raw, number, self.hint, self._where)
        if self._offset(number) < self._source.tail_start:
            self._cache.set(self._part(number), raw)
        return page

    def _keep(self, number: int, page: Page) -> None:
        with self._lock:
            if number in self.loaded:
                return
            self.loaded[number] = page
            self._bytes += page.weight
            while self._bytes > self._max_bytes and self.loaded:
                oldest = next(iter(self.loaded))
                candidate = self.loaded.pop(oldest)
                if candidate.used:
                    candidate.used = False
                    self.loaded[oldest] = candidate
                else:
                    self._bytes -= candidate.weight
