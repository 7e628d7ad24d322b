"""Lies in every part of an archive of version 2, each with the right checksum, and every bit of a small one flipped."""

from __future__ import annotations

import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.archive.errors import CorruptArchive, UnsupportedVersion
from des_platform.archive.reader import DesReader
from des_platform.archive.source import MemorySource
from des_platform_tests.archive.counting import CountingSource
from des_platform_tests.archive.literal_v2 import FOOTER_FIELDS, HINT_FIELDS, Archive, Item, Lies, write_v2

if TYPE_CHECKING:
    from collections.abc import Callable

FILES: dict[str, bytes | Item] = {
    "a": b"alpha",
    "b": Item(b"beta", metadata='{"k":1}'),
    "c": b"gamma" * 30,
}
LARGE: dict[str, bytes | Item] = {f"d/{number}": b"%d" % number for number in range(2000)}
MIB = 1024 * 1024
NUMBERS = {"I": [0, 1, 5, 2**31, 2**32 - 1], "Q": [0, 1, 5, 0xFFFF, 2**48, 2**63, 2**64 - 1]}


def read_everything(data: bytes, hint: bytes | None = None) -> dict[str, object]:
    """Whatever a reader can be asked; every answer must be right or a refusal."""
    source = CountingSource(data)
    reader = DesReader(source, hint=hint)
    found: dict[str, object] = {}
    for name in ("a", "b", "c"):
        found[name] = reader.get_file(name)
        found[f"meta {name}"] = reader.get_meta(name)
    found["batch"] = reader.get_files_batch(["c", "a"])
    found["list"] = list(reader.iter_entries())
    found["count"] = len(reader)
    return found


@pytest.fixture(scope="module")
def small() -> Archive:
    return write_v2(FILES)


def test_every_flipped_bit_of_a_small_archive_is_refused_or_changes_nothing(small: Archive) -> None:
    right = read_everything(small.data)
    unnoticed = []
    for bit in range(len(small.data) * 8):
        changed = bytearray(small.data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found = read_everything(bytes(changed))
        except (CorruptArchive, UnsupportedVersion):
            continue
        if found != right:
            unnoticed.append(bit)
    assert unnoticed == []


def test_an_archive_cut_anywhere_is_refused(small: Archive) -> None:
    for end in range(len(small.data)):
        with pytest.raises((CorruptArchive, UnsupportedVersion)):
            DesReader(MemorySource(small.data[:end]))


def test_bytes_before_the_archive_are_noticed(small: Archive) -> None:
    with pytest.raises(CorruptArchive, match="the trailer is of an archive of"):
        DesReader(MemorySource(b"x" + small.data))


@pytest.mark.parametrize(
    ("field", "lie"), [(field, lie) for field, code in FOOTER_FIELDS.items() for lie in NUMBERS[code]]
)
def test_a_lie_in_the_footer_is_refused_or_harmless(field: str, lie: int) -> None:
    for files in (FILES, {**LARGE, **FILES}):
        data = write_v2(files, lies=Lies(footer={field: lie})).data
        tracemalloc.start()
        try:
            found = read_everything(data)
        except CorruptArchive:
            pass
        except KeyError:
            assert field == "seed", "only with another hash may a name be another's"
        else:
            assert (found["a"], found["b"], found["c"]) == (b"alpha", b"beta", b"gamma" * 30)
            assert found["count"] == len(files)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 20 * MIB


@pytest.mark.parametrize(
    ("field", "lie"), [(field, lie) for field in HINT_FIELDS for lie in NUMBERS[FOOTER_FIELDS.get(field, "Q")]]
)
def test_a_lie_in_the_hint_gives_the_right_files(small: Archive, field: str, lie: int) -> None:
    reader = DesReader(CountingSource(small.data), hint=small.hint(**{field: lie}))
    if field in {"seed", "dictionary_offset", "dictionary_length", "archive_size", "count"}:
        # What a page does not contradict is believed until the end is read.
        list(reader.iter_entries())
    assert reader.get_file("c") == b"gamma" * 30
    assert reader.get_files_batch(["b", "a"]) == {"b": b"beta", "a": b"alpha"}


def _trailer(at: int, value: object) -> Callable[[list[Any]], None]:
    def lie(fields: list[Any]) -> None:
        fields[at] = value

    return lie


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (0, b"DESFOOT2", CorruptArchive),
        (1, 0, UnsupportedVersion),
        (1, 1, (CorruptArchive, UnsupportedVersion)),
        (1, 3, UnsupportedVersion),
        (3, 0, CorruptArchive),
        (3, 2**63, CorruptArchive),
        (4, 0, CorruptArchive),
        (4, 224, CorruptArchive),
        (5, 7, CorruptArchive),
    ],
)
def test_a_lie_in_the_trailer_is_refused(at: int, value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        DesReader(MemorySource(write_v2(FILES, lies=Lies(trailer=_trailer(at, value))).data))


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"DHPx"), (1, 1), (1, 2**32 - 1), (2, 0), (2, 2), (2, 4), (2, 682), (2, 2**32 - 1), (3, 0), (3, 2**64 - 1)],
)
@pytest.mark.parametrize("files", [FILES, {**LARGE, **FILES}], ids=["one page", "several"])
def test_a_page_whose_header_lies_is_refused(files: dict[str, bytes | Item], at: int, value: object) -> None:
    def lie(fields: list[Any]) -> None:
        fields[at] = value

    archive = write_v2(files, lies=Lies(page=lie))
    for hint in (None, archive.hint()):
        source = CountingSource(archive.data)
        reader = DesReader(source, hint=hint)
        for _ in range(2):
            with pytest.raises(CorruptArchive, match="page|Page"):
                [reader.get_file(name) for name in files]
        with pytest.raises(CorruptArchive, match="page|Page"):
            reader.get_files_batch(files)


def test_the_count_of_a_page_that_has_its_checksum_over_it_is_refused_without_reading_beyond_the_page() -> None:
    archive = write_v2({**LARGE, **FILES})
    data = bytearray(archive.data)
    for number in range(archive.footer["page_count"]):
        struct.pack_into("<I", data, archive.footer["pages_offset"] + number * 16_384 + 8, 682)
    with pytest.raises(CorruptArchive, match="says that it has 682 entries"):
        DesReader(MemorySource(bytes(data))).get_file("a")


def test_the_padding_of_a_page_is_zeros() -> None:
    archive = write_v2({**LARGE, **FILES}, lies=Lies(padding=b"hidden"))
    with pytest.raises(CorruptArchive, match="other than zeros"):
        DesReader(MemorySource(archive.data)).get_file("a")


def _entry(column: int, value: int) -> Callable[[list[list[int]]], None]:
    def lie(entries: list[list[int]]) -> None:
        for entry in entries:
            entry[column] = value

    return lie


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (1, 0),
        (1, 31),
        (1, 2**47),
        (1, 2**48 - 1),
        (1, 2**64 - 1),
        (2, 0),
        (2, 10_000),
        (2, 2**32 - 1),
        (3, 0),
    ],
)
def test_a_place_that_lies_is_refused_without_a_read_outside_the_blocks(column: int, value: int) -> None:
    files = {**FILES, "room": bytes(200_000)}
    archive = write_v2(files, lies=Lies(entries=_entry(column, value)))
    for hint in (None, archive.hint()):
        source = CountingSource(archive.data)
        reader = DesReader(source, hint=hint)
        for name in files:
            with pytest.raises(CorruptArchive):
                reader.get_file(name)
        with pytest.raises(CorruptArchive):
            reader.get_files_batch(files)
        assert all(offset + length <= len(archive.data) for offset, length in source.reads)


def test_hashes_out_of_order_are_refused_and_not_taken_for_absent_names() -> None:
    archive = write_v2(FILES, lies=Lies(entries=lambda entries: entries.reverse()))
    with pytest.raises(CorruptArchive, match="not in order"):
        DesReader(MemorySource(archive.data)).get_file("a")


def test_hashes_that_belong_into_another_page_are_refused() -> None:
    def move(entries: list[list[int]]) -> None:
        for entry in entries:
            entry[0] ^= 1 << 63
        entries.sort()

    archive = write_v2({**LARGE, **FILES}, lies=Lies(entries=move))
    with pytest.raises(CorruptArchive, match="another page"):
        DesReader(MemorySource(archive.data)).get_file("a")


def test_files_that_lie_over_one_another_do_not_multiply_what_a_batch_reads() -> None:
    files = {f"{number}": b"" for number in range(600)} | {"z": bytes(5 * MIB)}
    offset = write_v2(files).data.index(bytes(5 * MIB))

    def all_the_same(entries: list[list[int]]) -> None:
        whole = next(entry for entry in entries if entry[2])
        for entry in entries:
            entry[1:] = whole[1:]

    archive = write_v2(files, lies=Lies(entries=all_the_same))
    assert archive.data.index(bytes(5 * MIB)) == offset
    reader = DesReader(MemorySource(archive.data))
    tracemalloc.start()
    try:
        with pytest.raises(CorruptArchive, match="lie over one another"):
            reader.get_files_batch(files)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


def test_an_archive_of_another_header_is_refused() -> None:
    other = write_v2(FILES, archive_id=9).data
    data = other[:32] + write_v2(FILES).data[32:]
    with pytest.raises(CorruptArchive, match="header and footer are of different archives"):
        DesReader(MemorySource(data))
