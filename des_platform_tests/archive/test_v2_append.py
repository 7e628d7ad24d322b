from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.archive import CorruptArchive, DesReader, DesWriter, MemorySource
from des_platform.archive.v2 import block_writer, builder, runs, tail_writer
from des_platform.archive.v2.adoption import adopt
from des_platform.archive.v2.builder import V2Builder
from des_platform_tests.archive.conftest import names_in
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
    is_whole,
    noise,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

BASE = {"a": (b"first", {"k": 1}), "b": b"second" * 50, "c": noise(1, 500)}


@pytest.fixture(scope="module")
def base() -> bytes:
    return write(BASE)


def test_what_was_there_and_what_is_new_are_read(base: bytes) -> None:
    before = bytes(base)
    data = append(base, {"d": (b"new", {"k": 2}), "e": b""})
    assert everything(data) == everything(base) | {"d": (b"new", {"k": 2, "size": 3}), "e": (b"", {"size": 0})}
    assert is_whole(data)
    assert base == before


def test_the_blocks_of_the_base_are_taken_over_as_they_stand(base: bytes) -> None:
    data = append(base, {"d": b"new"})
    end = catalogue_offset(base)
    assert data[:end] == base[:end]
    assert blocks_of(data)[: len(blocks_of(base))] == blocks_of(base)


def test_identity_and_time_of_creation_stay_and_the_generation_grows(base: bytes) -> None:
    once = append(base, {"d": b"1"})
    twice = append(once, {"e": b"2"}, created_ms=CREATED_MS + 7)
    found = [adopt(MemorySource(data)) for data in (base, once, twice)]
    assert [archive.generation - 1 for archive in found] == [1, 2, 3]
    assert {archive.archive_id for archive in found} == {ARCHIVE_ID}
    assert {archive.created_ms for archive in found} == {CREATED_MS}
    assert int.from_bytes(twice[-144:-136], "little") == CREATED_MS + 7


def test_the_same_calls_give_the_same_bytes(base: bytes) -> None:
    assert append(base, documents(100), deleted=["a"]) == append(base, documents(100), deleted=["a"])


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_byte(base: bytes, threads: int) -> None:
    assert append(base, documents(100), deleted=["a"], threads=threads) == append(base, documents(100), deleted=["a"])


def test_nothing_new_is_a_generation_of_its_own(base: bytes) -> None:
    data = append(base)
    assert everything(data) == everything(base)
    assert is_whole(data)


def test_an_archive_of_nothing_can_be_gone_on_from() -> None:
    data = append(write({}), {"a": b"1"})
    assert contents(data) == {"a": b"1"}
    assert is_whole(data)


def test_what_is_deleted_is_gone_and_its_name_is_free_again(base: bytes) -> None:
    without = append(base, {"x": b"x"}, deleted=["a", "c"])
    assert contents(without) == {"b": b"second" * 50, "x": b"x"}
    assert is_whole(without)
    replaced = append(base, {"a": b"other"}, deleted=["a"])
    assert contents(replaced) == contents(base) | {"a": b"other"}
    assert is_whole(replaced)
    later = append(without, {"c": b"again"})
    assert contents(later) == contents(without) | {"c": b"again"}
    assert is_whole(later)


def test_everything_can_be_deleted(base: bytes) -> None:
    data = append(base, deleted=["a", "b", "c"])
    assert len(DesReader(MemorySource(data))) == 0
    assert is_whole(data)


def test_an_empty_file_at_the_very_end_of_the_blocks_can_be_deleted() -> None:
    data = append(write({"a": b"", "b": b""}), {"b": b"new"}, deleted=["a", "b"])
    assert contents(data) == {"b": b"new"}
    assert is_whole(data)


def test_what_is_deleted_is_not_counted() -> None:
    sink = MemorySink()
    with DesWriter(sink, compression_level=None) as archive:
        archive.add_file("a", b"12345")
        archive.add_file("b", b"123")
        archive.add_external("x", 1_000, external_key="k")
    stats = DesReader(MemorySource(append(sink.data, deleted=["a", "x"]))).get_stats()
    assert (stats.file_count, stats.external_count, stats.data_bytes, stats.external_bytes) == (1, 0, 3, 0)


def test_only_what_is_there_can_be_deleted_and_only_once(base: bytes) -> None:
    archive = V2Builder(MemorySink(), base=MemorySource(base))
    archive.add("new", b"", None)
    archive.delete("a")
    for name in ("unknown", "new", "a", "\ud800"):
        with pytest.raises(KeyError, match="File not found"):
            archive.delete(name)
    with pytest.raises(KeyError, match="File not found"):
        V2Builder(MemorySink()).delete("a")


def test_a_name_of_the_base_is_refused_unless_it_was_deleted(base: bytes) -> None:
    archive = V2Builder(MemorySink(), base=MemorySource(base))
    with pytest.raises(ValueError, match="'a' is already in the archive"):
        archive.add("a", b"", None)
    archive.delete("a")
    archive.add("a", b"new", None)
    with pytest.raises(ValueError, match="'a' is already in the archive"):
        archive.add("a", b"newer", None)
    with pytest.raises(ValueError, match="'b' is already in the archive"):
        archive.add_many([("fresh", b""), ("b", b"")])


def test_many_are_deleted_and_added_again_beyond_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUN_BYTES", 20_000)
    monkeypatch.setattr(block_writer, "_ROWS_AT_ONCE", 100)
    monkeypatch.setattr(builder, "BLOCK_BYTES", 5_000)
    monkeypatch.setattr(builder, "_TOMBSTONES", 70)
    old = {f"{number:04}": b"old %d" % number for number in range(1_500)}
    gone = list(old)[::2]
    new = {name: b"new " + name.encode() for name in gone[::2]} | {f"more {number}": b"" for number in range(500)}
    data = append(write(old), new, deleted=gone)
    assert contents(data) == {name: item for name, item in old.items() if name not in gone} | new
    assert is_whole(data)


def test_the_dictionary_goes_on_to_be_used() -> None:
    first = write(documents(2_000))
    data = append(first, documents(50, start=2_000))
    assert [block.kind for block in blocks_of(data)].count(2) == 1
    assert {entry.flags for entry in DesReader(MemorySource(data)).iter_entries()} == {2 | 16}
    assert contents(data) == documents(2_050)
    assert is_whole(data)


def test_an_archive_without_a_dictionary_gets_one_where_it_pays(base: bytes) -> None:
    data = append(base, documents(2_000))
    assert [block.kind for block in blocks_of(data)] == [1, 2, 1]
    assert contents(data) == contents(base) | documents(2_000)
    assert is_whole(data)


def test_an_archive_is_gone_on_from_again_and_again(base: bytes) -> None:
    data, expected = base, contents(base)
    for number in range(5):
        data = append(
            data,
            {f"generation {number}": noise(number, 50), "changing": b"%d" % number},
            deleted=["changing"] * (number > 0),
        )
        expected |= {f"generation {number}": noise(number, 50), "changing": b"%d" % number}
    assert contents(data) == expected
    assert is_whole(data)


def test_user_columns_stay_and_those_of_new_files_are_filled() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"n": "long", "s": "string"}
    data = append(write({"a": (b"", {"n": 1, "s": "x"})}, columns=columns), {"b": (b"", {"n": 2}), "c": b""})
    rows = pq.read_table(pa.BufferReader(data), columns=list(columns)).to_pylist()
    assert rows == [{"n": 1, "s": "x"}, {"n": 2, "s": None}, {"n": None, "s": None}]
    with pytest.raises(ValueError, match="no long"):
        append(data, {"d": (b"", {"n": "1"})})
    assert is_whole(data)


@pytest.mark.parametrize("options", [{"columns": {"n": "long"}}, {"archive_id": 7}])
def test_what_the_base_decides_cannot_be_chosen(base: bytes, options: dict[str, Any]) -> None:
    sink = MemorySink()
    with pytest.raises(ValueError, match="goes on from another"):
        DesWriter(sink, base=MemorySource(base), **options)
    assert sink.aborted


def test_external_files_stay_external(base: bytes) -> None:
    sink = MemorySink()
    with DesWriter(sink, base=MemorySource(base)) as archive:
        archive.add_external("far", 77, {"k": 1}, external_key="elsewhere")
    data = append(sink.data, {"z": b""})
    meta = {"k": 1, "size": 77, "is_external": True, "external_key": "elsewhere"}
    assert everything(data)["far"] == ("elsewhere", meta)
    assert DesReader(MemorySource(data)).get_stats().external_bytes == 77
    assert is_whole(data)


@pytest.mark.parametrize("at", [3, 20, 31])
def test_a_base_whose_header_has_changed_is_refused(base: bytes, at: int) -> None:
    changed = bytearray(base)
    changed[at] ^= 1
    with pytest.raises(ValueError, match="header"):
        append(bytes(changed), {"d": b""})


@pytest.mark.parametrize("threads", [0, 1])
def test_a_base_whose_catalogue_is_broken_leaves_neither_file_nor_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int
) -> None:
    monkeypatch.setattr(tail_writer, "ROW_GROUP_ROWS", 2_000)
    monkeypatch.setattr(runs, "RUN_BYTES", 10_000)
    base = bytearray(write({f"{number:05}": noise(number, 8) for number in range(10_000)}))
    pages = int.from_bytes(base[-200:-192], "little")
    base[pages - 100] ^= 1
    with pytest.raises(CorruptArchive):
        DesWriter(tmp_path / "a.des", base=MemorySource(bytes(base)), threads=threads, spill_folder=tmp_path)
    assert names_in(tmp_path) == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("des-archive")] == []
