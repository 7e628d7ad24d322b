from __future__ import annotations

import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import pytest

from des_platform.archive import (
    ArchiveStats,
    CorruptArchive,
    DesReader,
    ExternalFile,
    FileSource,
    IndexEntry,
    ReadPolicy,
)
from des_platform_tests.archive.conftest import EMPTY, GOLDEN, MemorySource, V1Writer, build, is_open

if TYPE_CHECKING:
    from pathlib import Path


def archive_of(target: Path, files: dict[str, bytes], external: dict[str, int] | None = None) -> MemorySource:
    with V1Writer(target, external_prefix="p") as archive:
        for name, data in files.items():
            archive.add_file(name, data, {"name": name})
        for name, size in (external or {}).items():
            archive.add_external(name, size)
    return MemorySource(target.read_bytes())


def opened(source: MemorySource) -> DesReader:
    """Open with the index read, so that only what the test asks for is counted."""
    reader = DesReader(source)
    reader.list_files()
    source.reads.clear()
    return reader


class TestReading:
    def test_the_published_example_is_read(self) -> None:
        reader = DesReader(MemorySource(GOLDEN))
        assert reader.list_files() == ["a.txt"]
        assert len(reader) == 1
        assert "a.txt" in reader
        assert reader.get_file("a.txt") == b"hello"
        assert reader.get_meta("a.txt") == {"k": 1, "size": 5}
        assert reader.get_entry("a.txt") == IndexEntry("a.txt", 16, 5, 5, 0)
        assert reader.get_index() == {"a.txt": IndexEntry("a.txt", 16, 5, 5, 0)}

    def test_an_empty_archive_is_read(self) -> None:
        reader = DesReader(MemorySource(EMPTY))
        assert reader.list_files() == []
        assert reader.get_files_batch(["a"]) == {}
        assert len(reader) == 0
        assert "" not in reader

    @pytest.mark.parametrize("as_path", [str, lambda path: path], ids=["str", "Path"])
    def test_a_path_is_opened_and_closed_with_the_reader(self, target: Path, as_path: type[str]) -> None:
        target.write_bytes(GOLDEN)
        with DesReader(as_path(target)) as reader:
            assert reader.get_file("a.txt") == b"hello"
            assert is_open(target)
        reader.close()
        assert not is_open(target)
        with pytest.raises(RuntimeError, match="closed"):
            reader.get_file("a.txt")

    def test_a_file_that_is_no_archive_is_closed_again(self, target: Path) -> None:
        target.write_bytes(b"x" * 100)
        with pytest.raises(CorruptArchive, match=re.escape(str(target))):
            DesReader(target)
        assert not is_open(target)

    def test_a_source_that_was_handed_over_stays_open(self, target: Path) -> None:
        target.write_bytes(GOLDEN)
        with FileSource(target) as source:
            DesReader(source).close()
            assert DesReader(source).get_file("a.txt") == b"hello"
        with pytest.raises(ValueError, match="closed"):
            source.read_range(0, 1)

    def test_opening_reads_the_end_and_the_header_and_the_index_is_read_once(self, target: Path) -> None:
        source = archive_of(target, {f"f{i}": b"x" * 100 for i in range(1_000)})
        reader = DesReader(source)
        assert source.reads == [(source.size - 65_536, 65_536), (0, 16)]
        source.reads.clear()
        assert reader.get_file("f7") == b"x" * 100
        assert "f8" in reader
        assert reader.get_file("f9") == b"x" * 100
        assert source.reads == [(716, 100), (916, 100)], "the index stood in the end that was read already"

    def test_an_index_of_several_mebibytes_is_read_piece_by_piece(self, target: Path) -> None:
        names = [f"{i}{'n' * (i % 2_000)}" for i in range(5_000)]
        source = archive_of(target, dict.fromkeys(names, b"1"))
        reader = opened(source)
        assert reader.list_files() == names
        assert reader.get_file(names[-1]) == b"1"
        assert all(length <= 2 * 1024 * 1024 for _, length in source.reads)

    def test_one_read_serves_an_archive_that_is_no_longer_than_the_end(self, target: Path) -> None:
        source = archive_of(target, {"a": b"1", "b": b"22"})
        assert DesReader(source).list_files() == ["a", "b"]
        assert source.reads == [(0, source.size)]

    def test_files_are_listed_in_archive_order_external_ones_included(self, target: Path) -> None:
        reader = DesReader(archive_of(target, {"z": b"1", "a": b"2"}, {"m": 5}))
        assert reader.list_files() == ["z", "a", "m"]
        assert [entry.is_external for entry in reader.iter_entries()] == [False, False, True]

    def test_many_files_come_back_as_they_were(self, target: Path) -> None:
        files = {f"{i:x}{'é' * (i % 300)}": os.urandom(i % 97) for i in range(3_000)}
        reader = DesReader(archive_of(target, files))
        assert {name: reader.get_file(name) for name in files} == files
        assert reader.get_files_batch(files) == files
        assert all(reader.get_meta(name)["name"] == name for name in files)

    @pytest.mark.parametrize("name", ["", "b.txt", "a.tx", "a.txtt", "A.TXT", "x" * 70_000, "\ud800"])
    def test_a_missing_name_is_a_key_error_that_names_it(self, name: str) -> None:
        reader = DesReader(MemorySource(GOLDEN))
        assert name not in reader
        for method in (reader.get_file, reader.get_entry, reader.get_meta):
            with pytest.raises(KeyError, match=r"File not found: ") as caught:
                method(name)
            assert repr(name) in str(caught.value.args[0])

    def test_only_strings_are_names(self) -> None:
        assert 5 not in DesReader(MemorySource(GOLDEN))

    def test_a_file_of_no_bytes_is_read_without_asking_the_source(self, target: Path) -> None:
        source = archive_of(target, {"a": b"1", "empty": b"", "b": b"2"})
        reader = opened(source)
        assert reader.get_file("empty") == b""
        assert reader.get_files_batch(["empty"]) == {"empty": b""}
        assert source.reads == []

    def test_stats_count_what_is_inside_and_outside(self, target: Path) -> None:
        source = archive_of(target, {"a": b"12", "b": b"345"}, {"c": 1_000})
        stats = DesReader(source).get_stats()
        assert stats == ArchiveStats(
            version=1,
            file_count=3,
            external_count=1,
            data_bytes=5,
            stored_bytes=5,
            external_bytes=1_000,
            archive_bytes=source.size,
        )

    @pytest.mark.usefixtures("_switching_threads_often")
    def test_eight_threads_on_one_reader_get_their_own_files(self, target: Path) -> None:
        files = {f"f{i}": os.urandom(i % 200) for i in range(500)}
        archive_of(target, files)
        with DesReader(target) as reader, ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda _: {name: reader.get_file(name) for name in files}, range(8)))
        assert all(result == files for result in results)

    @pytest.mark.parametrize("length", [3, 6])
    def test_a_source_that_gives_too_much_or_too_little_is_found_out(self, target: Path, length: int) -> None:
        class Wrong(MemorySource):
            def read_range(self, *_: int) -> bytes:
                return b"x" * wrong_length

        wrong_length = length
        reader = DesReader(Wrong(archive_of(target, {"a": b"12345"}).data))
        assert reader.list_files() == ["a"]
        with pytest.raises(CorruptArchive, match="cut or replaced"):
            reader.get_file("a")

    def test_a_source_whose_end_is_shorter_than_it_says_is_found_out(self) -> None:
        class Wrong(MemorySource):
            def read_tail(self, *_: int) -> tuple[bytes, int]:
                return self.data, len(self.data) + 1

        with pytest.raises(CorruptArchive, match="cut or replaced"):
            DesReader(Wrong(GOLDEN))

    @pytest.mark.parametrize("method", ["read_tail", "read_range"])
    def test_errors_of_the_source_pass_through(self, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise ConnectionResetError("by peer")

        monkeypatch.setattr(MemorySource, method, fail)
        with pytest.raises(ConnectionResetError):
            DesReader(MemorySource(GOLDEN + bytes(70_000) + GOLDEN)).get_file("a.txt")


class TestExternal:
    def test_an_external_file_gives_its_key_and_never_bytes_of_the_archive(self, target: Path) -> None:
        reader = DesReader(archive_of(target, {"a": b"12345"}, {"big": 4}))
        with pytest.raises(ExternalFile, match="p/_bigFiles/big") as caught:
            reader.get_file("big")
        assert (caught.value.name, caught.value.external_key, caught.value.size) == ("big", "p/_bigFiles/big", 4)
        assert not isinstance(caught.value, KeyError)
        assert reader.get_meta("big")["is_external"] is True
        assert reader.get_entry("big").is_external

    def test_a_batch_with_an_external_file_says_which_it_is(self, target: Path) -> None:
        reader = DesReader(archive_of(target, {"a": b"12345"}, {"big": 4}))
        with pytest.raises(ExternalFile, match="p/_bigFiles/big"):
            reader.get_files_batch(["a", "big"])

    def test_the_error_survives_pickling(self) -> None:
        error = pickle.loads(pickle.dumps(ExternalFile("a", "p/a", 5)))  # noqa: S301 - our own bytes
        assert (error.name, error.external_key, error.size) == ("a", "p/a", 5)

    @pytest.mark.parametrize("meta", [b"{}", b'{"external_key":5}', b'{"external_key":""}', b"[]"])
    def test_an_external_file_without_a_key_is_corrupt(self, meta: bytes) -> None:
        reader = DesReader(MemorySource(build([(b"a", 0, 5, meta, 0, 1)], data=b"12345")))
        with pytest.raises(CorruptArchive, match="'a'"):
            reader.get_file("a")


class TestBatch:
    def test_files_come_in_the_order_asked_for_and_missing_ones_are_left_out(self, target: Path) -> None:
        reader = DesReader(archive_of(target, {"a": b"1", "b": b"", "c": b"333"}))
        batch = reader.get_files_batch(iter(["c", "nowhere", "b", "a", "c"]))
        assert list(batch.items()) == [("c", b"333"), ("b", b""), ("a", b"1")]

    @pytest.mark.parametrize("names", ["a", b"a"])
    def test_a_single_string_is_refused(self, names: str) -> None:
        with pytest.raises(TypeError, match="single string"):
            DesReader(MemorySource(GOLDEN)).get_files_batch(names)

    @pytest.mark.parametrize("limits", [(-1, 10), (10, -1)])
    def test_negative_limits_are_refused(self, limits: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="must not be negative"):
            ReadPolicy(*limits, 1)

    def test_files_are_read_together_up_to_the_gap_and_no_further(self, target: Path) -> None:
        source = archive_of(target, {"a": b"a" * 10, "b": b"b" * 20, "c": b"c" * 10, "d": b"d" * 21, "e": b"e" * 10})
        batch = opened(source).get_files_batch(["a", "c", "e"], policy=ReadPolicy(20, 100, 1))
        assert batch == {"a": b"a" * 10, "c": b"c" * 10, "e": b"e" * 10}
        assert source.reads == [(16, 40), (77, 10)]

    def test_without_a_gap_only_neighbours_are_joined(self, target: Path) -> None:
        source = archive_of(target, {"a": b"1", "b": b"2", "c": b"3", "d": b"4"})
        assert opened(source).get_files_batch(["d", "b", "a"], policy=ReadPolicy(0, 100, 1)) == {
            "d": b"4",
            "b": b"2",
            "a": b"1",
        }
        assert source.reads == [(16, 2), (19, 1)]

    def test_joined_reads_are_bounded(self, target: Path) -> None:
        files = {f"f{i}": bytes([i]) * 100 for i in range(100)}
        source = archive_of(target, files)
        assert opened(source).get_files_batch(files, policy=ReadPolicy(64, 1_000, 1)) == files
        assert [length for _, length in source.reads] == [1_000] * 10

    def test_by_default_no_joined_read_exceeds_8_mib(self, target: Path) -> None:
        files = {f"f{i}": bytes([i]) * 1_000_000 for i in range(40)}
        source = archive_of(target, files)
        assert opened(source).get_files_batch(files) == files
        assert max(length for _, length in source.reads) <= 8 * 1024 * 1024
        assert len(source.reads) == 5

    def test_a_file_longer_than_the_span_is_read_alone(self, target: Path) -> None:
        source = archive_of(target, {"a": b"a" * 10, "b": b"b" * 50, "c": b"c" * 10})
        assert opened(source).get_files_batch(["a", "b", "c"], policy=ReadPolicy(64, 30, 1))["b"] == b"b" * 50
        assert source.reads == [(16, 10), (26, 50), (76, 10)]

    def test_files_that_share_bytes_are_each_given_their_own(self) -> None:
        files = [(b"outer", 16, 9, b"{}", 0, 0), (b"inner", 18, 2, b"{}", 0, 0), (b"last", 24, 1, b"{}", 0, 0)]
        reader = DesReader(MemorySource(build(files, data=b"123456789")))
        expected = {"outer": b"123456789", "inner": b"34", "last": b"9"}
        assert reader.get_files_batch(["outer", "inner", "last"]) == expected
        assert reader.get_files_batch(["outer", "inner", "last"], policy=ReadPolicy(64, 0, 1)) == expected
        assert reader.get_files_batch(["outer", "inner"]) == {"outer": b"123456789", "inner": b"34"}


class TestFileSource:
    def test_ranges_end_where_the_file_ends(self, target: Path) -> None:
        target.write_bytes(b"0123456789")
        with FileSource(target) as source:
            assert source.size == 10
            assert source.read_range(3, 4) == b"3456"
            assert source.read_range(8, 100) == b"89"
            assert source.read_range(50, 1) == b""

    @pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
    def test_negative_ranges_are_refused(self, target: Path, offset: int, length: int) -> None:
        target.write_bytes(b"0123456789")
        with FileSource(target) as source, pytest.raises(ValueError, match="no range"):
            source.read_range(offset, length)

    def test_reads_that_the_system_cuts_short_are_completed(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target.write_bytes(b"0123456789")
        pread = os.pread
        monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, 3), offset))
        with FileSource(target) as source:
            assert source.read_range(1, 8) == b"12345678"
            assert source.read_range(1, 80) == b"123456789"

    def test_a_missing_file_is_an_error_of_its_own(self, target: Path) -> None:
        with pytest.raises(FileNotFoundError):
            DesReader(target)


def test_reserved_flags_are_readable_in_the_index_but_their_bytes_are_not_given_out() -> None:
    files = [(b"packed", 16, 3, b'{"size":9}', 0, 2), (b"plain", 19, 2, b'{"size":2}', 0, 0)]
    reader = DesReader(MemorySource(build(files, data=b"zzzab")))
    assert reader.get_entry("packed").flags == 2
    assert reader.get_file("plain") == b"ab"
    with pytest.raises(CorruptArchive, match="flags 0x2, reserved"):
        reader.get_file("packed")
    with pytest.raises(CorruptArchive, match="flags 0x2, reserved"):
        reader.get_files_batch(["plain", "packed"])


@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"{",
        b"[1]",
        b"5",
        b"null",
        b'{"k":\xff}',
        b"\xef\xbb\xbf{}",
        b"[" * 200_000,
        b'{"k":' + b"9" * 5_000 + b"}",
    ],
)
def test_metadata_that_is_not_a_json_object_is_corrupt_and_its_payload_still_readable(meta: bytes) -> None:
    reader = DesReader(MemorySource(build([(b"a", 16, 3, meta, 0, 0)], data=b"abc")))
    with pytest.raises(CorruptArchive, match="metadata of 'a'"):
        reader.get_meta("a")
    assert reader.get_file("a") == b"abc"


def test_metadata_is_read_as_utf8_whether_escaped_or_not() -> None:
    reader = DesReader(MemorySource(build([(b"a", 16, 0, '{"č":"\\u010d"}'.encode(), 0, 0)])))
    assert reader.get_meta("a") == cast("dict[str, object]", {"č": "č"})
