"""From where a file lies to the file: stored payloads, zstd frames, external records, the dictionary, metadata.

No byte is handed out whose checksum was not right, and nothing is read before it is known to lie among the blocks.
Whatever is wrong with the archive is a `CorruptArchive`. Safe for threads.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from crc32c import crc32c

from des_platform.archive.errors import CorruptArchive, ExternalFile
from des_platform.archive.models import FLAG_COMPRESSED, FLAG_DICTIONARY, FLAG_EXTERNAL, MAX_META_BYTES
from des_platform.archive.v2.frames import Decompressor, content_size
from des_platform.archive.v2.layout import (
    BLOCK_DICTIONARY,
    BLOCK_HEADER_BYTES,
    HEADER_BYTES,
    BlockHeader,
    check_crc,
)

if TYPE_CHECKING:
    from des_platform.archive.cache import SourceCache
    from des_platform.archive.v2.lookup import Lookup, Place

_log = logging.getLogger(__name__)

_KNOWN_FLAGS = FLAG_EXTERNAL | FLAG_COMPRESSED | FLAG_DICTIONARY
_DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"
_CRC_BYTES = 4
_PROBE_BYTES = 4096
"""Read of a compressed file to learn its size: the header of its frame is within, and small files as a whole are."""


class Members:
    """Reads what pages point to.

    Args:
        lookup: the archive as it was opened.
        where: names the archive in errors.
        cache: keeps the dictionary between archives and processes.
        max_object_bytes: no larger file is read into memory.
    """

    def __init__(self, lookup: Lookup, where: str, cache: SourceCache, max_object_bytes: int) -> None:
        self._lookup = lookup
        self._where = where
        self._cache = cache
        self._max_object_bytes = max_object_bytes
        self._decompressor = Decompressor(self._dictionary, max_object_bytes)

    def what(self, name: str) -> str:
        """Return how errors name a file."""
        return f"{self._where}: {name!r}"

    def check(self, name: str, place: Place) -> None:
        """Check that a file lies among the blocks, and that its flags and length are such as can be read.

        Raises:
            CorruptArchive: they are not.
        """
        end, limit = place.offset + place.length, self._lookup.opened.payload_end
        if place.offset < HEADER_BYTES or end > limit:
            raise CorruptArchive(
                f"{self.what(name)} has its bytes from {place.offset} to {end}, not within {HEADER_BYTES} to {limit}"
            )
        if place.flags & ~_KNOWN_FLAGS or (place.flags & FLAG_DICTIONARY and not place.flags & FLAG_COMPRESSED):
            raise CorruptArchive(f"{self.what(name)} has the flags {place.flags:#x}: what its bytes mean is not known")
        most = MAX_META_BYTES if place.flags & FLAG_EXTERNAL else self._max_object_bytes
        if place.length > most:
            raise CorruptArchive(f"{self.what(name)} has {place.length} stored bytes, more than the {most} to be read")

    def stored(self, name: str, place: Place) -> bytes:
        """Return a file's stored payload.

        Raises:
            CorruptArchive: it cannot be read whole and right.
        """
        self.check(name, place)
        data = self._lookup.opened.source.read(place.offset, place.length)
        self.compare(name, place, data)
        return data

    def compare(self, name: str, place: Place, stored: bytes) -> None:
        """Compare a stored payload with its checksum.

        Raises:
            CorruptArchive: they differ.
        """
        if crc32c(stored) != place.checksum:
            if len(stored) != place.length:
                raise CorruptArchive(
                    f"{self.what(name)}: got {len(stored)} of its {place.length} bytes: cut or replaced since opened?"
                )
            check_crc(self.what(name), place.checksum, crc32c(stored))

    def unpack(self, name: str, place: Place, stored: bytes) -> bytes | ExternalFile:
        """Return the file whose stored payload this is, or where it is.

        Raises:
            CorruptArchive: it cannot be unpacked.
        """
        if not place.flags:
            return stored
        if place.flags & FLAG_EXTERNAL:
            return parse_external(stored, name, self.what(name))
        return self._decompressor.decompress(
            stored, self.what(name), with_dictionary=bool(place.flags & FLAG_DICTIONARY)
        )

    def size(self, name: str, place: Place) -> int:
        """Return a file's size: of a compressed one from the start of its frame, of an external one from its record.

        Raises:
            CorruptArchive: it does not say.
        """
        if not place.flags:
            return place.length
        if place.flags & FLAG_EXTERNAL:
            return parse_external(self.stored(name, place), name, self.what(name)).size
        if place.length <= _PROBE_BYTES:
            return content_size(self.stored(name, place), self.what(name))
        self.check(name, place)
        return content_size(self._lookup.opened.source.read(place.offset, _PROBE_BYTES), self.what(name))

    def _dictionary(self) -> bytes:
        opened = self._lookup.opened
        offset, length, archive_id = (
            opened.hint.dictionary_offset,
            opened.hint.dictionary_length,
            opened.hint.archive_id,
        )
        if not length:
            raise CorruptArchive(f"{self._where}: a file needs a dictionary, and there is none")
        part = f"dictionary{offset:x}"
        kept = self._cache.get(part)
        if kept is not None and len(kept) == length:
            try:
                return parse_dictionary(kept, archive_id, self._where)
            except CorruptArchive as error:
                _log.warning("a cached dictionary is not used: %s", error)
        block = opened.source.read(offset, length)
        dictionary = parse_dictionary(block, archive_id, self._where)
        self._cache.set(part, block)
        return dictionary


def parse_dictionary(block: bytes, archive_id: int, where: str) -> bytes:
    """Return the zstd dictionary of a whole dictionary block.

    Raises:
        CorruptArchive: it is not such a block of this archive, or its bytes have changed.
    """
    where = f"{where}: the dictionary"
    header = BlockHeader.parse(block, where)
    expected = (BLOCK_DICTIONARY, 0, 0, _CRC_BYTES, len(block), archive_id)
    found = (header.kind, header.flags, header.count, header.stored_columns, header.size, header.archive_id)
    if found != expected:
        raise CorruptArchive(f"{where} block is not one of this archive: it has {found} instead of {expected}")
    columns = block[BLOCK_HEADER_BYTES : BLOCK_HEADER_BYTES + _CRC_BYTES]
    header.check_columns(block, columns, where)
    payload = block[BLOCK_HEADER_BYTES + _CRC_BYTES :]
    check_crc(where, int.from_bytes(columns, "little"), crc32c(payload))
    if not payload.startswith(_DICTIONARY_MAGIC):
        raise CorruptArchive(f"{where} is not one of zstd: it starts with {payload[:4].hex()}")
    return payload


def parse_metadata(raw: bytes | str, what: str) -> dict[str, Any]:
    """Return the JSON object that metadata are.

    Raises:
        CorruptArchive: they are something else, or larger than metadata may be.
    """
    if len(raw) > MAX_META_BYTES:
        raise CorruptArchive(f"the metadata of {what} have {len(raw)} bytes, more than {MAX_META_BYTES}")
    try:
        meta = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CorruptArchive(f"the metadata of {what} are not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise CorruptArchive(f"the metadata of {what} are of type {type(meta).__name__}, not a JSON object")
    return meta


def parse_external(record: bytes, name: str, what: str) -> ExternalFile:
    """Return what an external file's record says, as the error that tells it to those who cannot fetch it.

    Raises:
        CorruptArchive: the record lacks the object's key or size.
    """
    meta = parse_metadata(record, what)
    key, size = meta.get("external_key"), meta.get("size")
    if not isinstance(key, str) or not key:
        raise CorruptArchive(f"the record of external {what} has no external_key")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise CorruptArchive(f"the record of external {what} has no size: {size!r}")
    return ExternalFile(name, key, size)
