from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import pytest

from des_platform.archive import DesReader
from des_platform.archive.v1 import builder
from des_platform_tests.archive.conftest import EMPTY, GOLDEN, V1Writer, names_in

if TYPE_CHECKING:
    from pathlib import Path


def test_the_published_example_is_written_byte_for_byte(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_file("a.txt", b"hello", {"k": 1})
    assert target.read_bytes() == GOLDEN


def test_an_empty_archive_is_88_bytes(target: Path) -> None:
    V1Writer(target).close()
    assert target.read_bytes() == EMPTY
    assert len(EMPTY) == 88


def test_an_archive_of_several_files_is_laid_out_region_by_region(target: Path) -> None:
    with V1Writer(target, external_prefix="2025-01-15/shard_00") as archive:
        archive.add_file("é", b"abc")
        archive.add_external("big", 7_000, {"k": "č"})
        archive.add_file("empty", b"")
        assert archive.file_count == 3
    metas = [
        b'{"size":3}',
        rb'{"k":"\u010d","size":7000,"is_external":true,"external_key":"2025-01-15/shard_00/_bigFiles/big"}',
        b'{"size":0}',
    ]
    raw = target.read_bytes()
    assert raw[16 : 19 + sum(map(len, metas))] == b"abc" + b"".join(metas)
    with DesReader(target) as reader:
        entries = list(reader.iter_entries())
    assert [tuple(entry) for entry in entries] == [
        ("é", 16, 3, 3, 0),
        ("big", 0, 0, 7_000, 1),
        ("empty", 19, 0, 0, 0),
    ]
    starts = [19, 19 + len(metas[0]), 19 + len(metas[0]) + len(metas[1])]
    index = b"".join(
        len(name).to_bytes(2, "little") + name + struct.pack("<QQQQI", offset, size, start, len(meta), flags)
        for name, offset, size, start, meta, flags in zip(
            ("é".encode(), b"big", b"empty"), (16, 0, 19), (3, 7_000, 0), starts, metas, (0, 1, 0), strict=True
        )
    )
    assert raw[19 + sum(map(len, metas)) : -72] == index


@pytest.mark.parametrize(
    ("prefix", "key"), [("", "_bigFiles/b"), ("p/q/", "p/q/_bigFiles/b"), ("/p", "/p/_bigFiles/b")]
)
def test_external_keys_stand_under_the_prefix(target: Path, prefix: str, key: str) -> None:
    with V1Writer(target, external_prefix=prefix) as archive:
        archive.add_external("b", 1)
    with DesReader(target) as reader:
        assert reader.get_meta("b") == {"size": 1, "is_external": True, "external_key": key}


def test_an_external_key_may_be_given(target: Path) -> None:
    with V1Writer(target, external_prefix="p") as archive:
        archive.add_external("b", 1, external_key="elsewhere/b.zst")
    with DesReader(target) as reader:
        assert reader.get_meta("b")["external_key"] == "elsewhere/b.zst"


def test_size_in_the_metadata_is_the_true_one_and_stays_in_its_place(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_file("a", b"xyz", {"size": 99, "k": 1})
    assert b'{"size":3,"k":1}' in target.read_bytes()


def test_metadata_of_the_caller_is_not_changed(target: Path) -> None:
    meta: dict[str, object] = {"size": 99}
    with V1Writer(target) as archive:
        archive.add_file("a", b"xyz", meta)
        archive.add_external("b", 5, meta)
    assert meta == {"size": 99}


def test_the_same_calls_give_the_same_bytes(tmp_path: Path) -> None:
    for number in range(2):
        with V1Writer(tmp_path / str(number), external_prefix="p") as archive:
            for i in range(500):
                archive.add_file(f"f{i}", bytes([i % 256]) * i, {"i": i, "nested": {"b": 1, "a": [i]}})
            archive.add_external("big", 10**9)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def test_metadata_that_spills_to_disk_is_written_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, spool in enumerate((1_000_000, 10)):
        monkeypatch.setattr(builder, "META_SPOOL_BYTES", spool)
        with V1Writer(tmp_path / str(number)) as archive:
            for i in range(50):
                archive.add_file(f"f{i}", b"data", {"i": i})
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    assert names_in(tmp_path) == ["0", "1"]


def test_missing_directories_are_made(tmp_path: Path) -> None:
    V1Writer(tmp_path / "2025-01-15" / "0.des").close()
    assert (tmp_path / "2025-01-15" / "0.des").read_bytes() == EMPTY


class TestPublishing:
    def test_nothing_stands_at_the_path_before_close(self, target: Path) -> None:
        with V1Writer(target) as archive:
            archive.add_file("a", b"1")
            assert not target.exists()
        assert names_in(target.parent) == [target.name]

    def test_an_exception_in_the_with_block_leaves_nothing_behind(self, target: Path) -> None:
        def fail_midway() -> None:
            with V1Writer(target) as archive:
                archive.add_file("a", b"1" * 3_000_000, {"k": 1})
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            fail_midway()
        assert names_in(target.parent) == []

    def test_abort_leaves_nothing_behind_and_close_after_it_does_nothing(self, target: Path) -> None:
        archive = V1Writer(target)
        archive.add_file("a", b"1")
        archive.abort()
        archive.abort()
        archive.close()
        assert names_in(target.parent) == []

    def test_closing_twice_and_aborting_afterwards_keeps_the_archive(self, target: Path) -> None:
        archive = V1Writer(target)
        archive.close()
        archive.close()
        archive.abort()
        assert target.read_bytes() == EMPTY

    @pytest.mark.parametrize("end", ["close", "abort"])
    def test_nothing_can_be_added_afterwards(self, target: Path, end: str) -> None:
        archive = V1Writer(target)
        getattr(archive, end)()
        with pytest.raises(RuntimeError, match=target.name):
            archive.add_file("a", b"1")
        with pytest.raises(RuntimeError, match=target.name):
            archive.add_external("a", 1)

    @pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
    def test_what_stands_at_the_path_is_not_overwritten(self, target: Path, kind: str) -> None:
        if kind == "file":
            target.write_bytes(b"precious")
        elif kind == "directory":
            target.mkdir()
        else:
            target.symlink_to("nowhere")
        with pytest.raises(FileExistsError, match=target.name):
            V1Writer(target)
        assert names_in(target.parent) == [target.name]

    def test_what_comes_to_stand_at_the_path_meanwhile_is_not_overwritten(self, target: Path) -> None:
        archive = V1Writer(target)
        target.write_bytes(b"precious")
        with pytest.raises(FileExistsError):
            archive.close()
        assert target.read_bytes() == b"precious"
        assert names_in(target.parent) == [target.name]
        with pytest.raises(RuntimeError, match="there is no archive"):
            archive.close()

    def test_two_writers_of_one_path_do_not_mix(self, target: Path) -> None:
        first, second = V1Writer(target), V1Writer(target)
        first.add_file("a.txt", b"hello", {"k": 1})
        second.add_file("other", b"1" * 100)
        first.close()
        with pytest.raises(FileExistsError):
            second.close()
        assert target.read_bytes() == GOLDEN

    def test_a_full_disk_fails_the_write_and_the_close_and_leaves_nothing_behind(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class FullDisk:
            def __init__(self, *_: object, **__: object) -> None: ...

            def write(self, _: bytes) -> int:
                raise OSError(28, "No space left on device")

            def close(self) -> None: ...

        monkeypatch.setattr("tempfile.SpooledTemporaryFile", FullDisk)
        archive = V1Writer(target)
        with pytest.raises(OSError, match="No space left"):
            archive.add_file("a", bytes(5_000_000))
        with pytest.raises(RuntimeError, match="failed"):
            archive.add_file("b", b"1")
        with pytest.raises(RuntimeError, match="there is no archive"):
            archive.close()
        assert names_in(target.parent) == []

    def test_a_file_system_without_hard_links_gets_the_archive_by_rename(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
        late = V1Writer(target)
        V1Writer(target).close()
        assert target.read_bytes() == EMPTY
        with pytest.raises(FileExistsError):
            late.close()
        assert names_in(target.parent) == [target.name]

    def test_a_directory_that_has_vanished_is_an_error(self, tmp_path: Path) -> None:
        archive = V1Writer(tmp_path / "gone" / "a.des")
        shutil.rmtree(tmp_path / "gone")
        with pytest.raises(FileNotFoundError):
            archive.close()


class TestRefusals:
    @pytest.mark.parametrize("name", ["", ".", "..", *(f"a{c}b" for c in '/\\:*?"<>|\0\n\r\t\x1f\x7f\x85'), "a\ud800"])
    def test_names_that_are_not_allowed_are_refused_and_the_archive_goes_on(self, target: Path, name: str) -> None:
        with V1Writer(target) as archive:
            with pytest.raises(ValueError, match="name"):
                archive.add_file(name, b"1")
            with pytest.raises(ValueError, match="name"):
                archive.add_external(name, 1)
            archive.add_file("a.txt", b"hello", {"k": 1})
        assert target.read_bytes() == GOLDEN

    def test_names_are_limited_in_bytes_not_in_characters(self, target: Path) -> None:
        with V1Writer(target) as archive:
            archive.add_file("é" * 32_767, b"1")
            with pytest.raises(ValueError, match="65536 bytes long"):
                archive.add_file("é" * 32_768, b"2")
        with DesReader(target) as reader:
            assert reader.list_files() == ["é" * 32_767]
            assert "é" * 32_768 not in reader

    @pytest.mark.parametrize("name", ["...", " ", "a b", "DES_20251126_(BF785FEA0100_81)", "žluťoučký.txt", "a'b&c%"])
    def test_other_names_are_kept_as_they_are(self, target: Path, name: str) -> None:
        with V1Writer(target) as archive:
            archive.add_file(name, b"1")
        with DesReader(target) as reader:
            assert reader.list_files() == [name]
            assert reader.get_file(name) == b"1"

    def test_a_duplicate_name_is_refused_and_the_first_stays(self, target: Path) -> None:
        with V1Writer(target) as archive:
            archive.add_file("a.txt", b"hello", {"k": 1})
            with pytest.raises(ValueError, match="already in the archive"):
                archive.add_file("a.txt", b"other")
            with pytest.raises(ValueError, match="already in the archive"):
                archive.add_external("a.txt", 3)
            assert archive.file_count == 1
        assert target.read_bytes() == GOLDEN

    def test_duplicates_are_found_among_thousands(self, target: Path) -> None:
        with V1Writer(target) as archive:
            for i in range(3_000):
                archive.add_file(f"f{i}", b"")
            for i in range(3_000):
                with pytest.raises(ValueError, match="already"):
                    archive.add_file(f"f{i}", b"")

    @pytest.mark.parametrize("data", ["text", None, 5, [1, 2]])
    def test_data_other_than_bytes_is_refused(self, target: Path, data: object) -> None:
        with V1Writer(target) as archive:
            with pytest.raises(TypeError, match=r"a\.txt"):
                archive.add_file("a.txt", cast("bytes", data))
            archive.add_file("a.txt", b"hello", {"k": 1})
        assert target.read_bytes() == GOLDEN

    @pytest.mark.parametrize(
        "data",
        [bytearray(b"hello"), memoryview(b"hello"), memoryview(b"xhellox")[1:6], memoryview(b"h-e-l-l-o")[::2]],
    )
    def test_any_kind_of_bytes_is_taken(self, target: Path, data: bytearray | memoryview) -> None:
        with V1Writer(target) as archive:
            archive.add_file("a.txt", data, {"k": 1})
        assert target.read_bytes() == GOLDEN

    def test_a_view_of_wide_items_counts_in_bytes(self, target: Path) -> None:
        numbers = memoryview(bytes(range(16))).cast("I")
        with V1Writer(target) as archive:
            archive.add_file("a", numbers)
            archive.add_file("b", b"next")
        with DesReader(target) as reader:
            assert reader.get_file("a") == bytes(range(16))
            assert reader.get_file("b") == b"next"
            assert reader.get_meta("a") == {"size": 16}

    @pytest.mark.parametrize(
        "value", [object(), b"bytes", {1, 2}, float("nan"), float("inf")], ids=lambda value: type(value).__name__
    )
    def test_metadata_that_is_not_json_is_refused_before_any_byte_is_written(self, target: Path, value: object) -> None:
        with V1Writer(target) as archive:
            with pytest.raises(ValueError, match=r"metadata of 'a\.txt' is not JSON"):
                archive.add_file("a.txt", b"lost", {"k": value})
            with pytest.raises(ValueError, match=r"metadata of 'a\.txt' is not JSON"):
                archive.add_external("a.txt", 4, {"k": value})
            archive.add_file("a.txt", b"hello", {"k": 1})
        assert target.read_bytes() == GOLDEN

    def test_metadata_nested_without_end_is_refused(self, target: Path) -> None:
        deep: list[object] = []
        for _ in range(sys.getrecursionlimit() * 50):
            deep = [deep]
        with V1Writer(target) as archive, pytest.raises(ValueError, match="is not JSON"):
            archive.add_file("a", b"1", {"k": deep})

    def test_metadata_may_be_10_mib_of_json_and_no_more(self, target: Path) -> None:
        limit = 10 * 1024 * 1024
        fitting = "x" * (limit - len(json.dumps({"k": "", "size": 5}, separators=(",", ":"))))
        with V1Writer(target) as archive:
            with pytest.raises(ValueError, match=f"{limit + 1} bytes of JSON"):
                archive.add_file("a", b"hello", {"k": fitting + "x"})
            archive.add_file("a", b"hello", {"k": fitting})
        with DesReader(target) as reader:
            assert reader.get_meta("a") == {"k": fitting, "size": 5}

    @pytest.mark.parametrize("size", [-1, 2**64])
    def test_an_external_size_that_is_no_length_is_refused(self, target: Path, size: int) -> None:
        with V1Writer(target) as archive, pytest.raises(ValueError, match="expected a length in bytes"):
            archive.add_external("a", size)


@pytest.mark.usefixtures("_switching_threads_often")
def test_eight_threads_on_one_writer_lose_and_mix_nothing(target: Path) -> None:
    def payload(thread: int, i: int) -> bytes:
        return f"{thread}:{i};".encode() * (i % 50)

    with V1Writer(target) as archive, ThreadPoolExecutor(8) as pool:

        def add(thread: int) -> None:
            for i in range(500):
                archive.add_file(f"{thread}-{i}", payload(thread, i), {"thread": thread, "i": i})

        list(pool.map(add, range(8)))
    with DesReader(target) as reader:
        assert len(reader) == 4_000
        for thread in range(8):
            for i in range(500):
                assert reader.get_file(f"{thread}-{i}") == payload(thread, i)
                assert reader.get_meta(f"{thread}-{i}") == {
                    "thread": thread,
                    "i": i,
                    "size": len(payload(thread, i)),
                }
