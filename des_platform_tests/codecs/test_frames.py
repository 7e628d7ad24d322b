from __future__ import annotations

import bz2
import shutil
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from des_platform.codecs import (
    Codec,
    CorruptStream,
    FrameIndex,
    compress,
    compress_bytes,
    decompress,
    decompress_frames,
    get_codec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
NAMES = ("zstd", "bz2", "xz", "gzip", "store")
TOOLS = {"zstd": "zstd", "xz": "xz", "bz2": "bzip2", "gzip": "gzip"}
TEXT = b"".join(b'{"id": %d, "value": %d.5}\n' % (i, i * i % 1000) for i in range(20_000))  # seven frames


def short(name: str) -> Codec:
    """A codec with frames of 64 KiB, so that a little data makes many."""
    codec = get_codec(name)
    return replace(codec, level=codec.levels[0], frame_bytes=64 * KIB)


any_codec = pytest.mark.parametrize("codec", [short(name) for name in NAMES], ids=NAMES)
tool_codec = pytest.mark.parametrize("codec", [short(name) for name in TOOLS], ids=TOOLS)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def packed(codec: Codec, data: bytes, threads: int = 1) -> tuple[bytes, FrameIndex]:
    stream = compress(codec, [data], threads=threads)
    return b"".join(stream), stream.index


def reading(data: bytes, asked: list[tuple[int, int]] | None = None):  # noqa: ANN201 - a function over bytes
    def read(offset: int, length: int) -> bytes:
        if asked is not None:
            asked.append((offset, length))
        return data[offset : offset + length]

    return read


@any_codec
def test_neither_threads_nor_chunks_change_a_byte(codec: Codec) -> None:
    expected, index = packed(codec, TEXT)
    for threads, size in ((2, 1 << 20), (3, 999), (2, 64 * KIB), (1, 64 * KIB + 1)):
        stream = compress(codec, cut(TEXT, size), threads=threads)
        assert b"".join(stream) == expected
        assert stream.index == index
    assert b"".join(decompress(codec, cut(expected, 777), max_size=len(TEXT), threads=2)) == TEXT


@any_codec
def test_what_the_caller_overwrites_afterwards_does_no_harm(codec: Codec) -> None:
    def refilled() -> Iterator[bytes]:
        buffer = bytearray(64 * KIB)
        for chunk in cut(TEXT[: 256 * KIB], 64 * KIB):
            buffer[:] = chunk
            yield buffer  # type: ignore[misc]

    assert b"".join(compress(codec, refilled(), threads=2)) == packed(codec, TEXT[: 256 * KIB])[0]


@any_codec
def test_the_index_tells_where_everything_is(codec: Codec) -> None:
    data, index = packed(codec, TEXT)
    assert (index.compressed_size, index.original_size) == (len(data), len(TEXT))
    assert len(index.frames) == -(-len(TEXT) // (64 * KIB))
    for frame in index.frames:
        original = TEXT[frame.original_offset : frame.original_offset + frame.original_size]
        assert data[frame.offset : frame.offset + frame.size] == compress_bytes(codec, original)
        assert frame.xxh3 == xxh3_64_intdigest(original)
    assert FrameIndex.from_bytes(index.to_bytes()) == index


def test_the_index_is_small() -> None:
    frames = [(70_000 + number % 9000, 900_000, hash((number,)) % 2**64) for number in range(10_000)]
    assert len(FrameIndex(frames).to_bytes()) < 11 * len(frames)


def test_the_index_is_not_known_before_the_end() -> None:
    stream = compress(short("zstd"), [TEXT])
    next(stream)
    with pytest.raises(RuntimeError, match="once all"):
        _ = stream.index


@any_codec
def test_nothing_has_an_index_too(codec: Codec) -> None:
    data, index = packed(codec, b"")
    assert index.original_size == 0
    assert FrameIndex.from_bytes(index.to_bytes()) == index
    assert list(decompress_frames(codec, index, reading(data))) == []


@any_codec
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_range_comes_back(codec: Codec, data: st.DataObject) -> None:
    original = TEXT[: 200 * KIB + 7]
    stored, index = packed(codec, original)
    offset = data.draw(st.integers(0, len(original)))
    length = data.draw(st.integers(0, len(original) - offset))
    threads = data.draw(st.sampled_from([1, 2]))
    pieces = list(decompress_frames(codec, index, reading(stored), offset=offset, length=length, threads=threads))
    assert b"".join(pieces) == original[offset : offset + length]
    assert all(0 < len(piece) <= MIB for piece in pieces)


def test_a_range_costs_the_frames_that_hold_it_in_one_request() -> None:
    codec = short("zstd")
    stored, index = packed(codec, TEXT)
    asked: list[tuple[int, int]] = []
    list(decompress_frames(codec, index, reading(stored, asked), offset=64 * KIB, length=100))
    list(decompress_frames(codec, index, reading(stored, asked), offset=64 * KIB - 1, length=2))
    first, second = index.frames[:2]
    assert asked == [(second.offset, second.size), (0, first.size + second.size)]


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, len(TEXT) + 1), (len(TEXT) + 1, 0), (5, -1)])
def test_a_range_past_the_end_is_refused(offset: int, length: int) -> None:
    stored, index = packed(short("zstd"), TEXT)
    with pytest.raises(ValueError, match="not within"):
        list(decompress_frames(short("zstd"), index, reading(stored), offset=offset, length=length))


@tool_codec
def test_the_ordinary_tool_opens_many_frames(codec: Codec, tmp_path: Path) -> None:
    tool = shutil.which(TOOLS[codec.name])
    if tool is None:
        pytest.skip(f"{TOOLS[codec.name]} is not installed: its reading of our frames is not checked")
    path = tmp_path / f"packed{codec.extension}"
    data, index = packed(codec, TEXT, threads=2)
    path.write_bytes(data)
    assert len(index.frames) > 1
    assert subprocess.run([tool, "-d", "-c", str(path)], capture_output=True, check=True).stdout == TEXT


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("codec")]


@any_codec
def test_who_stops_early_leaves_no_thread(codec: Codec) -> None:
    stored, index = packed(codec, TEXT)
    stream = compress(codec, cut(TEXT, 5000), threads=2)
    next(stream)
    assert running()
    stream.close()
    assert running() == []
    for begin in (
        lambda: compress(codec, [TEXT], threads=2),
        lambda: decompress(codec, [stored] * 9, max_size=9 * len(TEXT), threads=2),
        lambda: decompress_frames(codec, index, reading(stored), threads=2),
    ):
        dropped = begin()
        next(dropped)
        assert running()
        del dropped
        assert running() == []


class Trouble(Exception):
    pass


@any_codec
@pytest.mark.parametrize("threads", [1, 2])
def test_trouble_of_the_input_comes_through_and_leaves_no_thread(codec: Codec, threads: int) -> None:
    def failing(data: bytes) -> Iterator[bytes]:
        yield data
        raise Trouble

    def read(_offset: int, _length: int) -> bytes:
        raise Trouble

    stored, index = packed(codec, TEXT)
    for stream in (
        compress(codec, failing(TEXT), threads=threads),
        decompress(codec, failing(stored), max_size=len(TEXT), threads=threads),
        decompress_frames(codec, index, read, threads=threads),
    ):
        with pytest.raises(Trouble):
            list(stream)
        assert running() == []


@any_codec
@pytest.mark.parametrize("lie", ["shifted", "longer", "shorter", "other content", "other object", "cut object"])
def test_an_index_that_lies_never_gives_wrong_bytes(codec: Codec, lie: str) -> None:
    stored, index = packed(codec, TEXT)
    frames = [(frame.size, frame.original_size, frame.xxh3) for frame in index.frames]
    size, original, digest = frames[2]
    if lie == "shifted":
        frames[1], frames[2] = (frames[1][0] + 1, *frames[1][1:]), (size - 1, original, digest)
    elif lie == "longer":
        frames[2] = (size, original + 1, digest)
    elif lie == "shorter":
        frames[2] = (size, original - 1, digest)
    elif lie == "other content":
        frames[2] = (size, original, digest ^ 1)
    elif lie == "other object":
        stored = packed(codec, TEXT[::-1])[0]
    else:
        stored = stored[:-1]
    with pytest.raises(CorruptStream):
        list(decompress_frames(codec, FrameIndex(frames), reading(stored), threads=2))


def test_a_bomb_behind_an_index_stops_at_the_promised_length() -> None:
    bomb = bz2.compress(bytes(16 * MIB))
    index = FrameIndex([(len(bomb), 1000, xxh3_64_intdigest(bytes(1000)))])
    with pytest.raises(CorruptStream, match="1000 bytes"):
        list(decompress_frames(get_codec("bz2"), index, reading(bomb)))


def test_a_frame_of_crumbs_is_refused() -> None:
    crumb = compress_bytes(get_codec("bz2"), b"x")
    count = 70_000
    index = FrameIndex([(count * len(crumb), count, xxh3_64_intdigest(b"x" * count))])
    with pytest.raises(CorruptStream):
        list(decompress_frames(get_codec("bz2"), index, reading(crumb * count)))


@any_codec
def test_a_flipped_bit_in_a_frame_is_noticed_or_harmless(codec: Codec) -> None:
    original = TEXT[: 130 * KIB]
    stored, index = packed(codec, original)
    for position in range(0, len(stored), max(1, len(stored) // 150)):
        damaged = stored[:position] + bytes([stored[position] ^ 16]) + stored[position + 1 :]
        try:
            assert b"".join(decompress_frames(codec, index, reading(damaged))) == original
        except CorruptStream:
            continue


def test_every_damage_to_an_index_is_noticed() -> None:
    data = packed(short("zstd"), TEXT)[1].to_bytes()
    for position in range(len(data)):
        for damaged in (data[:position], data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]):
            with pytest.raises(CorruptStream):
                FrameIndex.from_bytes(damaged)
    for damaged in (b"", data + b"\0", bytes(100)):
        with pytest.raises(CorruptStream):
            FrameIndex.from_bytes(damaged)


def sealed(header: bytes, sizes: bytes, hashes: bytes) -> bytes:
    body = header + sizes + hashes
    return body + struct.pack("<Q", xxh3_64_intdigest(body))


@pytest.mark.parametrize(
    ("size", "original", "count"),
    [(0, 5, 1), (1 << 31, 5, 1), (5, 1 << 31, 1), (5, 5, 1 << 31), (5, 5, 2)],
    ids=["no bytes", "huge frame", "huge original", "many frames", "fewer sizes"],
)
def test_a_sealed_index_that_cannot_be_true_is_refused(size: int, original: int, count: int) -> None:
    sizes = compress_bytes(get_codec("zstd"), struct.pack("<II", size, original))
    header = struct.pack("<8sB3xII", b"DESINDEX", 1, count, len(sizes))
    with pytest.raises(CorruptStream):
        FrameIndex.from_bytes(sealed(header, sizes, bytes(8 * min(count, 2))))


def test_a_sealed_index_whose_sizes_are_a_bomb_is_refused() -> None:
    sizes = compress_bytes(get_codec("zstd"), bytes(50 * MIB))
    header = struct.pack("<8sB3xII", b"DESINDEX", 1, 1, len(sizes))
    with pytest.raises(CorruptStream, match="not as many"):
        FrameIndex.from_bytes(sealed(header, sizes, bytes(8)))


MEMORY = """
import os, re, sys, tempfile
from dataclasses import replace
from des_platform.codecs import compress, decompress, decompress_frames, get_codec
name, level, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) << 20
codec = get_codec(name).at_level(level)
chunk = bytes(4 << 20) if name != "zstd" else os.urandom(1 << 16) * 64
file = tempfile.TemporaryFile()
stream = compress(codec, (chunk for _ in range(size // len(chunk))), threads=2)
for piece in stream:
    file.write(piece)
file.seek(0)
back = sum(map(len, decompress(codec, iter(lambda: file.read(8 << 20), b""), max_size=size, threads=2)))
read = lambda offset, length: os.pread(file.fileno(), length, offset)
framed = sum(map(len, decompress_frames(codec, stream.index, read, threads=2)))
assert back == framed == stream.index.original_size > size // 2
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the most memory that was used")
@pytest.mark.parametrize(
    ("name", "level", "mib"), [("zstd", 3, 300), ("zstd", 19, 40), ("xz", 10, 40), ("bz2", 9, 12), ("gzip", 6, 60)]
)
def test_a_large_file_takes_at_most_256_mb_of_memory(name: str, level: int, mib: int) -> None:
    command = [sys.executable, "-c", MEMORY, name, str(level), str(mib)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 256e6
