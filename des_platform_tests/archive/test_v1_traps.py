"""What implementations of version 1 get wrong, and this one must not: a test for each."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import (
    CorruptArchive,
    DesReader,
    ExternalFile,
    LocalFolder,
    MemorySource,
)
from des_platform.archive.cache import InMemoryIndexCache
from des_platform_tests.archive import conftest
from des_platform_tests.archive.conftest import GOLDEN, V1Writer, names_in

if TYPE_CHECKING:
    from pathlib import Path

KILLED_WHILE_WRITING = """
import os, sys
from des_platform.archive import DesWriter
writer = DesWriter(sys.argv[1], format_version=1)
for i in range(10_000):
    writer.add_file(f"f{i}", bytes(1_000))
os.kill(os.getpid(), 9)
"""


def test_trap_an_exception_inside_with_finalises_no_archive(target: Path) -> None:
    def fail_midway() -> None:
        with V1Writer(target) as archive:
            archive.add_file("a", b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_midway()
    assert names_in(target.parent) == []


def test_trap_a_crash_before_close_leaves_nothing_at_the_path_and_does_not_harm_what_stands_there(
    target: Path,
) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(target)], check=False)
    assert process.returncode == -9
    assert not target.exists()
    assert all(name.endswith(".des.tmp") for name in names_in(target.parent))
    with V1Writer(target) as archive:
        archive.add_file("a.txt", b"hello", {"k": 1})
    assert target.read_bytes() == GOLDEN


@pytest.mark.parametrize("offset", range(9))
def test_trap_the_header_is_checked(offset: int) -> None:
    broken = bytearray(GOLDEN)
    broken[offset] ^= 1
    with pytest.raises(ValueError, match="header"):
        DesReader(MemorySource(bytes(broken)))


def test_trap_the_local_reader_returns_no_archive_bytes_for_an_external_file(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_file("inside", b"12345")
        archive.add_external("outside", 5)
    with DesReader(target) as reader, pytest.raises(ExternalFile):
        reader.get_file("outside")


@pytest.mark.parametrize("prefix", ["2025-01-15/shard_00", "2025-01-15", ""])
def test_trap_external_files_are_found_whichever_prefix_wrote_them(tmp_path: Path, prefix: str) -> None:
    class KeyedSource(MemorySource):
        key = "2025-01-15/shard_00.des"

    store = LocalFolder(tmp_path / "bucket")
    with V1Writer(tmp_path / "a.des", big_files=store, external_prefix=prefix) as archive:
        archive.add_file("big", b"12345", force_external=True)
    reader = DesReader(KeyedSource((tmp_path / "a.des").read_bytes()), big_files=store)
    assert reader.get_file("big") == b"12345"


def test_trap_external_files_are_found_beside_the_archive_where_the_original_reader_looks(tmp_path: Path) -> None:
    class KeyedSource(MemorySource):
        key = "2025-01-15/shard_00.des"

    store = LocalFolder(tmp_path)
    store.put("2025-01-15/_bigFiles/big", b"12345")
    with V1Writer(tmp_path / "a.des", external_prefix="elsewhere") as archive:
        archive.add_external("big", 5)
    reader = DesReader(KeyedSource((tmp_path / "a.des").read_bytes()), big_files=store)
    assert reader.get_file("big") == b"12345"


def test_trap_a_zero_length_object_asks_for_no_range_and_is_empty(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_file("before", bytes(70_000))
        archive.add_file("empty", b"")
        archive.add_file("after", b"1")
    source = conftest.MemorySource(target.read_bytes())
    reader = DesReader(source)
    assert reader.get_file("empty") == b""
    assert reader.get_files_batch(["before", "empty", "after"])["empty"] == b""
    assert all(length for _, length in source.reads)


def test_trap_duplicate_names_are_refused_by_writer_and_reader(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_file("a", b"first")
        with pytest.raises(ValueError, match="already in the archive"):
            archive.add_file("a", b"second")
    with DesReader(target) as reader:
        assert reader.get_file("a") == b"first"
    twice = conftest.build([(b"a", 16, 1, b"{}", 0, 0), (b"a", 17, 1, b"{}", 0, 0)], data=b"12")
    with pytest.raises(CorruptArchive, match="name of another entry"):
        DesReader(MemorySource(twice)).list_files()


def test_trap_a_batch_of_scattered_files_does_not_read_the_whole_archive_into_memory(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_many((f"f{i}", os.urandom(4096)) for i in range(10_000))
    wanted = [f"f{i}" for i in range(0, 10_000, 10)]
    with DesReader(target) as reader:
        len(reader)
        tracemalloc.start()
        try:
            found = reader.get_files_batch(wanted)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert list(found) == wanted
    assert peak < 2 * sum(map(len, found.values()))


@pytest.mark.usefixtures("_switching_threads_often")
def test_trap_threads_do_not_move_each_others_position(target: Path) -> None:
    with V1Writer(target) as archive, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: archive.add_file(f"f{i}", str(i).encode() * (i % 40)), range(2_000)))
    with DesReader(target) as reader, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: reader.get_file(f"f{i}"), range(2_000)))
    assert results == [str(i).encode() * (i % 40) for i in range(2_000)]


def test_trap_a_rewritten_file_is_never_served_from_a_stale_index(target: Path) -> None:
    cache = InMemoryIndexCache()
    for content in (b"old", b"new", b"newer"):
        target.unlink(missing_ok=True)
        with V1Writer(target) as archive:
            archive.add_file("a", content)
            archive.add_file("only in " + content.decode(), b"")
        for _ in range(2):
            with DesReader(target, cache=cache) as reader:
                assert reader.get_file("a") == content
                assert reader.list_files() == ["a", "only in " + content.decode()]


def test_trap_metadata_passed_by_the_caller_is_not_mutated(target: Path) -> None:
    meta: dict[str, object] = {"k": [1], "size": 99}
    with V1Writer(target, big_files=LocalFolder(target.parent)) as archive:
        archive.add_file("a", b"1", meta)
        archive.add_file("b", b"22", meta, force_external=True)
        archive.add_external("c", 3, meta)
    assert meta == {"k": [1], "size": 99}
