"""What `DesWriter` and `DesReader` do for archives of either version."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.archive import DesReader, DesWriter, FileSink, MemorySource, UnsupportedVersion
from des_platform_tests.archive.conftest import GOLDEN, names_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BOTH_VERSIONS = pytest.mark.parametrize("version", [1, 2])


class MemorySink:
    """Keeps what it is given, and refuses it from some call on."""

    def __init__(self, error: Exception | None = None, fail_at: str = "") -> None:
        self.parts: list[bytes] = []
        self.state = "open"
        self.error = error
        self.fail_at = fail_at

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        if self.error and self.fail_at == "write" and self.parts:
            raise self.error
        self.parts += map(bytes, parts)

    def copy(self, *_: object) -> None:
        raise AssertionError("nothing is copied here")

    def commit(self) -> None:
        if self.error and self.fail_at == "commit":
            raise self.error
        self.state = "committed"

    def abort(self) -> None:
        self.state = "aborted"


@BOTH_VERSIONS
def test_an_archive_written_to_a_sink_is_read_from_memory(version: int) -> None:
    sink = MemorySink()
    with DesWriter(sink, format_version=version) as archive:
        archive.add_file("a", b"hello", {"k": 1})
        assert len(archive) == archive.file_count == 1
    assert sink.state == "committed"
    reader = DesReader(MemorySource(b"".join(sink.parts)))
    assert reader.version == version
    assert reader.get_file("a") == b"hello"
    assert reader.get_meta("a") == {"k": 1, "size": 5}


@BOTH_VERSIONS
@pytest.mark.parametrize("fail_at", ["write", "commit"])
@pytest.mark.parametrize("error", [OSError(28, "full"), ValueError("key"), RuntimeError("gone")])
def test_a_sink_that_fails_leaves_no_archive_and_says_so_again(version: int, fail_at: str, error: Exception) -> None:
    sink = MemorySink(error, fail_at)
    with pytest.raises((OSError, ValueError, RuntimeError)) as caught:
        with_failure(sink, version)
    assert error in {caught.value, caught.value.__cause__}
    assert sink.state == "aborted"


def with_failure(sink: MemorySink, version: int) -> None:
    archive = DesWriter(sink, format_version=version)
    try:
        archive.add_file("a", bytes(9_000_000))
        archive.add_many([(f"f{i}", b"1" * 1_000) for i in range(9_000)])
        archive.close()
    except Exception:
        with pytest.raises(RuntimeError, match="cannot add"):
            archive.add_file("b", b"")
        with pytest.raises(RuntimeError, match="there is no archive"):
            archive.close()
        archive.abort()
        raise


def test_a_sink_is_aborted_when_the_archive_cannot_be_begun(target: Path) -> None:
    with pytest.raises(TypeError, match="level"):
        DesWriter(FileSink(target), format_version=2, level_of_nothing=1)
    assert names_in(target.parent) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"format_version": 3}, ValueError, "format_version is 3"),
        ({"format_version": 1, "threads": 2}, TypeError, "threads"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_nothing_is_made(
    target: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DesWriter(target, **options)
    assert names_in(target.parent) == []


@BOTH_VERSIONS
def test_a_writer_counts_what_it_has_and_after_close_a_reader_does(target: Path, version: int) -> None:
    with DesWriter(target, format_version=version) as archive:
        archive.add_many([(f"f{i}", bytes(i)) for i in range(10)])
        archive.add_external("outside", 7)
        stats = archive.get_stats()
        archive.add_file("after", b"1")
    assert (stats.version, stats.file_count, stats.external_count) == (version, 11, 1)
    assert (stats.data_bytes, stats.external_bytes) == (45, 7)
    with pytest.raises(RuntimeError, match="published"):
        archive.get_stats()
    with DesReader(target) as reader:
        stats = reader.get_stats()
    assert (stats.file_count, stats.data_bytes, stats.archive_bytes) == (12, 46, target.stat().st_size)


def test_the_bytes_that_a_writer_of_version_1_foretells_are_those_it_writes(target: Path) -> None:
    with DesWriter(target, format_version=1) as archive:
        for i in range(3_000):
            archive.add_file(f"é{i}", bytes(i), {"i": i} if i % 3 else None)
        foretold = archive.get_stats().archive_bytes
    assert target.stat().st_size == foretold


@BOTH_VERSIONS
def test_files_are_listed_by_prefix(target: Path, version: int) -> None:
    with DesWriter(target, format_version=version) as archive:
        for name in ("b2", "a1", "b1", "a", "ž"):
            archive.add_file(name, name.encode())
    with DesReader(target) as reader:
        assert set(reader.list_files("b")) == {"b1", "b2"}
        assert sorted(reader.list_files("a")) == ["a", "a1"]
        assert reader.list_files("ž") == ["ž"]
        assert reader.list_files("c") == []
        assert [entry.name for entry in reader.iter_entries()] == (
            ["b2", "a1", "b1", "a", "ž"] if version == 1 else ["a", "a1", "b1", "b2", "ž"]
        )


def test_version_1_has_no_hints() -> None:
    assert DesReader(MemorySource(GOLDEN)).hint() is None


def test_a_version_to_come_is_named() -> None:
    with pytest.raises(UnsupportedVersion, match="DES version 3; this reader knows the versions 1 and 2"):
        DesReader(MemorySource(GOLDEN[:-64] + b"\x03" + GOLDEN[-63:]))


def test_importing_the_room_imports_neither_numpy_nor_pyarrow() -> None:
    program = "import sys, des_platform.archive; print(*{'numpy', 'pyarrow', 'zstandard'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
