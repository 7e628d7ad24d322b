"""Reads an archive of version 2: one page says where a file lies, one range holds it.

From nothing the archive's last 64 KiB are read, with a hint nothing; what lies in these bytes is never asked for again.
Opening touches neither catalogue nor pages, and needs neither numpy nor pyarrow. Safe for threads. A hint that leads to
bytes that are not a page of its archive is given up for the archive's own end, once.

How it fails: what is wrong with the archive is a `CorruptArchive`, what is wrong with reaching it is the source's own
error. No byte is handed out whose checksum was not right.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from crc32c import crc32c
from xxhash import xxh3_64_intdigest

from des_platform.archive.batch import read_ranges
from des_platform.archive.cache import SourceCache
from des_platform.archive.errors import CorruptArchive, ExternalFile
from des_platform.archive.models import FLAG_EXTERNAL, ArchiveStats, IndexEntry
from des_platform.archive.v2.layout import VERSION
from des_platform.archive.v2.lookup import Lookup, place_at
from des_platform.archive.v2.members import Members, parse_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from des_platform.archive.batch import ReadPolicy
    from des_platform.archive.cache import IndexCache
    from des_platform.archive.source import ByteSource
    from des_platform.archive.v2.catalogue import Catalogue
    from des_platform.archive.v2.lookup import Place


class V2View:
    """An archive of version 2 as its reader sees it.

    Args:
        source: the archive's bytes.
        where: names the archive in errors.
        tail: the archive's last bytes and its size, if they have been read.
        hint: the archive's 64 bytes from elsewhere. One that is broken is not used.
        cache: keeps the end, pages and the dictionary between archives and processes.
        page_cache_bytes: most bytes of pages in memory.
        max_object_bytes: no larger file is read into memory.

    Raises:
        CorruptArchive: the archive's end is broken.
        UnsupportedVersion: this is an archive of another version.
    """

    version = VERSION

    def __init__(
        self,
        source: ByteSource,
        where: str,
        *,
        tail: tuple[bytes, int] | None,
        hint: bytes | None,
        cache: IndexCache | None,
        page_cache_bytes: int,
        max_object_bytes: int,
    ) -> None:
        parts = SourceCache(cache, source)
        self._read_range = source.read_range
        self._where = where
        self._max_object_bytes = max_object_bytes
        self._lookup = Lookup(source, where, parts, page_cache_bytes, tail=tail, hint=hint)
        self._members = Members(self._lookup, where, parts, max_object_bytes)
        self._lock = threading.Lock()
        self._catalogue: Catalogue | None = None

    def __len__(self) -> int:
        return self._lookup.opened.hint.count

    def __contains__(self, name: str) -> bool:
        return self._lookup.place(name) is not None

    def get(self, name: str) -> bytes:
        """Return a file.

        Raises:
            KeyError: there is none of that name.
            ExternalFile: it is an object of its own.
            CorruptArchive: it cannot be read whole and right.
        """
        opened = self._lookup.opened
        try:
            name_hash = xxh3_64_intdigest(name.encode(), opened.seed)
        except UnicodeEncodeError:
            raise self._absent(name) from None
        page = opened.loaded.get(((name_hash >> 32) * opened.page_count) >> 32)
        if page is None:
            return self._object(name, self._require(name))
        page.used = True
        hashes = page.hashes
        at = bisect_left(hashes, name_hash)
        if at == len(hashes) or hashes[at] != name_hash:
            raise self._absent(name)
        offset = page.locations[at]
        length = page.lengths[at]
        # A flag makes the location larger than any offset: whatever is not a plain payload to read goes the long way.
        if (
            offset + length > opened.payload_end
            or offset >= opened.tail_start
            or not 0 < length <= self._max_object_bytes
        ):
            return self._object(name, place_at(page, at))
        data = self._read_range(offset, length)
        if crc32c(data) != page.checksums[at]:
            self._members.compare(name, place_at(page, at), data)
        return data

    def find(self, name: str) -> IndexEntry | None:
        """Return where a file lies; None if there is none of that name.

        The size of a compressed file comes from the start of its frame, that of an external one from its record: one
        read more.

        Raises:
            CorruptArchive: the archive is broken there.
        """
        place = self._lookup.place(name)
        if place is None:
            return None
        return IndexEntry(name, place.offset, place.length, self._members.size(name, place), place.flags)

    def entries(self, prefix: str = "") -> Iterator[IndexEntry]:
        """Iterate over the files whose names start with a prefix, in the order of the UTF-8 bytes of their names.

        Raises:
            CorruptArchive: the catalogue is broken.
        """
        try:
            encoded = prefix.encode()
        except UnicodeEncodeError:
            return iter(())
        return self._open_catalogue().entries(encoded)

    def get_many(self, names: Iterable[str], policy: ReadPolicy) -> dict[str, bytes | ExternalFile]:
        """Return many files in the order asked for, or where they are; unknown names are left out.

        Raises:
            CorruptArchive: one cannot be read whole and right.
        """
        wanted = list(dict.fromkeys(names))
        places = self._lookup.places(wanted, policy)
        for name, place in places.items():
            self._members.check(name, place)
        opened = self._lookup.opened
        if sum(place.length for place in places.values()) > opened.payload_end:
            raise CorruptArchive(
                f"{self._where}: files lie over one another: together they are longer than the archive"
            )
        ranges = [(place.offset, place.length) for place in places.values()]
        payloads = read_ranges(opened.source.read, ranges, policy)
        found: dict[str, bytes | ExternalFile] = {}
        for (name, place), payload in zip(places.items(), payloads, strict=True):
            self._members.compare(name, place, payload)
            found[name] = self._members.unpack(name, place, payload)
        return {name: found[name] for name in wanted if name in found}

    def meta(self, name: str) -> dict[str, Any]:
        """Return a file's metadata and, last, its size; of an external file, its record.

        Raises:
            KeyError: there is no file of that name.
            CorruptArchive: the metadata are not a JSON object, or the catalogue is broken.
        """
        place = self._require(name)
        what = self._members.what(name)
        if place.flags & FLAG_EXTERNAL:
            return parse_metadata(self._members.stored(name, place), what)
        row = self._open_catalogue().metadata(name.encode())
        if row is None:
            raise CorruptArchive(f"{what} is in a page but not in the catalogue")
        stored, size = row
        meta = {} if stored is None else parse_metadata(stored, what)
        meta.pop("size", None)
        meta["size"] = size
        return meta

    def stats(self) -> ArchiveStats:
        """Count what the archive holds."""
        opened = self._lookup.read_end()
        footer = opened.known_footer()
        return ArchiveStats(
            version=VERSION,
            file_count=footer.count,
            external_count=footer.external_count,
            data_bytes=footer.data_bytes,
            stored_bytes=footer.stored_bytes,
            external_bytes=footer.external_bytes,
            archive_bytes=opened.source.size,
        )

    def hint(self) -> bytes:
        """Return the 64 bytes with which the archive can be read without reading its end."""
        return self._lookup.opened.hint.pack()

    def _open_catalogue(self) -> Catalogue:
        opened = self._lookup.read_end()
        with self._lock:
            if self._catalogue is None:
                from des_platform.archive.v2.catalogue import Catalogue

                self._catalogue = Catalogue(opened.source, opened.known_footer(), self._where)
            return self._catalogue

    def _require(self, name: str) -> Place:
        place = self._lookup.place(name)
        if place is None:
            raise self._absent(name)
        return place

    def _absent(self, name: str) -> KeyError:
        return KeyError(f"File not found: {name!r} is not in {self._where}")

    def _object(self, name: str, place: Place) -> bytes:
        found = self._members.unpack(name, place, self._members.stored(name, place))
        if isinstance(found, ExternalFile):
            raise found
        return found
