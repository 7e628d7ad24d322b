"""Compressed files: right bytes from honest frames, and `CorruptArchive` without the memory from those that lie."""

from __future__ import annotations

import threading
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.reader import DesReader
from des_platform.archive.source import MemorySource
from des_platform_tests.archive.counting import CountingSource
from des_platform_tests.archive.literal_v2 import Item, Lies, external_record, write_v2

if TYPE_CHECKING:
    from collections.abc import Callable

COMPRESSED = 2
WITH_DICTIONARY = 2 | 16
DOCUMENTS = [f'{{"station":"S{number % 50:04d}","unit":"kelvin","value":{number}}}'.encode() for number in range(3000)]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def dictionary() -> zstandard.ZstdCompressionDict:
    return zstandard.train_dictionary(8192, DOCUMENTS)


def frame(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


def compressed(data: bytes, flags: int = COMPRESSED, **options: Any) -> Item:
    return Item(frame(data, **options), len(data), flags)


def claiming(size: int, blocks: bytes) -> bytes:
    """A frame of one segment that announces a size of 4 bytes or 8."""
    descriptor, field = (0xA0, size.to_bytes(4, "little")) if size < 2**32 else (0xE0, size.to_bytes(8, "little"))
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + field + blocks


def read(item: Item, **options: Any) -> bytes:
    return DesReader(MemorySource(write_v2({"a": item}).data), **options).get_file("a")


@pytest.mark.parametrize(
    "data",
    [b"x", b"alpha" * 1000, bytes(100 * MIB), bytes(range(256)) * 20_000],
    ids=["a byte", "text", "100 MiB of zeros", "5 MB"],
)
def test_a_compressed_file_is_unpacked(data: bytes) -> None:
    assert read(compressed(data)) == data
    assert read(compressed(data, write_checksum=True)) == data


def test_an_empty_file_may_be_compressed() -> None:
    assert read(compressed(b"")) == b""


def test_the_dictionary_is_read_once_and_only_when_a_file_needs_it(dictionary: zstandard.ZstdCompressionDict) -> None:
    files = {f"d/{n}": compressed(data, WITH_DICTIONARY, dict_data=dictionary) for n, data in enumerate(DOCUMENTS)}
    archive = write_v2({**files, "raw": Item(b"raw"), "own": compressed(b"own" * 99)}, dictionary=dictionary.as_bytes())
    block = (archive.footer["dictionary_offset"], archive.footer["dictionary_length"])
    source = CountingSource(archive.data)
    reader = DesReader(source)
    assert (reader.get_file("raw"), reader.get_file("own")) == (b"raw", b"own" * 99)
    assert block not in source.reads
    assert [reader.get_file(f"d/{n}") for n in range(len(DOCUMENTS))] == DOCUMENTS
    assert source.reads.count(block) == 1
    assert list(reader.get_files_batch(files).values()) == DOCUMENTS
    assert list(DesReader(MemorySource(archive.data), hint=archive.hint()).get_files_batch(files).values()) == DOCUMENTS


@pytest.mark.usefixtures("_switching_threads_often")
def test_threads_unpack_at_the_same_time(dictionary: zstandard.ZstdCompressionDict) -> None:
    files = {f"d/{n}": compressed(data, WITH_DICTIONARY, dict_data=dictionary) for n, data in enumerate(DOCUMENTS)}
    archive = write_v2(files, dictionary=dictionary.as_bytes())
    reader = DesReader(MemorySource(archive.data))
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(n for n, data in enumerate(DOCUMENTS) if reader.get_file(f"d/{n}") != data)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_size_of_a_compressed_file_is_found_without_unpacking_it() -> None:
    large = compressed(bytes(range(256)) * 40_000, level=1)
    source = CountingSource(write_v2({"a": large, "b": compressed(b"small" * 9), "c": Item(bytes(70_000))}).data)
    reader = DesReader(source)
    assert [(reader.get_entry(name).size, reader.get_entry(name).flags) for name in "ab"] == [
        (256 * 40_000, 2),
        (45, 2),
    ]
    assert source.bytes_read < 20_000


RLE_BLOCK = (1 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"x"
REFUSED: dict[str, tuple[Item, str]] = {
    "garbage behind": (Item(frame(b"alpha" * 99) + b"!", 495, COMPRESSED), "unused data"),
    "a second frame": (Item(frame(b"alpha" * 99) + frame(b"beta"), 495, COMPRESSED), "unused data"),
    "garbage behind nothing": (Item(frame(b"") + b"!", 0, COMPRESSED), "frame|decompress"),
    "garbage behind much": (Item(frame(bytes(50 * MIB)) + b"!", 50 * MIB, COMPRESSED), "frame|decompress"),
    "a second frame behind much": (Item(frame(bytes(50 * MIB)) * 2, 50 * MIB, COMPRESSED), "not one zstd frame"),
    "a cut frame": (Item(frame(b"alpha" * 99)[:-1], 495, COMPRESSED), "cannot be decompressed"),
    "a cut large frame": (Item(frame(bytes(50 * MIB))[:-1], 50 * MIB, COMPRESSED), "frame|decompressed"),
    "no size": (Item(frame(b"alpha" * 99, write_content_size=False), 495, COMPRESSED), "without its content's size"),
    "a skippable frame": (Item(b"\x50\x2a\x4d\x18\x01\0\0\0x", 1, COMPRESSED), "not a zstd frame"),
    "no frame": (Item(b"alpha", 5, COMPRESSED), "not a zstd frame"),
    "nothing at all": (Item(b"", 0, COMPRESSED), "not a zstd frame"),
    "a header alone": (Item(b"\x28\xb5\x2f\xfd", 5, COMPRESSED), "broken zstd frame"),
    "more than it holds": (Item(claiming(1000, RLE_BLOCK), 1000, COMPRESSED), "decompress"),
    "much more than it holds": (Item(claiming(300 * MIB, RLE_BLOCK), 300 * MIB, COMPRESSED), "frame|decompress"),
    "4 EiB": (Item(claiming(2**62, RLE_BLOCK), 5, COMPRESSED), "more than the 4294967296"),
    "less than it holds": (Item(claiming(0, RLE_BLOCK), 0, COMPRESSED), "frame|decompress"),
    "no dictionary": (Item(frame(b"alpha"), 5, WITH_DICTIONARY), "there is none"),
    "a dictionary without compression": (Item(b"alpha", flags=16), "flags 0x10"),
    "encrypted": (Item(b"alpha", flags=4), "flags 0x4"),
    "deleted": (Item(b"alpha", flags=8), "flags 0x8"),
    "a flag of the future": (Item(b"alpha", flags=0x8000), "flags 0x8000"),
    "no record": (Item(b"", flags=1), "not JSON"),
    "a record that is no JSON": (Item(b"\xff{", flags=1), "not JSON"),
    "a record that is no object": (Item(b"[1]", flags=1), "list, not a JSON object"),
    "a record without a key": (Item(b'{"size":1}', flags=1), "no external_key"),
    "a record with an empty key": (Item(external_record("", 1), flags=1), "no external_key"),
    "a record with a negative size": (Item(external_record("k", -1), flags=1), "no size: -1"),
    "a record whose size is true": (Item(b'{"external_key":"k","size":true}', flags=1), "no size: True"),
    "a record nested too deeply": (Item(b'{"a":' * 200_000, flags=1), "not JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_payload_that_breaks_the_rules_is_refused(case: str) -> None:
    item, message = REFUSED[case]
    with pytest.raises(CorruptArchive, match=f"'a'.*{message}|{message}"):
        read(item)
    reader = DesReader(MemorySource(write_v2({"a": item, "b": b"beta"}).data))
    with pytest.raises(CorruptArchive):
        reader.get_files_batch(["b", "a"])
    assert reader.get_file("b") == b"beta"


@pytest.mark.parametrize("size", [300 * MIB, 2**32 - 1, 2**40])
def test_a_size_that_a_frame_only_claims_costs_no_memory(size: int) -> None:
    for blocks in (RLE_BLOCK, b"\0" * 90, b"\xff" * 90):
        data = write_v2({"a": Item(claiming(size, blocks), 5, COMPRESSED)}).data
        reader = DesReader(MemorySource(data))
        tracemalloc.start()
        try:
            with pytest.raises(CorruptArchive):
                reader.get_file("a")
            assert tracemalloc.get_traced_memory()[1] < 10 * MIB
        finally:
            tracemalloc.stop()


def test_a_bomb_is_refused_by_its_size_before_it_is_unpacked() -> None:
    bomb = compressed(bytes(100 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(CorruptArchive, match="has 104857600 bytes, more than the 1048576"):
            read(bomb, max_object_bytes=MIB)
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
    finally:
        tracemalloc.stop()


def test_a_plain_file_beyond_the_limit_is_refused_unread() -> None:
    source = CountingSource(write_v2({"a": bytes(200_000), "b": bytes(100_000)}).data)
    reader = DesReader(source, max_object_bytes=100_000)
    assert reader.get_file("b") == bytes(100_000)
    source.forget()
    with pytest.raises(CorruptArchive, match="200000 stored bytes, more than the 100000"):
        reader.get_file("a")
    assert source.requests == 0


def _set(at: int, value: object, fields: list[Any]) -> None:
    fields[at] = value


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(partial(_set, 0, b"DBKx"), id="magic"),
        pytest.param(partial(_set, 1, 1), id="kind"),
        pytest.param(partial(_set, 2, 1), id="flags"),
        pytest.param(partial(_set, 4, 1), id="count"),
        pytest.param(partial(_set, 5, 2**31), id="length of the columns"),
        pytest.param(partial(_set, 6, 2**60), id="length of the payload"),
        pytest.param(partial(_set, 8, 3), id="archive"),
    ],
)
def test_a_dictionary_block_that_lies_is_refused(
    dictionary: zstandard.ZstdCompressionDict, lie: Callable[[list[Any]], None]
) -> None:
    item = compressed(DOCUMENTS[0], WITH_DICTIONARY, dict_data=dictionary)
    archive = write_v2({"a": item, "b": b"beta"}, dictionary=dictionary.as_bytes(), lies=Lies(block=lie))
    reader = DesReader(MemorySource(archive.data))
    with pytest.raises(CorruptArchive, match="dictionary"):
        reader.get_file("a")
    assert reader.get_file("b") == b"beta"


@pytest.mark.parametrize("content", [b"", b"\x37\xa4\x30\xec", b"\x37\xa4\x30\xec" + bytes(500), b"no dictionary" * 30])
def test_a_dictionary_that_is_none_is_refused(dictionary: zstandard.ZstdCompressionDict, content: bytes) -> None:
    item = compressed(DOCUMENTS[0], WITH_DICTIONARY, dict_data=dictionary)
    archive = write_v2({"a": item}, dictionary=content)
    for _ in range(2):
        with pytest.raises(CorruptArchive, match="dict|Dict"):
            DesReader(MemorySource(archive.data)).get_file("a")


def test_each_bit_of_the_dictionary_block_counts(dictionary: zstandard.ZstdCompressionDict) -> None:
    item = compressed(DOCUMENTS[0], WITH_DICTIONARY, dict_data=dictionary)
    archive = write_v2({"a": item}, dictionary=dictionary.as_bytes())
    start, length = archive.footer["dictionary_offset"], archive.footer["dictionary_length"]
    for at in [*range(start, start + 60), *range(start + 60, start + length, 97)]:
        changed = bytearray(archive.data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(CorruptArchive):
            DesReader(MemorySource(bytes(changed))).get_file("a")
