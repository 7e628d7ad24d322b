from __future__ import annotations

import os
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from crc32c import crc32c

from des_platform.archive import DesWriter, MemorySource
from des_platform.archive.recovery import recover
from des_platform.archive.verification import verify
from des_platform_tests.archive.conftest import GOLDEN
from des_platform_tests.archive.corpus import (
    ARCHIVE_ID,
    CREATED_MS,
    MemorySink,
    append,
    blocks_of,
    documents,
    noise,
    write,
)
from des_platform_tests.archive.literal_v2 import Item, Lies, external_record, write_v2

if TYPE_CHECKING:
    from collections.abc import Callable


def of_every_kind() -> bytes:
    """About 3 KB with all that an archive can have but a dictionary."""
    sink = MemorySink()
    with DesWriter(sink, archive_id=ARCHIVE_ID, created_ms=CREATED_MS, columns={"n": "long", "s": "string"}) as archive:
        archive.add_file("text", b"abcdefgh" * 40, {"n": 1, "s": "x"})
        archive.add_file("noise", noise(1, 200))
        archive.add_file("empty", b"", {"k": None})
        archive.add_external("far", 12_345, {"n": 2}, external_key="elsewhere/far")
    return append(sink.data, {"new": noise(2, 60), "noise": b"another"}, deleted=["noise", "empty"])


def problems(data: bytes) -> list[str]:
    return verify(MemorySource(data)).problems


def unnoticed(data: bytes, bits: range) -> list[int]:
    """Return the flipped bits that are not found."""
    changed = bytearray(data)
    missed = []
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
        if not problems(bytes(changed)):
            missed.append(bit)
        changed[bit // 8] ^= 1 << bit % 8
    return missed


def test_an_archive_that_is_whole_has_no_problems_and_is_counted() -> None:
    data = of_every_kind()
    found = verify(MemorySource(data))
    assert found.ok
    assert (found.version, found.files, found.bytes) == (2, 4, len(data))


@pytest.mark.parametrize("part", range(10))
def test_every_flipped_bit_is_found(part: int) -> None:
    data = of_every_kind()
    assert unnoticed(data, range(part, 8 * len(data), 10)) == []


def test_flipped_bits_of_a_dictionary_are_found() -> None:
    data = write(documents(2_000))
    dictionary = next(block for block in blocks_of(data) if block.kind == 2)
    assert unnoticed(data, range(8 * dictionary.offset + 3, 8 * dictionary.end, 8 * 4_001)) == []


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 100, -233, -232, -72, -1])
def test_a_cut_archive_is_not_whole(cut: int) -> None:
    assert problems(of_every_kind()[:cut])


def test_bytes_before_behind_and_within_are_found() -> None:
    data = of_every_kind()
    assert problems(b"\0" + data)
    assert problems(data + b"\0")
    for block in blocks_of(data):
        assert problems(data[: block.offset] + b"\0" + data[block.offset :])
        assert problems(data[: block.offset] + data[block.end :])


FILES = {"a": Item(b"first", metadata='{"k":1}'), "b": b"second", "x": Item(external_record("k", 9), 9, 1, None)}


def lied(lies: Lies) -> list[str]:
    return problems(write_v2(FILES, lies=lies).data)


def test_an_archive_written_from_the_document_alone_is_whole() -> None:
    files = {**FILES, "x": Item(external_record("k", 9), 9, 1, external_record("k", 9).decode())}
    assert problems(write_v2(files).data) == []


def _row(column: str, value: Callable[[Any], Any]) -> Lies:
    def change(rows: dict[str, list[Any]]) -> None:
        rows[column] = [
            value(found) if name == "a" else found for name, found in zip(rows["name"], rows[column], strict=True)
        ]

    return Lies(rows=change)


def _swapped(column: str) -> Lies:
    def change(rows: dict[str, list[Any]]) -> None:
        rows[column][:2] = rows[column][1::-1]

    return Lies(rows=change)


def _entry(column: int, value: Callable[[int], int]) -> Lies:
    def change(entries: list[list[int]]) -> None:
        entries[0][column] = value(entries[0][column])

    return Lies(entries=change)


LIES = {
    "a name of the catalogue": _row("name", lambda _: "A"),
    "an offset of the catalogue": _row("data_offset", lambda found: found + 1),
    "offsets of the catalogue that are swapped": _swapped("data_offset"),
    "a size of the catalogue": _row("size", lambda found: found + 1),
    "sizes of the catalogue that are swapped": _swapped("size"),
    "a stored size of the catalogue": _row("stored_size", lambda found: found + 1),
    "stored sizes of the catalogue that are swapped": _swapped("stored_size"),
    "flags of the catalogue": _row("flags", lambda _: 2),
    "other metadata in the catalogue": _row("metadata", lambda _: '{"k":2}'),
    "no metadata in the catalogue": _row("metadata", lambda _: None),
    "metadata that are no object": _row("metadata", lambda _: "[1]"),
    "metadata that are not JSON": _row("metadata", lambda _: "{"),
    "a hash of a page": _entry(0, lambda found: found ^ 1),
    "a location of a page": _entry(1, lambda found: found + 1),
    "flags of a page": _entry(1, lambda found: found | 2 << 48),
    "a length of a page": _entry(2, lambda found: found - 1),
    "a checksum of a page": _entry(3, lambda found: found ^ 1),
} | {
    f"the footer's {field}": Lies(footer={field: value})
    for field, value in {
        "count": 2,
        "ordinals": 4,
        "blocks": 2,
        "stored_bytes": 12,
        "data_bytes": 12,
        "external_bytes": 10,
        "external_count": 2,
        "seed": 8,
        "archive_id": 1,
        "created": 1,
        "dictionary_offset": 32,
        "catalogue_crc": 0,
        "parquet_crc": 0,
        "page_count": 2,
    }.items()
}


@pytest.mark.parametrize("lie", list(LIES))
def test_parts_that_do_not_agree_are_found_though_their_checksums_are_right(lie: str) -> None:
    assert lied(LIES[lie])


def test_a_member_that_the_catalogue_does_not_have_is_found(tmp_path: object) -> None:
    whole, less = write({"a": b"1", "b": b"2"}), append(write({"a": b"1", "b": b"2"}), deleted=["b"])
    tombstone = blocks_of(less)[-1]
    # The footer counts the blocks: without the tombstone it still says 2.
    assert problems(less[: tombstone.offset] + less[tombstone.end :])
    assert problems(whole) == []


def test_problems_say_where_they_are() -> None:
    data = bytearray(write({"a": b"first", "b": b"second"}, compression_level=None))
    at = data.index(b"second")
    data[at] ^= 1
    found = verify(MemorySource(bytes(data)))
    assert found.files == 1
    assert len(found.problems) == 1
    assert "byte 32: the bytes of 'b' have changed" in found.problems[0]


def test_many_problems_are_cut_off() -> None:
    data = bytearray(write({f"{number}": b"x" for number in range(3_000)}, compression_level=None))
    block = blocks_of(data)[0]
    data[block.payload_offset : block.end] = b"y" * block.payload
    found = verify(MemorySource(bytes(data)))
    assert len(found.problems) == 1_000
    assert found.files == 0


def test_progress_comes_to_the_end_and_never_goes_back() -> None:
    data = write({f"{number}": noise(number, 1_000_000) for number in range(10)})
    seen: list[tuple[int, int]] = []
    verify(MemorySource(data), progress=lambda done, of: seen.append((done, of)))
    assert len(seen) > 2
    assert {of for _, of in seen} == {len(data)}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == len(data)


@pytest.mark.parametrize("data", [b"", b"x", b"PAR1", os.urandom(1_000), bytes(1_000)])
def test_what_is_no_archive_has_a_problem(data: bytes) -> None:
    found = verify(MemorySource(data))
    assert not found.ok
    assert found.files == 0


def test_an_archive_of_version_1_is_checked_as_far_as_it_can_be() -> None:
    found = verify(MemorySource(GOLDEN))
    assert (found.version, found.files, found.problems) == (1, 1, [])
    broken = GOLDEN.replace(b'{"k":1', b'["k":1')
    assert "not JSON" in problems(broken)[0]
    assert problems(GOLDEN[:-1])


def _with_columns(columns: bytes, unpacked: int) -> bytes:
    """An archive of one block whose columns are this frame, with right checksums."""
    data = bytearray(write({f"{number:04}": b"x" for number in range(500)}, compression_level=None))
    block = blocks_of(bytes(data))[0]
    head = data[32:80]
    head[12:16], head[40:44] = len(columns).to_bytes(4, "little"), unpacked.to_bytes(4, "little")
    head[44:] = crc32c(columns, crc32c(head[:44])).to_bytes(4, "little")
    return bytes(data[:32] + head + columns + data[block.payload_offset :])


@pytest.mark.parametrize("run", [verify, lambda source: recover(source, MemorySink())], ids=["verify", "recover"])
def test_columns_that_only_claim_to_be_large_cost_no_memory(run: Callable[[Any], Any]) -> None:
    size = 200 * 1024 * 1024
    frame = zstandard.ZstdCompressor().compress(b"columns" * 50)
    claiming = b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little") + frame[7:]
    data = _with_columns(claiming, size)
    run(MemorySource(data))
    tracemalloc.start()
    found = run(MemorySource(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.problems
    assert peak < 10_000_000
