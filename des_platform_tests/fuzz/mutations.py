"""Changes archives, blindly and field by field, and makes the checksums right again so that lies get past them.

What is known of the format here comes from FORMAT.md, not from the product's own modules.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from crc32c import crc32c

if TYPE_CHECKING:
    from random import Random

END_BYTES = 232
_FOOTER_AT, _TRAILER_AT = 16, 160  # in the last 232 bytes
_PAGE_BYTES = 16_384
_FOOTER = struct.Struct("<QQQIIQQQQQQIIQQQQIIQQ")
_BLOCK = struct.Struct("<4sBBHIIQQQII")
_NUMBERS = [0, 1, 2, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1]


class Field(NamedTuple):
    """Some bytes that mean something."""

    at: int
    length: int


class _Parts(NamedTuple):
    """Where things lie, as the end of an archive has it."""

    catalogue: int
    pages: int
    page_count: int
    files: int
    parquet: int
    end: int


def mutate(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Return changed bytes; often with right checksums all the same."""
    changed = bytearray(data)
    structured = random.random() < 0.7
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        if structured:
            _change_field(changed, random)
        else:
            change_bytes(changed, others, random)
    if structured or random.random() < 0.5:
        repair(changed, payloads=random.random() < 0.7)
    return bytes(changed)


def mutate_hint(hint: bytes, random: Random) -> bytes:
    """Return a hint that lies, with the right checksum."""
    changed = bytearray(hint)
    field = random.choice([Field(4, 4), *(Field(at, 8) for at in range(8, 56, 8)), Field(56, 4)])
    _set(changed, field, random)
    changed[60:] = crc32c(changed[:60]).to_bytes(4, "little")
    return bytes(changed)


def repair(data: bytearray, *, payloads: bool) -> None:
    """Make the checksums of version 2 right, from the innermost out, as far as its own lengths lead to them."""
    parts = _parts(data)
    if parts is None:
        return
    if payloads:
        _repair_payloads(data, parts)
    _put(data, 12, crc32c(data[16:32], crc32c(data[:12])))
    for at in _blocks(data, parts.catalogue):
        _put(data, at + 44, crc32c(data[at + 48 : at + 48 + _u32(data, at + 12)], crc32c(data[at : at + 44])))
    for at in _pages(parts):
        end = at + 24 + 24 * min(_u32(data, at + 8), 681)
        _put(data, at + 12, crc32c(data[at + 24 : end], crc32c(data[at + 16 : at + 24], crc32c(data[at : at + 12]))))
    footer = parts.end + _FOOTER_AT
    _put(data, footer + 120, crc32c(data[parts.catalogue : parts.pages]))
    _put(data, footer + 124, crc32c(data[-9:], crc32c(data[parts.parquet : parts.end])))
    trailer = parts.end + _TRAILER_AT
    data[trailer + 16 : trailer + 24] = len(data).to_bytes(8, "little")
    _put(data, trailer + 28, crc32c(data[parts.end : trailer]))
    _put(data, trailer + 36, crc32c(data[trailer : trailer + 36]))


def _parts(data: bytearray) -> _Parts | None:
    end = len(data) - END_BYTES
    if end < 32:
        return None
    fields = _FOOTER.unpack_from(data, end + _FOOTER_AT)
    catalogue, pages, page_count, files = fields[0], fields[2], fields[3], fields[5]
    parquet = pages + (24 + 24 * files if page_count == 1 else _PAGE_BYTES * page_count)
    if not 32 <= catalogue <= pages <= parquet <= end:
        return None
    return _Parts(catalogue, pages, page_count, files, parquet, end)


def _pages(parts: _Parts) -> list[int]:
    return [parts.pages + number * _PAGE_BYTES for number in range(parts.page_count)]


def _blocks(data: bytearray, end: int) -> list[int]:
    found = []
    at = 32
    while at + 48 <= end and data[at : at + 4] == b"DBK2":
        found.append(at)
        at += 48 + _u32(data, at + 12) + int.from_bytes(data[at + 16 : at + 24], "little")
    return found


def _repair_payloads(data: bytearray, parts: _Parts) -> None:
    """Write the checksums of the payloads as they are now into the pages and into plain columns."""
    for page in _pages(parts):
        count = min(_u32(data, page + 8), 681)
        for entry in range(count):
            at = int.from_bytes(data[page + 24 + 8 * count + 8 * entry :][:6], "little")
            length = _u32(data, page + 24 + 16 * count + 4 * entry)
            if at + length <= parts.catalogue:
                _put(data, page + 24 + 20 * count + 4 * entry, crc32c(data[at : at + length]))
    for block in _blocks(data, parts.catalogue):
        kind, flags, count = data[block + 4], data[block + 5], _u32(data, block + 8)
        payload = block + 48 + _u32(data, block + 12)
        if kind in {2, 5}:
            length = int.from_bytes(data[block + 16 : block + 24], "little")
            _put(data, block + 48, crc32c(data[payload : payload + length]))
        elif kind == 1 and not flags & 1 and count <= 1000:
            for index in range(count):
                length = _u32(data, block + 48 + 4 * index)
                if payload + length <= parts.catalogue:
                    _put(data, block + 48 + 4 * count + 4 * index, crc32c(data[payload : payload + length]))
                payload += length


def _change_field(data: bytearray, random: Random) -> None:
    """Change what a field says, of one of the parts that FORMAT.md names."""
    parts = _parts(data)
    if parts is None or data[-64:-63] != b"\2":
        _change_v1(data, random)
        return
    part = random.choice([_in_blocks] * 3 + [_in_pages] * 2 + [_in_regions] * 2 + [_in_ends] * 2)
    field = part(data, parts, random)
    if field is not None:
        _set(data, field, random)


def _in_blocks(data: bytearray, parts: _Parts, random: Random) -> Field | None:
    blocks = _blocks(data, parts.catalogue)
    if not blocks:
        return None
    block, kind = random.choice(blocks), random.randrange(3)
    if kind == 0:
        at, length = random.choice([(4, 1), (5, 1), (6, 2), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 4)])
        return Field(block + at, length)
    columns = block + 48
    payload = columns + _u32(data, block + 12)
    if kind == 1:
        return _within(columns, payload, random)
    return _within(payload, min(payload + _u32(data, block + 16), parts.catalogue), random)


def _in_pages(data: bytearray, parts: _Parts, random: Random) -> Field | None:
    pages = _pages(parts)
    if not pages:
        return None
    page = random.choice(pages)
    if random.random() < 0.5:
        at, length = random.choice([(0, 4), (4, 4), (8, 4), (16, 8)])
        return Field(page + at, length)
    return _within(page + 24, min(page + 24 + 24 * _u32(data, page + 8), parts.end), random)


def _in_regions(_: bytearray, parts: _Parts, random: Random) -> Field | None:
    start, end = random.choice([(parts.catalogue, parts.pages), (parts.parquet, parts.end)])
    return _within(start, end, random)


def _in_ends(_: bytearray, parts: _Parts, random: Random) -> Field:
    kind = random.choice(["header", "footer", "footer", "trailer"])
    if kind == "header":
        return random.choice([Field(8, 1), Field(9, 1), Field(10, 1), Field(16, 8), Field(24, 8)])
    if kind == "footer":
        return Field(parts.end + _FOOTER_AT + 4 * random.randrange(36), random.choice([4, 8]))
    return Field(parts.end + _TRAILER_AT + random.randrange(60), random.choice([1, 4]))


def _change_v1(data: bytearray, random: Random) -> None:
    """Change a field of version 1's footer, or something before it."""
    if random.random() < 0.5 and len(data) >= 72:
        _set(data, Field(len(data) - 72 + 8 * random.randrange(9), random.choice([4, 8])), random)
    else:
        _set_within(data, 0, len(data), random)


def _set_within(data: bytearray, start: int, end: int, random: Random) -> None:
    field = _within(start, min(end, len(data)), random)
    if field is not None:
        _set(data, field, random)


def _within(start: int, end: int, random: Random) -> Field | None:
    return Field(random.randrange(start, end), random.choice([1, 1, 1, 2, 4, 8])) if start < end else None


def _set(data: bytearray, field: Field, random: Random) -> None:
    """Give a field a number that breaks things, one near to what it has, or a changed bit."""
    end = min(field.at + field.length, len(data))
    length = end - field.at
    if length <= 0 or field.at < 0:
        return
    before = int.from_bytes(data[field.at : end], "little")
    choice = random.random()
    if choice < 0.3:
        value = before ^ 1 << random.randrange(8 * length)
    elif choice < 0.5:
        value = before + random.choice([-8, -2, -1, 1, 2, 8, 24])
    elif choice < 0.6:
        value = len(data) + random.choice([-1000, -232, -1, 0, 1])
    elif choice < 0.8:
        value = random.choice(_NUMBERS)
    else:
        value = random.getrandbits(8 * length)
    data[field.at : end] = (value % (1 << 8 * length)).to_bytes(length, "little")


def change_bytes(data: bytearray, others: list[bytes], random: Random) -> None:
    """Flip, cut, repeat, insert, or take over from another archive."""
    at = random.randrange(len(data) + 1)
    length = random.choice([1, 4, 8, 24, 48, 200, 2000])
    choice = random.randrange(8)
    if choice <= 2:
        _set_within(data, 0, len(data), random)
    elif choice == 3:
        del data[at : at + length]
    elif choice == 4:
        data[at:at] = data[at : at + length]
    elif choice == 5:
        data[at:at] = random.randbytes(length)
    elif choice == 6:
        del data[at:]
    else:
        other = random.choice(others)
        start = random.randrange(len(other))
        data[at : at + length] = other[start : start + length]


def _u32(data: bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _put(data: bytearray, at: int, crc: int) -> None:
    if at + 4 <= len(data):
        data[at : at + 4] = crc.to_bytes(4, "little")
