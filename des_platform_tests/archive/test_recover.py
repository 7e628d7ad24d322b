from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from des_platform.archive import CorruptArchive, DesReader, DesWriter, FileSink, MemorySource
from des_platform.archive.recovery import Recovery, recover
from des_platform.archive.v2 import builder
from des_platform.archive.v2.adoption import adopt
from des_platform.archive.verification import verify
from des_platform_tests.archive.conftest import EMPTY, GOLDEN, names_in
from des_platform_tests.archive.corpus import (
    ARCHIVE_ID,
    CREATED_MS,
    MemorySink,
    append,
    blocks_of,
    catalogue_offset,
    contents,
    documents,
    everything,
    noise,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


def generations() -> list[bytes]:
    """Three archives, each gone on from the one before; the last has about 3 KB with all that members can be."""
    sink = MemorySink()
    with DesWriter(sink, archive_id=ARCHIVE_ID, created_ms=CREATED_MS, columns={"n": "long"}) as archive:
        archive.add_file("text", b"abcdefgh" * 40, {"n": 1})
        archive.add_file("noise", noise(1, 200))
        archive.add_file("empty", b"", {"k": None})
        archive.add_external("far", 12_345, {"n": 2}, external_key="elsewhere/far")
    second = append(sink.data, {"new": noise(2, 60)}, deleted=["noise"])
    return [sink.data, second, append(second, {"noise": b"another noise", "last": b"last"}, deleted=["text"])]


def recovered(data: bytes) -> tuple[Recovery, bytes]:
    sink = MemorySink()
    found = recover(MemorySource(data), sink)
    assert sink.committed
    assert not verify(MemorySource(sink.data)).problems
    assert len(DesReader(MemorySource(sink.data))) == found.recovered
    return found, sink.data


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0x20
    return bytes(changed)


def whole_members(data: bytes, cut: int) -> dict[str, int]:
    """Name and offset of each live member that is whole in the first ``cut`` bytes, as FORMAT.md lays blocks out."""
    live: dict[str, int] = {}
    for block in blocks_of(data):
        if block.payload_offset > cut:
            break
        plain = data[block.offset + 48 : block.payload_offset]
        if block.flags & 1:
            plain = zstandard.decompress(plain)
        n = block.count
        if block.kind == 4:
            for name in _names(plain, 0, 2 * n, n):
                del live[name]
        elif block.kind == 1:
            lengths_at = (12 if block.flags & 2 else 8) * n
            names_at = lengths_at + (3 if block.flags & 2 else 2) * n + (4 if block.flags & 4 else 0) * n
            offset = block.payload_offset
            for index, name in enumerate(_names(plain, lengths_at, names_at, n)):
                length = int.from_bytes(plain[4 * index : 4 * index + 4], "little")
                if offset + length <= cut:
                    live[name] = offset
                offset += length
    return live


def _names(plain: bytes, lengths_at: int, names_at: int, count: int) -> list[str]:
    names = []
    for index in range(count):
        length = int.from_bytes(plain[lengths_at + 2 * index :][:2], "little")
        names.append(plain[names_at : names_at + length].decode())
        names_at += length
    return names


def come_back(cuts: range) -> None:
    """Every member that is whole comes back of the archive that is cut there."""
    archives = generations()
    original = {
        (entry.name, entry.offset): everything(archive)[entry.name]
        for archive in archives
        for entry in DesReader(MemorySource(archive)).iter_entries()
    }
    for cut in cuts:
        found, data = recovered(archives[-1][:cut])
        expected = {name: original[name, at] for name, at in whole_members(archives[-1], cut).items()}
        assert everything(data) == expected, cut
        assert found.recovered == len(expected)


@pytest.mark.parametrize("part", range(4))
def test_every_member_that_is_whole_comes_back_wherever_the_blocks_were_cut(part: int) -> None:
    come_back(range(32 + part, catalogue_offset(generations()[-1]), 4))


def test_every_member_comes_back_wherever_the_end_was_cut() -> None:
    data = generations()[-1]
    expected = recovered(data[: catalogue_offset(data)])[1]
    assert everything(expected) == everything(data)
    for cut in range(catalogue_offset(data), len(data)):
        sink = MemorySink()
        recover(MemorySource(data[:cut]), sink)
        assert sink.data == expected, cut


def test_every_member_but_the_damaged_one_comes_back_wherever_a_byte_has_changed() -> None:
    items = {f"m{number}": noise(number, 20 + number) for number in range(6)} | {"text": b"abcdefgh" * 40}
    data = append(write(items), {"later": b"later"})
    all_items = items | {"later": b"later"}
    first = blocks_of(data)[0]
    assert everything(data).keys() == all_items.keys()
    for at in range(catalogue_offset(data)):
        found, result = recovered(flipped(data, at))
        back = contents(result)
        assert back.items() <= all_items.items()
        missing = set(all_items) - set(back)
        if at < 32:
            assert missing == set()
        elif at < first.payload_offset:
            assert missing == set(items)
        else:
            assert len(missing) <= 1
        assert bool(found.problems)
        assert set(found.lost) <= missing


def test_what_is_cut_where_blocks_end_has_no_problems() -> None:
    data = generations()[-1]
    found, _ = recovered(data[: catalogue_offset(data)])
    assert found.problems == found.lost == []
    assert found.recovered == 5


def test_an_archive_that_is_whole_comes_back_with_all_that_it_says_of_itself() -> None:
    for data in (*generations(), write(documents(2_000)), write({})):
        found, result = recovered(data)
        assert found.problems == found.lost == []
        assert everything(result) == everything(data)
        assert result[: catalogue_offset(data)] == data[: catalogue_offset(data)]
        before, after = adopt(MemorySource(data)), adopt(MemorySource(result))
        assert (after.archive_id, after.created_ms, after.columns) == (
            before.archive_id,
            before.created_ms,
            before.columns,
        )


def test_recovering_again_changes_nothing() -> None:
    _, once = recovered(flipped(generations()[-1], 400))
    found, twice = recovered(once)
    assert twice == once
    assert found.problems == []


def test_damage_in_the_middle_costs_what_it_hit_and_is_told() -> None:
    items = {f"{number}": noise(number, 300) for number in range(10)}
    data = append(write(items), {"later": b"later"})
    at = data.index(items["4"])
    found, result = recovered(flipped(data, at + 100))
    assert contents(result) == {name: item for name, item in items.items() if name != "4"} | {"later": b"later"}
    assert found.lost == ["4"]
    assert len(found.problems) == 1
    assert f"byte {at}: '4' is not whole" in found.problems[0]


def test_several_damages_and_missing_bytes_are_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "BLOCK_BYTES", 1_000)
    items = {f"{number:03}": noise(number, 300) for number in range(100)}
    data = write(items)
    blocks = blocks_of(data)
    broken = (
        data[: blocks[2].offset + 20]
        + data[blocks[4].offset + 30 : blocks[9].offset]
        + b"noise" * 99
        + data[blocks[9].offset :]
    )
    found, result = recovered(flipped(broken, len(broken) - 300))
    lost = [f"{number:03}" for number in range(100) if f"{number:03}" not in contents(result)]
    assert contents(result).items() <= items.items()
    assert lost == [
        f"{number:03}"
        for block in blocks[2:5]
        for number in range(block.first_ordinal, block.first_ordinal + block.count)
    ]
    assert found.problems


@pytest.mark.parametrize("at", [0, 5, 8, 12, 20, 28])
@pytest.mark.parametrize("cut", [0, 40])
def test_a_header_that_has_changed_is_written_anew(at: int, cut: int) -> None:
    data = generations()[-1]
    found, result = recovered(flipped(data, at)[: len(data) - cut])
    assert everything(result) == everything(data)
    assert adopt(MemorySource(result)).archive_id == ARCHIVE_ID
    assert adopt(MemorySource(result)).columns == {"n": "long"}
    assert len(found.problems) == 1
    assert "header" in found.problems[0]


def test_a_schema_that_is_lost_costs_its_columns_alone() -> None:
    data = generations()[0]
    schema = blocks_of(data)[0]
    for at in (schema.offset + 1, schema.payload_offset + 3):
        _, result = recovered(flipped(data, at))
        assert everything(result) == everything(data)
        assert adopt(MemorySource(result)).columns == {}


def test_without_its_tombstone_a_deleted_file_is_there_again() -> None:
    data = append(write({"a": b"1", "b": b"2"}), {"c": b"3"}, deleted=["a"])
    tombstone = next(block for block in blocks_of(data) if block.kind == 4)
    found, result = recovered(flipped(data, tombstone.offset + 49))
    assert contents(result) == {"a": b"1", "b": b"2", "c": b"3"}
    assert found.problems


def test_without_its_tombstone_a_file_that_came_again_has_its_newer_bytes() -> None:
    data = append(write({"a": b"old", "b": b"2"}), {"a": b"new"}, deleted=["a"])
    tombstone = next(block for block in blocks_of(data) if block.kind == 4)
    _, result = recovered(flipped(data, tombstone.offset + 49))
    assert contents(result) == {"a": b"new", "b": b"2"}


def test_a_tombstone_behind_the_damage_deletes_what_stands_before_it() -> None:
    first = append(write({"a": b"1", "b": b"2"}), {"damaged": b"damaged"})
    data = append(append(first, deleted=["a", "damaged"]), {"b2": b"3"}, deleted=["b"])
    at = data.index(b"damaged", blocks_of(data)[1].payload_offset)
    found, result = recovered(flipped(data, at))
    assert contents(result) == {"b2": b"3"}
    assert found.lost == []


def test_a_dictionary_behind_the_damage_is_taken_along() -> None:
    data = append(write({"x": noise(1, 300)}), documents(2_000))
    found, result = recovered(flipped(data, blocks_of(data)[0].payload_offset + 5))
    assert contents(result) == documents(2_000)
    assert found.lost == ["x"]


def test_without_the_dictionary_those_who_need_it_are_lost_and_no_others() -> None:
    data = append(append(write({"x": noise(1, 300)}), documents(2_000)), {"y": noise(2, 300)})
    dictionary = next(block for block in blocks_of(data) if block.kind == 2)
    found, result = recovered(flipped(data, dictionary.payload_offset + 500))
    assert contents(result) == {"x": noise(1, 300), "y": noise(2, 300)}
    assert found.lost == list(documents(2_000))


@pytest.mark.parametrize("inner_id", [5, ARCHIVE_ID])
def test_an_archive_within_an_archive_is_a_member_and_no_more(inner_id: int) -> None:
    inner = write({"inside": b"1", "b": b"2"}, archive_id=inner_id)
    items = {"a": b"first", "inner.des": inner, "z": b"last"}
    data = write(items, compression_level=None)
    assert contents(recovered(data)[1]) == items
    for cut in range(data.index(inner), data.index(inner) + len(inner), 50):
        assert contents(recovered(data[:cut])[1]) == {"a": b"first"}


def test_blocks_of_a_member_are_not_taken_for_the_archives_own_where_its_block_is_broken() -> None:
    inner = write({"inside": b"1", "b": b"2"}, archive_id=5)
    data = append(write({"a": b"first", "inner.des": inner}, compression_level=None), {"z": b"last"})
    found, result = recovered(flipped(data, 40))
    assert contents(result) == {"z": b"last"}
    assert found.problems
    found, result = recovered(flipped(flipped(data, 40), 20))
    assert contents(result) == {"z": b"last"}


@pytest.mark.parametrize("inner", [GOLDEN, EMPTY, write({"x": b"1"}, archive_id=5)])
def test_an_archive_that_is_cut_behind_a_member_that_is_an_archive_comes_back(inner: bytes) -> None:
    data = write({"a": b"first", "inner.des": inner}, compression_level=None)
    cut = data.index(inner) + len(inner)
    assert contents(recovered(data[:cut])[1]) == {"a": b"first", "inner.des": inner}


@pytest.mark.parametrize(
    "data", [b"", b"x", b"PAR1", bytes(1_000), noise(1, 5_000), GOLDEN, b"PAR1DES2", write({"a": b"1"})[:31]]
)
def test_what_has_not_been_an_archive_of_version_2_is_refused_and_leaves_nothing(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorruptArchive, match="nothing to recover"):
        recover(MemorySource(data), FileSink(tmp_path / "a.des"))
    assert names_in(tmp_path) == []


def test_a_full_disk_leaves_nothing() -> None:
    data = flipped(generations()[-1], 300)
    whole = MemorySink()
    recover(MemorySource(data), whole)
    for fail_at in range(1, whole.calls + 1):
        sink = MemorySink(fail_at=fail_at)
        with pytest.raises(OSError, match="No space left"):
            recover(MemorySource(data), sink)
        assert sink.aborted
        assert not sink.committed


def test_large_members_come_back_and_progress_comes_to_the_end() -> None:
    items: dict[str, Any] = {f"{number}": noise(number, 3_000_000) for number in range(5)} | {
        "large": noise(9, 17_000_000)
    }
    data = write(items, compression_level=None)
    seen: list[int] = []
    sink = MemorySink()
    found = recover(MemorySource(data[:-5_000_000]), sink, progress=lambda done, _: seen.append(done))
    assert found.lost == ["large"]
    assert contents(sink.data) == {name: item for name, item in items.items() if name != "large"}
    assert seen == sorted(seen)
