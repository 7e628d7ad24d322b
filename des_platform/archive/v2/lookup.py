"""Finds where a file lies: opens an archive from a hint or from its end, and asks the pages.

A hint that leads to bytes that are not a page of its archive is given up for the archive's own end, once; if the end
says the same as the hint, the archive is broken. Safe for threads: what is known of an archive is one object that never
changes, and is replaced as a whole.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import TAIL_BYTES
from des_platform.archive.v2.layout import FLAGS_SHIFT, MAX_OFFSET, Footer, Header, Hint, hash_name, page_of
from des_platform.archive.v2.pages import PageTable
from des_platform.archive.v2.tailed import TailedSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform.archive.batch import ReadPolicy
    from des_platform.archive.cache import SourceCache
    from des_platform.archive.source import ByteSource
    from des_platform.archive.v2.pages import Page

_log = logging.getLogger(__name__)

_PAGES_AT_ONCE = 1024
"""Of a batch: 16 MiB of pages, whatever the cache's limit."""


class Place(NamedTuple):
    """Where a page says that a file lies."""

    offset: int
    length: int
    flags: int
    checksum: int


class Opened:
    """What is known of the archive: from a hint alone, or with its end read. Never changes, so threads may share it.

    Attributes:
        hint: where the pages lie.
        footer: None as long as only a hint is known.
        source: the archive's bytes.
        pages: the archive's pages.
        loaded: those in memory, as in `PageTable`.
        payload_end: no stored payload reaches beyond this offset.
        tail_start: from this offset on the bytes are in memory.
    """

    __slots__ = ("footer", "hint", "loaded", "page_count", "pages", "payload_end", "seed", "source", "tail_start")

    def __init__(self, hint: Hint, footer: Footer | None, source: TailedSource, pages: PageTable) -> None:
        self.hint = hint
        self.footer = footer
        self.source = source
        self.pages = pages
        self.loaded = pages.loaded
        self.seed = hint.seed
        self.page_count = hint.page_count
        self.payload_end = hint.pages_offset if footer is None else footer.catalogue_offset
        self.tail_start = source.tail_start

    def known_footer(self) -> Footer:
        """Return the footer.

        Raises:
            LookupError: only a hint is known.
        """
        if self.footer is None:
            raise LookupError("the archive's end has not been read")
        return self.footer


class Lookup:
    """The pages of one archive, and what leads to them.

    Attributes:
        opened: what is known of the archive.

    Args:
        source: the archive's bytes.
        where: names the archive in errors.
        cache: keeps the end and pages between archives and processes.
        page_cache_bytes: most bytes of pages in memory.
        tail: the archive's last bytes and its size, if they have been read.
        hint: the archive's 64 bytes from elsewhere. One that is broken is not used.

    Raises:
        CorruptArchive: the archive's end is broken.
        UnsupportedVersion: this is an archive of another version.
    """

    def __init__(
        self,
        source: ByteSource,
        where: str,
        cache: SourceCache,
        page_cache_bytes: int,
        *,
        tail: tuple[bytes, int] | None,
        hint: bytes | None,
    ) -> None:
        self._source = source
        self._where = where
        self._cache = cache
        self._page_cache_bytes = page_cache_bytes
        self._lock = threading.Lock()
        parsed = self._parse_hint(hint) if tail is None else None
        if parsed is not None:
            self.opened = self._open_hint(parsed)
        else:
            self.opened = self._open_end(tail if tail is not None else cache.read_tail(TAIL_BYTES))

    def place(self, name: str) -> Place | None:
        """Return where a file lies; None if there is none of that name."""
        try:
            encoded = name.encode()
        except UnicodeEncodeError:
            return None
        while True:
            opened = self.opened
            name_hash = hash_name(encoded, opened.seed)
            number = page_of(name_hash, opened.page_count)
            try:
                page = opened.loaded.get(number) or opened.pages.load(number)
            except Exception:
                # A hint that is too old may lead anywhere, behind the archive's end, too: each store has its own error.
                if not self._leave_hint(opened):
                    raise
            else:
                return _search(page, name_hash)

    def places(self, names: Iterable[str], policy: ReadPolicy) -> dict[str, Place]:
        """Return the places of the names that there are."""
        while True:
            opened = self.opened
            hashes = _by_page(names, opened)
            numbers = sorted(hashes)
            places: dict[str, Place] = {}
            try:
                for start in range(0, len(numbers), _PAGES_AT_ONCE):
                    pages = opened.pages.load_many(numbers[start : start + _PAGES_AT_ONCE], policy)
                    for number, page in pages.items():
                        for name, name_hash in hashes[number]:
                            if (place := _search(page, name_hash)) is not None:
                                places[name] = place
            except Exception:
                if not self._leave_hint(opened):
                    raise
            else:
                return places

    def _parse_hint(self, raw: bytes | None) -> Hint | None:
        if raw is None:
            return None
        try:
            return Hint.parse(raw)
        except CorruptArchive as error:
            _log.warning("%s: the hint is not used, the archive's end is read instead: %s", self._where, error)
            return None

    def _open_hint(self, hint: Hint) -> Opened:
        source = TailedSource(self._source, self._where, hint.archive_size)
        return Opened(hint, None, source, self._page_table(hint, source))

    def _open_end(self, tail: tuple[bytes, int], before: Opened | None = None) -> Opened:
        try:
            footer, source = self._parse_end(*tail)
        except ValueError:
            if not self._cache.active:
                raise
            # What a cache kept may be broken without the archive being so.
            footer, source = self._parse_end(*self._cache.refresh_tail(TAIL_BYTES))
        hint = Hint.of(footer, source.size)
        if before is not None and before.hint == hint:
            return Opened(hint, footer, source, before.pages)
        return Opened(hint, footer, source, self._page_table(hint, source))

    def _parse_end(self, tail: bytes, size: int) -> tuple[Footer, TailedSource]:
        footer = Footer.parse(tail, size, self._where)
        if len(tail) == size and Header.parse(tail, self._where).archive_id != footer.archive_id:
            raise CorruptArchive(f"{self._where}: header and footer are of different archives")
        return footer, TailedSource(self._source, self._where, size, tail)

    def _page_table(self, hint: Hint, source: TailedSource) -> PageTable:
        return PageTable(hint, source, self._cache, self._page_cache_bytes, self._where)

    def read_end(self) -> Opened:
        """Read the archive's end, if only a hint is known so far."""
        with self._lock:
            if self.opened.footer is None:
                self.opened = self._open_end(self._cache.read_tail(TAIL_BYTES), self.opened)
            return self.opened

    def _leave_hint(self, opened: Opened) -> bool:
        """Return whether the archive's end, read now, contradicts what a hint had said: then it is worth a new try."""
        return opened.footer is None and self.read_end().hint != opened.hint


def place_at(page: Page, at: int) -> Place:
    """Return what an entry of a page says."""
    location = page.locations[at]
    return Place(location & MAX_OFFSET, page.lengths[at], location >> FLAGS_SHIFT, page.checksums[at])


def _search(page: Page, name_hash: int) -> Place | None:
    at = bisect_left(page.hashes, name_hash)
    return place_at(page, at) if at < len(page.hashes) and page.hashes[at] == name_hash else None


def _by_page(names: Iterable[str], opened: Opened) -> dict[int, list[tuple[str, int]]]:
    """Return names and their hashes by the number of their page; names that cannot be UTF-8 cannot be there."""
    hashes: dict[int, list[tuple[str, int]]] = {}
    for name in names:
        try:
            name_hash = hash_name(name.encode(), opened.seed)
        except UnicodeEncodeError:
            continue
        hashes.setdefault(page_of(name_hash, opened.page_count), []).append((name, name_hash))
    return hashes
