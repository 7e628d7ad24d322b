"""Thrift's compact protocol: what others may write is skipped, what breaks it is refused."""

from __future__ import annotations

import pytest

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.v2.compact_protocol import BINARY, I32, I64, LIST, STRUCT, CompactReader


def test_fields_are_read_and_those_of_every_other_kind_are_skipped() -> None:
    data = (
        b"\x15\x0e"  # 1: i32 7
        b"\x11\x12"  # 2: true, 3: false
        b"\x13\xff"  # 4: a byte
        b"\x17" + bytes(8) + b"\x18\x02no"  # 5: a double, 6: binary
        b"\x19\x28\x01a\x01b"  # 7: a list of two binaries
        b"\x1b\x01\x58\x02\x01x"  # 8: a map of one i32 and binary
        b"\x1c\x15\x02\x00"  # 9: a struct
        b"\x1a\xf1\x0f" + b"\x01" * 15 + b"\x06\xd0\x0f\x01"  # 10: a set of 15 booleans, 1000: i64 -1
        b"\x00"
    )
    reader = CompactReader(data)
    found = {}
    for field, kind in reader.fields():
        if kind in {I32, I64}:
            found[field] = reader.integer()
        elif kind == BINARY:
            found[field] = reader.binary()
        else:
            reader.skip(kind)
    assert found == {1: 7, 6: b"no", 1000: -1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends 1 bytes too early"),
        (b"\x18\x05ab", "ends 3 bytes too early"),
        (b"\x15" + b"\xff" * 11 + b"\x00", "more than 64 bits"),
        (b"\x19\xf5\xff\xff\xff\xff\x0f", "bytes too early"),
        (b"\x1b\xff\xff\xff\xff\x0f\x88", "bytes too early"),
        (b"\x1e\x00", "type 14"),
        (b"\x1c" * 1000, "nested more than 16 deep"),
        (b"\x19" * 1000, "nested more than 16 deep"),
    ],
)
def test_bytes_that_break_the_protocol_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(CorruptArchive, match=message):
        _skip_all(CompactReader(data))


def _skip_all(reader: CompactReader) -> None:
    for _, kind in reader.fields():
        reader.skip(kind)


def test_a_list_of_another_kind_is_not_read() -> None:
    reader = CompactReader(b"\x19\x28\x01a\x01b\x00")
    assert next(reader.fields()) == (1, LIST)
    with pytest.raises(CorruptArchive, match="a list of type 8 where one of type 12 belongs"):
        reader.items(STRUCT)
