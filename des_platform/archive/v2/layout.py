"""DES v2, byte for byte: structures, limits, and the checks of all that is read first; `FORMAT.md` is normative.

All integers are little-endian, all units are bytes, all checksums are CRC-32C, offsets are from the archive's start.
Whatever breaks a rule is a `CorruptArchive` that names the field and what was found.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, NoReturn, Self

from crc32c import crc32c
from xxhash import xxh3_64_intdigest

from des_platform.archive.errors import CorruptArchive, UnsupportedVersion

VERSION = 2
HEADER_MAGIC = b"PAR1DES2"
BLOCK_MAGIC = b"DBK2"
PAGE_MAGIC = b"DHP2"
HINT_MAGIC = b"DESH"
TRAILER_MAGIC = b"DESFOOT1"
PARQUET_MAGIC = b"PAR1"
HASH_XXH3_64 = 1
CHECKSUM_CRC32C = 1
EXTENSION_UUID = bytes.fromhex("d85a3c1e0f9b4c6ea7d23e84b1f05976")
"""Marks the extension field of the Parquet footer as ours."""
EXTENSION_HEADER = b"\x08\xff\xff\x01\xdf\x01"
"""Thrift's long field header of a binary with id 32767, as in Parquet's BinaryProtocolExtensions.md; the length 223."""

_HEADER = struct.Struct("<8sBBBBIQQ")
_BLOCK = struct.Struct("<4sBBHIIQQQII")
PAGE_HEADER = struct.Struct("<4sIIIQ")
_FOOTER = struct.Struct("<QQQIIQQQQQQIIQQQQIIQQ")
_TRAILER = struct.Struct("<8sB7sQIIII23s")
_HINT = struct.Struct("<4sIQQQQQQII")

HEADER_BYTES = _HEADER.size
BLOCK_HEADER_BYTES = _BLOCK.size
PAGE_HEADER_BYTES = PAGE_HEADER.size
TRAILER_BYTES = _TRAILER.size
HINT_BYTES = _HINT.size
EXTENSION_BYTES = len(EXTENSION_UUID) + _FOOTER.size + TRAILER_BYTES
PARQUET_END_BYTES = 9
"""After the extension: thrift's stop byte, the length of the metadata, the magic."""
END_BYTES = EXTENSION_BYTES + PARQUET_END_BYTES
"""From the extension's UUID to the archive's end."""
VERSION_AT = 64
"""Every version has its number so many bytes before the archive's end."""

PAGE_BYTES = 16_384
PAGE_ENTRY_BYTES = 24
PAGE_ENTRIES = (PAGE_BYTES - PAGE_HEADER_BYTES) // PAGE_ENTRY_BYTES
MAX_OFFSET = 2**48 - 1
FLAGS_SHIFT = 48
"""In a page a location has the offset below this bit, and the flags above."""
MAX_OBJECT_BYTES = 2**32 - 1
MAX_BLOCK_OBJECTS = 65_536
MAX_COLUMNS_BYTES = 256 * 1024 * 1024

BLOCK_OBJECTS = 1
BLOCK_DICTIONARY = 2
BLOCK_TOMBSTONES = 4
BLOCK_SCHEMA = 5

COLUMNS_COMPRESSED = 1
COLUMNS_WITH_FLAGS = 2
COLUMNS_WITH_METADATA = 4


class Header(NamedTuple):
    """The first 32 bytes; times in milliseconds since 1970."""

    archive_id: int
    created_ms: int

    def pack(self) -> bytes:
        """Return the header's bytes."""
        fields = (HEADER_MAGIC, VERSION, 0, HASH_XXH3_64, CHECKSUM_CRC32C)
        start = _HEADER.pack(*fields, 0, *self)
        return _HEADER.pack(*fields, crc32c(start[16:], crc32c(start[:12])), *self)

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Self:
        """Check and take apart the first bytes of an archive; ``where`` names it in errors."""
        if len(raw) < HEADER_BYTES:
            raise CorruptArchive(f"{where}: {len(raw)} bytes are too few for a header of {HEADER_BYTES}")
        magic, version, _, hash_id, checksum_id, found, archive_id, created_ms = _HEADER.unpack_from(raw)
        if magic != HEADER_MAGIC:
            raise CorruptArchive(f"{where}: the header magic is {magic!r}, not {HEADER_MAGIC!r}")
        check_crc(f"{where}: the header", found, crc32c(raw[16:HEADER_BYTES], crc32c(raw[:12])))
        if (version, hash_id, checksum_id) != (VERSION, HASH_XXH3_64, CHECKSUM_CRC32C):
            raise UnsupportedVersion(
                f"{where}: the header is of DES version {version} with hash {hash_id} and checksum {checksum_id}"
            )
        return cls(archive_id, created_ms)


class BlockHeader(NamedTuple):
    """What stands before the columns of a block.

    Attributes:
        kind: one of the ``BLOCK_`` constants.
        flags: the ``COLUMNS_`` constants.
        count: objects or names in the block.
        stored_columns: length of the columns as they stand in the archive.
        payload: length of the payload.
        first_ordinal: number of the first object among all that were ever added.
        archive_id: as in the header.
        columns: length of the columns, decompressed.
        crc: of the header up to here, and of the stored columns.
    """

    kind: int
    flags: int
    count: int  # type: ignore[assignment]  # a tuple counts, too
    stored_columns: int
    payload: int
    first_ordinal: int
    archive_id: int
    columns: int
    crc: int

    @property
    def size(self) -> int:
        """Length of the whole block."""
        return BLOCK_HEADER_BYTES + self.stored_columns + self.payload

    @classmethod
    def parse(cls, raw: bytes | memoryview, where: str) -> Self:
        """Take a block header apart; its checksum needs the columns: `check_columns`."""
        if len(raw) < BLOCK_HEADER_BYTES:
            raise CorruptArchive(f"{where}: {len(raw)} bytes are too few for a block header of {BLOCK_HEADER_BYTES}")
        magic, kind, flags, _, count, stored, payload, ordinal, archive_id, columns, crc = _BLOCK.unpack_from(raw)
        if magic != BLOCK_MAGIC:
            raise CorruptArchive(f"{where}: the block magic is {magic!r}, not {BLOCK_MAGIC!r}")
        if stored > MAX_COLUMNS_BYTES or columns > MAX_COLUMNS_BYTES or count > MAX_BLOCK_OBJECTS:
            raise CorruptArchive(
                f"{where}: a block has {count} objects in {stored} bytes of columns, {columns} unpacked"
            )
        return cls(kind, flags, count, stored, payload, ordinal, archive_id, columns, crc)

    def check_columns(self, raw: bytes | memoryview, stored_columns: bytes | memoryview, where: str) -> None:
        """Compare the checksum with the header's bytes and the columns that follow them."""
        found = crc32c(stored_columns, crc32c(raw[: BLOCK_HEADER_BYTES - 4]))
        check_crc(f"{where}: a block's header", self.crc, found)


def pack_block_header(  # noqa: PLR0917 - one argument a field
    kind: int, flags: int, count: int, stored_columns: bytes, payload: int, ordinal: int, archive_id: int, columns: int
) -> bytes:
    """Return the header of a block, checksum included; arguments as in `BlockHeader`."""
    fields = (BLOCK_MAGIC, kind, flags, 0, count, len(stored_columns), payload, ordinal, archive_id, columns)
    start = _BLOCK.pack(*fields, 0)[:-4]
    return _BLOCK.pack(*fields, crc32c(stored_columns, crc32c(start)))


class Footer(NamedTuple):
    """The 144 bytes that say where everything lies.

    Attributes:
        catalogue_offset: where the blocks end and the Parquet row groups begin.
        catalogue_length: of the row groups.
        pages_offset: of the hash pages.
        page_count: at least 1.
        generation: 1, and 1 more for each time the archive was appended to.
        count: files that can be read, external ones included.
        ordinals: objects ever added, deleted ones included.
        seed: of the hash of names.
        archive_id: as in the header.
        created_ms: as in the header.
        modified_ms: when this generation was made.
        dictionary_length: of the whole block that holds the zstd dictionary; 0 if there is none.
        reserved: 0.
        dictionary_offset: of that block; 0 if there is none.
        stored_bytes: payloads of all files inside, as stored.
        data_bytes: the same, as they were added.
        external_bytes: payloads outside.
        catalogue_crc: of the row groups.
        parquet_crc: of what follows the pages, up to the extension's UUID, and of the archive's last 9 bytes.
        external_count: files whose payload is outside.
        block_count: blocks of every kind.
    """

    catalogue_offset: int
    catalogue_length: int
    pages_offset: int
    page_count: int
    generation: int
    count: int  # type: ignore[assignment]  # a tuple counts, too
    ordinals: int
    seed: int
    archive_id: int
    created_ms: int
    modified_ms: int
    dictionary_length: int
    reserved: int
    dictionary_offset: int
    stored_bytes: int
    data_bytes: int
    external_bytes: int
    catalogue_crc: int
    parquet_crc: int
    external_count: int
    block_count: int

    @property
    def parquet_offset(self) -> int:
        """Where the pages end and what Parquet keeps at a file's end begins."""
        return self.pages_offset + pages_length(self.page_count, self.count)

    def pack_extension(self, archive_size: int) -> bytes:
        """Return UUID, footer and trailer of an archive of so many bytes."""
        start = EXTENSION_UUID + _FOOTER.pack(*self)
        fields = (TRAILER_MAGIC, VERSION, bytes(7), archive_size, EXTENSION_BYTES, crc32c(start), 0)
        trailer = _TRAILER.pack(*fields, 0, bytes(23))
        return start + _TRAILER.pack(*fields, crc32c(trailer[:36]), bytes(23))

    @classmethod
    def parse(cls, tail: bytes, archive_size: int, where: str) -> Self:
        """Check and take apart the end of an archive.

        Args:
            tail: the archive's last bytes, at least `END_BYTES` of them if there are so many.
            archive_size: the whole archive's size.
            where: names the archive in errors.

        Raises:
            CorruptArchive: a checksum differs, or a region lies outside the file, out of order or over another.
            UnsupportedVersion: this is an archive of another version.
        """
        if len(tail) < END_BYTES or archive_size < HEADER_BYTES + END_BYTES:
            _check_version(tail[-TRAILER_BYTES - PARQUET_END_BYTES :], where)
            raise CorruptArchive(f"{where}: {archive_size} bytes are too few for an archive of version {VERSION}")
        end = tail[-END_BYTES:]
        _check_trailer(end, archive_size, where)
        footer = cls(*_FOOTER.unpack_from(end, len(EXTENSION_UUID)))
        footer._check(archive_size, where)
        return footer

    def _check(self, archive_size: int, where: str) -> None:
        check_pages(self.page_count, self.count, where)
        regions = (
            ("the blocks end", HEADER_BYTES, self.catalogue_offset),
            ("the catalogue ends", self.catalogue_offset + self.catalogue_length, self.pages_offset),
            ("the pages end", self.parquet_offset, archive_size - END_BYTES),
        )
        for region, least, most in regions:
            if least > most:
                raise CorruptArchive(
                    f"{where}: {region} at {least}, after byte {most}, in a file of {archive_size} bytes"
                )
        if self.catalogue_offset + self.catalogue_length != self.pages_offset or self.catalogue_offset > MAX_OFFSET:
            raise CorruptArchive(f"{where}: the catalogue does not lie between the blocks and the pages")
        check_dictionary(self.dictionary_offset, self.dictionary_length, self.catalogue_offset, where)


def _check_version(trailer: bytes, where: str) -> None:
    version = trailer[len(TRAILER_MAGIC) : len(TRAILER_MAGIC) + 1]
    if trailer.startswith(TRAILER_MAGIC) and version != bytes([VERSION]):
        raise UnsupportedVersion(
            f"{where}: the footer is of DES version {version[0]}; this reader knows 1 and {VERSION}"
        )


def _check_trailer(end: bytes, archive_size: int, where: str) -> None:
    at = END_BYTES - PARQUET_END_BYTES - TRAILER_BYTES
    magic, _, _, size, extension, footer_crc, _, trailer_crc, pad = _TRAILER.unpack_from(end, at)
    if magic != TRAILER_MAGIC:
        raise CorruptArchive(
            f"{where}: the footer magic is {magic!r}, not {TRAILER_MAGIC!r}: no DES archive, or a cut one"
        )
    _check_version(end[at:], where)
    check_crc(f"{where}: the trailer", trailer_crc, crc32c(end[at : at + 36]))
    if size != archive_size or extension != EXTENSION_BYTES or pad.strip(b"\0"):
        raise CorruptArchive(f"{where}: the trailer is of an archive of {size} bytes; this file has {archive_size}")
    if not end.startswith(EXTENSION_UUID):
        raise CorruptArchive(f"{where}: the Parquet extension is not that of DES: {end[:16].hex()}")
    check_crc(f"{where}: the footer", footer_crc, crc32c(end[:at]))
    if end[-4:] != PARQUET_MAGIC or end[-PARQUET_END_BYTES]:
        raise CorruptArchive(f"{where}: the file ends with {end[-9:]!r}, not as a Parquet file does")


class Hint(NamedTuple):
    """What a reader must know of an archive to go straight to a page; attributes as in `Footer`.

    Attributes:
        page_count: of the hash pages.
        archive_size: of the whole archive.
        pages_offset: of the hash pages.
        seed: of the hash of names.
        archive_id: as in the header.
        count: files that can be read.
        dictionary_offset: of the dictionary's block.
        dictionary_length: of the dictionary's block.
    """

    page_count: int
    archive_size: int
    pages_offset: int
    seed: int
    archive_id: int
    count: int  # type: ignore[assignment]  # a tuple counts, too
    dictionary_offset: int
    dictionary_length: int

    @classmethod
    def of(cls, footer: Footer, archive_size: int) -> Self:
        """Return the hint of an archive."""
        return cls(
            page_count=footer.page_count,
            archive_size=archive_size,
            pages_offset=footer.pages_offset,
            seed=footer.seed,
            archive_id=footer.archive_id,
            count=footer.count,
            dictionary_offset=footer.dictionary_offset,
            dictionary_length=footer.dictionary_length,
        )

    def pack(self) -> bytes:
        """Return the hint's 64 bytes."""
        start = _HINT.pack(HINT_MAGIC, *self, 0)[:-4]
        return _HINT.pack(HINT_MAGIC, *self, crc32c(start))

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Check and take apart a hint.

        Raises:
            CorruptArchive: these are not the 64 bytes of a hint.
        """
        if len(raw) != HINT_BYTES or not raw.startswith(HINT_MAGIC):
            raise CorruptArchive(f"a hint has {HINT_BYTES} bytes and starts with {HINT_MAGIC!r}; found {raw[:8]!r}")
        check_crc("the hint", _HINT.unpack(raw)[-1], crc32c(raw[:-4]))
        hint = cls(*_HINT.unpack(raw)[1:-1])
        check_pages(hint.page_count, hint.count, "the hint")
        if hint.pages_offset + pages_length(hint.page_count, hint.count) > hint.archive_size - END_BYTES:
            raise CorruptArchive(f"the hint's pages at {hint.pages_offset} exceed {hint.archive_size} bytes")
        check_dictionary(hint.dictionary_offset, hint.dictionary_length, hint.pages_offset, "the hint")
        return hint


def hash_name(name: bytes, seed: int) -> int:
    """Return the 64-bit hash of a name's UTF-8 bytes."""
    return xxh3_64_intdigest(name, seed)


def page_of(name_hash: int, page_count: int) -> int:
    """Return the number of the page that holds a hash."""
    return ((name_hash >> 32) * page_count) >> 32


def pages_length(page_count: int, count: int) -> int:
    """Return the length of all hash pages: a single one has no padding."""
    return PAGE_HEADER_BYTES + PAGE_ENTRY_BYTES * count if page_count == 1 else PAGE_BYTES * page_count


def page_crc(page: memoryview, end: int) -> int:
    """Return the checksum of a page whose entries end at ``end``: of all up to there but the checksum itself."""
    return crc32c(page[PAGE_HEADER_BYTES:end], crc32c(page[16:PAGE_HEADER_BYTES], crc32c(page[:12])))


def check_pages(page_count: int, count: int, where: str) -> None:
    """Check that so many files fit into so many pages.

    Raises:
        CorruptArchive: they do not.
    """
    if page_count < 1 or count > page_count * PAGE_ENTRIES:
        raise CorruptArchive(f"{where}: {count} files do not fit into {page_count} pages of {PAGE_ENTRIES}")


def check_dictionary(offset: int, length: int, end: int, where: str) -> None:
    """Check that the dictionary's block lies among the blocks.

    Raises:
        CorruptArchive: it does not.
    """
    if length and (offset < HEADER_BYTES or length < BLOCK_HEADER_BYTES or offset + length > end):
        raise CorruptArchive(
            f"{where}: the dictionary at {offset} + {length} lies outside the blocks, which end at {end}"
        )


def check_crc(what: str, expected: int, found: int) -> None:
    """Compare two checksums.

    Raises:
        CorruptArchive: they differ.
    """
    if expected != found:
        _corrupt_crc(what, expected, found)


def _corrupt_crc(what: str, expected: int, found: int) -> NoReturn:
    raise CorruptArchive(f"{what} has the CRC-32C {found:08x} instead of {expected:08x}: its bytes have changed")
