from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DesReader, DesWriter, FileSink, FileSource, recover

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_of_the_base_is_deleted_and_may_be_added_anew(tmp_path: Path) -> None:
    with DesWriter(tmp_path / "base.des") as archive:
        archive.add_many([("a", b"1"), ("b", b"2"), ("c", b"3")])
    with DesWriter(tmp_path / "next.des", base=FileSource(tmp_path / "base.des")) as archive:
        archive.delete("a")
        archive.delete("b")
        archive.add_file("b", b"new")
    with DesReader(tmp_path / "next.des") as reader:
        assert {name: reader.get_file(name) for name in reader.list_files()} == {"b": b"new", "c": b"3"}


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_not_in_a_base_cannot_be_deleted_and_the_archive_goes_on(tmp_path: Path, version: int) -> None:
    with DesWriter(tmp_path / "a.des", format_version=version) as archive:
        archive.add_file("a", b"1")
        with pytest.raises(KeyError, match="'a'"):
            archive.delete("a")
        archive.add_file("b", b"2")
    with DesReader(tmp_path / "a.des") as reader:
        assert reader.list_files() == ["a", "b"]


@pytest.mark.parametrize("threads", [0, 1])
def test_what_was_flushed_comes_back_from_the_file_of_a_process_that_died(tmp_path: Path, threads: int) -> None:
    archive = DesWriter(tmp_path / "a.des", threads=threads)
    archive.add_file("a", b"kept", {"k": 1})
    archive.flush()
    archive.add_file("b", b"not yet written")
    (torn,) = tmp_path.glob(".*.des.tmp")
    shutil.copy(torn, tmp_path / "torn")
    archive.abort()
    assert recover(FileSource(tmp_path / "torn"), FileSink(tmp_path / "back.des")).recovered == 1
    with DesReader(tmp_path / "back.des") as reader:
        assert reader.get_file("a") == b"kept"
        assert reader.get_meta("a") == {"k": 1, "size": 4}


@pytest.mark.parametrize("version", [1, 2])
def test_flushing_changes_no_file(tmp_path: Path, version: int) -> None:
    with DesWriter(tmp_path / "a.des", format_version=version) as archive:
        for name in ("a", "b", "c"):
            archive.add_file(name, name.encode())
            archive.flush()
    with DesReader(tmp_path / "a.des") as reader:
        assert [reader.get_file(name) for name in ("a", "b", "c")] == [b"a", b"b", b"c"]


def test_an_unknown_version_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format_version is 3"):
        DesWriter(FileSink(tmp_path / "a.des"), format_version=3)
    assert list(tmp_path.iterdir()) == []
