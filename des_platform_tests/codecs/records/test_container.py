"""The same input gives the same bytes; damaged bytes give an error; memory stays small."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import xxhash

from des_platform.codecs.errors import CorruptStream
from des_platform.codecs.records import NotRecords, compress_records
from des_platform_tests.codecs.records.support import cut, json_lines, pack, round_trip, unpack

if TYPE_CHECKING:
    from pathlib import Path

_DATA = json_lines(3000)
_MEGABYTES = 256

_CHILD = """
import re, sys
from des_platform.codecs.records import compress_records, decode_records

def line(n):
    return b"%d,%d.%02d,name%d,%d,%d,%d\\n" % (n, n * 7 % 1000, n % 100, n % 50, n % 10, n * n % 10, n // 1000)

def chunks():
    yield b"id,price,name,a,b,c\\n"
    for start in range(0, 800_000, 10_000):
        yield b"".join(map(line, range(start, start + 10_000)))

with open(sys.argv[1], "w+b") as file:
    for piece in compress_records(chunks(), threads=2):
        file.write(piece)
    file.seek(0)
    size = sum(len(piece) for piece in decode_records(iter(lambda: file.read(1 << 20), b"")))
with open("/proc/self/status") as file:  # what getrusage says may be the peak of who started this process
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", file.read())[1])
print(peak // 1024, size, "pandas" in sys.modules)
"""


@pytest.fixture(scope="module")
def packed() -> bytes:
    return pack(_DATA)


def test_neither_chunks_nor_threads_change_the_bytes() -> None:
    data = _DATA + json_lines(17_000, 2)
    once = pack(data)
    assert once == b"".join(compress_records(cut(data, 4099), threads=2))
    assert round_trip(data, threads=2) == data


def test_a_flipped_bit_anywhere_is_an_error(packed: bytes) -> None:
    for place in range(0, len(packed), max(1, len(packed) // 150)):
        damaged = bytearray(packed)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(CorruptStream):
            unpack(bytes(damaged))


def test_a_file_that_is_cut_or_longer_is_an_error(packed: bytes) -> None:
    for size in (0, 3, 8, 50, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        with pytest.raises(CorruptStream):
            unpack(packed[:size])
    with pytest.raises(CorruptStream):
        unpack(packed + b"\0")


def _resealed(data: bytes) -> bytes:
    """The file with checksums that are right, as a liar would write them."""
    footer = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    body = data[: footer - 40]
    return body + b"DESR0001" + xxhash.xxh3_128(body).digest() + xxhash.xxh3_128(data[footer:]).digest() + data[footer:]


@pytest.mark.parametrize(
    ("truth", "lie"),
    [
        (b'"version":1', b'"version":2'),
        (b'"head":""', b'"hear":""'),
        (b'"kind":"trimmed"', b'"kind":"boolean"'),
        (b'"layout":"Y', b'"layout":"d'),
        (b'"step":', b'"stop":'),
        (b'"how":"lookup"', b'"how":"scaled"'),
        (b'"columns":[', b'"columns":{'),
        (b'"size":', b'"site":'),
    ],
)
def test_metadata_that_lie_are_an_error(packed: bytes, truth: bytes, lie: bytes) -> None:
    footer = len(packed) - 8 - struct.unpack("<I", packed[-8:-4])[0]
    end = packed[footer:]
    assert truth in end
    rest = end.replace(truth, lie, 1)
    with pytest.raises(CorruptStream):
        unpack(_resealed(packed[:footer] + rest))


def test_no_parquet_file_of_others_is_read() -> None:
    with pytest.raises(CorruptStream, match="Parquet"):
        unpack(b"PAR1" + b"\0" * 100 + struct.pack("<I", 10) + b"PAR1")


def test_what_columns_do_not_shrink_is_refused_before_the_first_piece() -> None:
    with pytest.raises(NotRecords):
        next(compress_records([bytes(range(256)) * 500]))
    with pytest.raises(NotRecords):
        next(compress_records([b"".join(b"%d words of prose, no record\n" % (n**9) for n in range(40))]))


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's peak from /proc")
def test_memory_is_bounded_both_ways(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path / "x.parquet")], capture_output=True, text=True, check=True
    )
    megabytes, size, pandas = done.stdout.split()
    assert int(megabytes) < _MEGABYTES
    assert int(size) > 20_000_000
    assert pandas == "False"


def test_importing_codecs_imports_no_arrow() -> None:
    check = "import sys, des_platform.codecs.records as r; print({'pyarrow', 'polars', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
