from __future__ import annotations

import bz2
import lzma
import os
import pickle
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.codecs import (
    Codec,
    CorruptStream,
    OutputTooLarge,
    UnknownCodec,
    compress,
    compress_bytes,
    decompress,
    decompress_bytes,
    get_codec,
)

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("zstd", "bz2", "xz", "gzip", "store")
CONTAINERS = NAMES[:4]
TOOLS = {"zstd": "zstd", "xz": "xz", "bz2": "bzip2", "gzip": "gzip"}
TEXT = b"".join(b'{"id": %d, "name": "sensor %d", "value": %d.5}\n' % (i, i % 7, i * i % 1000) for i in range(20_000))
MIB = 1 << 20

any_codec = pytest.mark.parametrize("codec", [get_codec(name) for name in NAMES], ids=NAMES)
container = pytest.mark.parametrize("codec", [get_codec(name) for name in CONTAINERS], ids=CONTAINERS)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def whole(codec: Codec, data: bytes, *, max_size: int = 64 * MIB) -> bytes:
    return decompress_bytes(codec, data, max_size=max_size)


def test_an_unknown_level_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownCodec, match="bz2 has no level 10: choose from 1 to 9"):
        get_codec("bz2").at_level(10)


def test_a_higher_level_is_smaller_and_read_back_by_name_alone() -> None:
    data = os.urandom(300_000) * 2
    quick, thorough = (compress_bytes(get_codec("xz").at_level(level), data) for level in (0, 6))
    assert len(thorough) < len(quick)
    assert whole(get_codec("xz"), thorough) == whole(get_codec("xz"), quick) == data


@any_codec
def test_a_codec_survives_a_pickle(codec: Codec) -> None:
    assert pickle.loads(pickle.dumps(codec)) == codec  # noqa: S301  # our own bytes


@any_codec
@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=3000), size=st.integers(1, 1000), other=st.integers(1, 1000))
def test_what_goes_in_comes_out_and_chunks_do_not_matter(codec: Codec, data: bytes, size: int, other: int) -> None:
    packed = b"".join(compress(codec, cut(data, size)))
    assert packed == b"".join(compress(codec, cut(data, other)))
    assert b"".join(decompress(codec, cut(packed, size), max_size=len(data))) == data
    assert compress_bytes(codec, data) == packed


@any_codec
def test_long_streams_are_the_same_bytes_whatever_the_chunks(codec: Codec) -> None:
    packed = b"".join(compress(codec, [TEXT]))
    assert packed == b"".join(compress(codec, cut(TEXT, 777)))
    assert b"".join(decompress(codec, cut(packed, 999), max_size=len(TEXT))) == TEXT


@container
def test_concatenated_streams_are_read_as_one(codec: Codec) -> None:
    packed = b"".join(compress(codec, [b"one "])) + compress_bytes(codec, b"") + compress_bytes(codec, TEXT)
    assert whole(codec, packed) == b"one " + TEXT
    assert b"".join(decompress(codec, cut(packed, 1), max_size=4 + len(TEXT))) == b"one " + TEXT


@container
def test_thousands_of_tiny_streams_are_read(codec: Codec) -> None:
    assert whole(codec, compress_bytes(codec, b"ab") * 3000) == b"ab" * 3000


@container
@pytest.mark.parametrize("streamed", [True, False])
def test_the_ordinary_tool_opens_what_is_written(codec: Codec, streamed: bool, tmp_path: Path) -> None:
    tool = shutil.which(TOOLS[codec.name])
    if tool is None:
        pytest.skip(f"{TOOLS[codec.name]} is not installed: its reading of our {codec.name} files is not checked")
    packed = tmp_path / f"packed{codec.extension}"
    packed.write_bytes(b"".join(compress(codec, [TEXT])) if streamed else compress_bytes(codec, b"small") * 2)
    opened = subprocess.run([tool, "-d", "-c", str(packed)], capture_output=True, check=True)
    assert opened.stdout == (TEXT if streamed else b"smallsmall")


@container
def test_what_the_ordinary_tool_writes_is_opened(codec: Codec, tmp_path: Path) -> None:
    tool = shutil.which(TOOLS[codec.name])
    if tool is None:
        pytest.skip(f"{TOOLS[codec.name]} is not installed: our reading of its {codec.name} files is not checked")
    plain = tmp_path / "plain"
    plain.write_bytes(TEXT)
    packed = subprocess.run([tool, "-9", "-c", str(plain)], capture_output=True, check=True).stdout
    assert whole(codec, packed) == TEXT


@container
def test_every_truncation_is_noticed(codec: Codec) -> None:
    packed = b"".join(compress(codec, [b"some text, some more text"]))
    for size in range(len(packed)):
        with pytest.raises(CorruptStream):
            whole(codec, packed[:size])


@container
def test_a_truncated_second_stream_is_noticed(codec: Codec) -> None:
    packed = compress_bytes(codec, b"some text, some more text")
    for size in range(1, len(packed)):
        with pytest.raises(CorruptStream):
            whole(codec, packed + packed[:size])


@container
@pytest.mark.parametrize("garbage", [b"x", b"\0", b"garbage behind the stream", b"\0" * 7])
def test_trailing_garbage_is_noticed(codec: Codec, garbage: bytes) -> None:
    if codec.name == "gzip" and not garbage.strip(b"\0"):
        assert whole(codec, compress_bytes(codec, b"data") + garbage) == b"data"  # padding, as on a tape
        return
    with pytest.raises(CorruptStream):
        whole(codec, compress_bytes(codec, b"data") + garbage)


@container
@pytest.mark.parametrize("garbage", [b"", b"PK\x03\x04 this is a zip", b"\0" * 64, b"plain text"])
def test_what_is_no_stream_is_refused(codec: Codec, garbage: bytes) -> None:
    with pytest.raises(CorruptStream, match=f"^{codec.name}: "):
        whole(codec, garbage)


@container
def test_a_flipped_bit_is_noticed_or_harmless(codec: Codec) -> None:
    packed = compress_bytes(codec, TEXT[:3000])
    for position in range(len(packed)):
        damaged = packed[:position] + bytes([packed[position] ^ 4]) + packed[position + 1 :]
        try:
            assert whole(codec, damaged) == TEXT[:3000]
        except CorruptStream:
            continue


@any_codec
def test_more_than_the_allowed_size_never_comes_out(codec: Codec) -> None:
    packed = compress_bytes(codec, TEXT)
    assert whole(codec, packed, max_size=len(TEXT)) == TEXT
    received: list[int] = []
    with pytest.raises(OutputTooLarge, match=str(len(TEXT) - 1)):
        received.extend(len(piece) for piece in decompress(codec, [packed], max_size=len(TEXT) - 1))
    assert sum(received) < len(TEXT)


@container
def test_a_bomb_comes_out_in_small_pieces_and_is_stopped(codec: Codec) -> None:
    bomb = b"".join(compress(codec.at_level(1), (bytes(MIB) for _ in range(64))))
    assert len(bomb) < MIB
    sizes = [len(piece) for piece in decompress(codec, [bomb], max_size=64 * MIB)]
    assert sum(sizes) == 64 * MIB
    assert max(sizes) <= MIB
    received: list[int] = []
    with pytest.raises(OutputTooLarge):
        received.extend(len(piece) for piece in decompress(codec, [bomb], max_size=MIB))
    assert sum(received) <= MIB


def test_stored_data_is_cut_into_bounded_pieces() -> None:
    pieces = list(decompress(get_codec("store"), [bytes(3 * MIB + 5)], max_size=4 * MIB))
    assert [len(piece) for piece in pieces] == [MIB, MIB, MIB, 5]


def test_nothing_stored_is_nothing() -> None:
    assert whole(get_codec("store"), b"", max_size=0) == b""


def test_a_zstd_frame_carries_a_checksum_of_its_content() -> None:
    for packed in (compress_bytes(get_codec("zstd"), TEXT), b"".join(compress(get_codec("zstd"), [TEXT]))):
        assert zstandard.get_frame_parameters(packed).has_checksum
        with pytest.raises(CorruptStream, match="checksum"):
            whole(get_codec("zstd"), packed[:-1] + bytes([packed[-1] ^ 1]))


def test_zstd_skippable_frames_are_skipped() -> None:
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"index"
    packed = compress_bytes(get_codec("zstd"), TEXT)
    assert whole(get_codec("zstd"), skippable + packed + skippable) == TEXT
    with pytest.raises(CorruptStream):
        whole(get_codec("zstd"), packed + skippable[:-1])


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(1000), bytes(400_000), TEXT], ids=len)
@pytest.mark.parametrize("content_size", [True, False])
@pytest.mark.parametrize("checksum", [True, False])
def test_every_form_of_zstd_frame_is_read(data: bytes, content_size: bool, checksum: bool) -> None:
    writer = zstandard.ZstdCompressor(write_content_size=content_size, write_checksum=checksum)
    assert whole(get_codec("zstd"), writer.compress(data)) == data


def test_a_zstd_frame_that_wants_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = writer.compress(bytes(MIB)) + writer.flush()
    with pytest.raises(CorruptStream, match="memory"):
        whole(get_codec("zstd"), packed)


def test_an_xz_stream_that_wants_a_huge_dictionary_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 28}]
    with pytest.raises(CorruptStream, match="Memory usage limit"):
        whole(get_codec("xz"), lzma.compress(b"data", filters=filters))


def test_xz_stream_padding_is_skipped() -> None:
    packed = compress_bytes(get_codec("xz"), b"data")
    assert whole(get_codec("xz"), packed + bytes(8) + packed + bytes(4)) == b"datadata"
    with pytest.raises(CorruptStream, match="multiple of 4"):
        whole(get_codec("xz"), packed + bytes(6) + packed)
    with pytest.raises(CorruptStream):
        whole(get_codec("xz"), bytes(4) + packed)


def test_small_and_large_xz_values_are_read_by_the_standard_library() -> None:
    for size in (0, 1, 200, 4097, 1 << 18, (1 << 18) + 1, MIB):
        data = TEXT[:size] if size <= len(TEXT) else TEXT * 2
        assert lzma.decompress(compress_bytes(get_codec("xz"), data)) == data
        assert bz2.decompress(compress_bytes(get_codec("bz2"), data)) == data


def test_two_streams_read_in_turns_do_not_disturb_each_other() -> None:
    codec = get_codec("zstd")
    other = TEXT[::-1]
    turns = zip(
        decompress(codec, [compress_bytes(codec, TEXT)], max_size=len(TEXT)),
        decompress(codec, [compress_bytes(codec, other)], max_size=len(other)),
        strict=True,
    )
    first, second = (b"".join(pieces) for pieces in zip(*turns, strict=True))
    assert (first, second) == (TEXT, other)


def test_threads_compress_small_values_at_once() -> None:
    codec = get_codec("zstd").at_level(9)
    values = [b"value %d " % i * 20 for i in range(200)]
    expected = [compress_bytes(codec, value) for value in values]
    found: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: found.append([compress_bytes(codec, value) for value in values]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
