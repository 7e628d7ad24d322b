from __future__ import annotations

import os
import struct
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DesWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

V1Writer = partial(DesWriter, format_version=1)

# One file, a.txt = hello, with metadata {"k": 1}: the published example of the format.
GOLDEN = bytes.fromhex(
    "4445534845414431010000000000000068656c6c6f7b226b223a312c2273697a65223a357d0500612e747874100000000000000005000000"
    "000000001500000000000000100000000000000000000000444553464f4f5431010000000000000010000000000000000500000000000000"
    "1500000000000000100000000000000025000000000000002b000000000000000100000000000000"
)
EMPTY = b"DESHEAD1\x01" + bytes(7) + b"DESFOOT1\x01" + bytes(7) + struct.pack("<QQQQQQQ", 16, 0, 16, 0, 16, 0, 0)


class MemorySource:
    """Bytes in memory that count what is asked of them, and refuse what a store would refuse."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []
        self.identity: str | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    def read_tail(self, length: int) -> tuple[bytes, int]:
        self.reads.append((max(0, len(self.data) - length), min(length, len(self.data))))
        return self.data[-length:], len(self.data)

    def read_range(self, offset: int, length: int) -> bytes:
        assert length > 0, "a store answers a range of no bytes with the whole object"
        assert offset >= 0
        assert offset + length <= len(self.data), "no read may reach past the end"
        self.reads.append((offset, length))
        return self.data[offset : offset + length]


def build(
    files: list[tuple[bytes, int, int, bytes, int, int]],
    *,
    data: bytes = b"",
    meta: bytes = b"",
    footer: dict[str, int] | None = None,
) -> bytes:
    """Lay out an archive by hand; files are (name, data offset, data length, metadata, meta shift, flags)."""
    meta_start = 16 + len(data)
    index = b""
    for name, data_offset, data_length, file_meta, shift, flags in files:
        position = meta_start + len(meta) + shift
        meta += file_meta
        index += struct.pack("<H", len(name)) + name
        index += struct.pack("<QQQQI", data_offset, data_length, position, len(file_meta), flags)
    fields = {
        "version": 1,
        "data_start": 16,
        "data_length": len(data),
        "meta_start": meta_start,
        "meta_length": len(meta),
        "index_start": meta_start + len(meta),
        "index_length": len(index),
        "file_count": len(files),
    } | (footer or {})
    version = fields.pop("version")
    tail = struct.pack("<8sB7sQQQQQQQ", b"DESFOOT1", version, bytes(7), *fields.values())
    return b"DESHEAD1\x01" + bytes(7) + data + meta + index + tail


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def is_open(path: Path) -> bool:
    """Whether this process holds a descriptor of the file."""
    return any(os.path.realpath(descriptor) == str(path.resolve()) for descriptor in Path("/proc/self/fd").iterdir())


@pytest.fixture
def _switching_threads_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a.des"
