"""DES v1, byte for byte: structures, and the checks of header, footer and names.

All integers are little-endian, all units are bytes::

    HEADER  16  "DESHEAD1" | u8 version | 7 reserved
    DATA        payloads back to back; starts at 16
    META        one UTF-8 JSON object per file, in the order added
    INDEX       per file: u16 name length | name, UTF-8 | u64 data offset | u64 data length
                | u64 meta offset | u64 meta length | u32 flags
    FOOTER  72  "DESFOOT1" | u8 version | 7 reserved | u64 start and length of DATA, of META, of INDEX | u64 file count

Offsets are absolute, except that the data offset of an external file is 0. The reserved bytes are written as zeros
and not read. Whatever in a file breaks these rules is a `CorruptArchive`; a version other than 1 is an
`UnsupportedVersion`.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from des_platform.archive.errors import CorruptArchive, UnsupportedVersion
from des_platform.archive.models import MAX_NAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
HEADER_MAGIC = b"DESHEAD1"
FOOTER_MAGIC = b"DESFOOT1"

HEADER = struct.Struct("<8sB7s")
FOOTER = struct.Struct("<8sB7sQQQQQQQ")
NAME_LENGTH_BYTES = 2
ENTRY_TAIL = [
    ("data_offset", "<u8"),
    ("data_length", "<u8"),
    ("meta_offset", "<u8"),
    ("meta_length", "<u8"),
    ("flags", "<u4"),
]
"""What follows the name in an index entry, as NumPy names it."""
ENTRY_TAIL_BYTES = 36

DATA_START = HEADER.size
MIN_ENTRY_BYTES = NAME_LENGTH_BYTES + ENTRY_TAIL_BYTES

_FORBIDDEN_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f]')

_DOTS = len("..")


class Footer(NamedTuple):
    """The three regions of an archive and the number of its files."""

    data_start: int
    data_length: int
    meta_start: int
    meta_length: int
    index_start: int
    index_length: int
    file_count: int


def encode_name(name: str) -> bytes:
    r"""Return a file name as it stands in the index, without its length.

    Raises:
        ValueError: the name is empty, ``.`` or ``..``, is longer than 65,535 bytes, holds a control character or one of
            ``/ \ : * ? " < > |``, or has no UTF-8 form.
    """
    if name in {"", ".", ".."}:
        raise ValueError(f"{name!r} cannot name a file in an archive")
    if found := _FORBIDDEN_IN_NAMES.search(name):
        raise ValueError(
            f"file name {name[:200]!r} holds {found.group()!r}: "
            'rename it, without control characters and without / \\ : * ? " < > |'
        )
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"file name {name[:200]!r} has no UTF-8 form: {error.reason}") from error
    if len(encoded) > MAX_NAME_BYTES:
        raise ValueError(f"file name {name[:40]!r}... is {len(encoded)} bytes long: {MAX_NAME_BYTES} at most")
    return encoded


def encode_names(names: Sequence[str]) -> list[bytes] | None:
    """Return what `encode_name` does for each, a third of its time; None if it must be asked about every single one."""
    if min(map(len, names)) <= _DOTS or _FORBIDDEN_IN_NAMES.search("".join(names)):
        return None
    try:
        encoded = [name.encode("utf-8") for name in names]
    except UnicodeEncodeError:
        return None
    return encoded if max(map(len, encoded)) <= MAX_NAME_BYTES else None


def pack_header() -> bytes:
    """Return the 16 bytes that every archive starts with."""
    return HEADER.pack(HEADER_MAGIC, VERSION, bytes(7))


def pack_footer(footer: Footer) -> bytes:
    """Return the 72 bytes that every archive ends with."""
    return FOOTER.pack(FOOTER_MAGIC, VERSION, bytes(7), *footer)


def check_header(raw: bytes, where: str) -> None:
    """Check the first 16 bytes of an archive; ``where`` names it in errors.

    Raises:
        CorruptArchive: the magic is wrong.
        UnsupportedVersion: the version is not 1.
    """
    magic, version, _ = HEADER.unpack(raw)
    _check_magic("header", magic, HEADER_MAGIC, where)
    _check_version("header", version, where)


def parse_footer(raw: bytes, archive_size: int, where: str) -> Footer:
    """Take the last 72 bytes of an archive of ``archive_size`` bytes apart and check them; ``where`` names it.

    Raises:
        CorruptArchive: the magic is wrong, or a region lies outside the file, out of order or over another, or the
            files do not fit in the index.
        UnsupportedVersion: the version is not 1.
    """
    magic, version, _, *fields = FOOTER.unpack(raw)
    _check_magic("footer", magic, FOOTER_MAGIC, where)
    _check_version("footer", version, where)
    footer = Footer(*fields)
    if footer.data_start != DATA_START:
        raise CorruptArchive(f"{where}: DATA starts at {footer.data_start}, not at {DATA_START}")
    end = DATA_START
    for region, start, length in (
        ("DATA", footer.data_start, footer.data_length),
        ("META", footer.meta_start, footer.meta_length),
        ("INDEX", footer.index_start, footer.index_length),
    ):
        if start < end:
            raise CorruptArchive(f"{where}: {region} starts at {start} and overlaps what ends at {end}")
        end = start + length
        if end > archive_size - FOOTER.size:
            raise CorruptArchive(f"{where}: {region} ends at {end} and exceeds the file of {archive_size} bytes")
    if footer.file_count * MIN_ENTRY_BYTES > footer.index_length:
        raise CorruptArchive(
            f"{where}: {footer.file_count} files do not fit in an index of {footer.index_length} bytes"
        )
    return footer


def _check_magic(part: str, found: bytes, expected: bytes, where: str) -> None:
    if found != expected:
        raise CorruptArchive(f"{where}: the {part} magic is {found!r}, not {expected!r}: no DES archive, or a cut one")


def _check_version(part: str, found: int, where: str) -> None:
    if found != VERSION:
        raise UnsupportedVersion(f"{where}: the {part} is of DES version {found}, expected version {VERSION}")
