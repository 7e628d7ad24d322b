from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.archive import FileSink, FileSource, MemorySource
from des_platform_tests.archive.conftest import names_in
from des_platform_tests.archive.corpus import noise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_file_appears_when_it_is_committed_and_not_before(target: Path) -> None:
    sink = FileSink(target)
    sink.write([b"one ", bytearray(b"two "), memoryview(b"three")])
    sink.write([])
    sink.write([b"", b"!"])
    assert not target.exists()
    sink.commit()
    assert target.read_bytes() == b"one two three!"
    assert names_in(target.parent) == ["a.des"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "b" / "c" / "a.des")
    sink.commit()
    assert (tmp_path / "b" / "c" / "a.des").read_bytes() == b""


@pytest.mark.parametrize("count", [1, 1_024, 1_025, 4_096, 4_097, 10_000])
def test_any_number_of_parts_is_written_in_order(target: Path, count: int) -> None:
    parts = [b"%d," % number for number in range(count)]
    sink = FileSink(target)
    sink.write(parts)
    sink.write(parts[:3])
    sink.commit()
    assert target.read_bytes() == b"".join(parts + parts[:3])


def test_writes_that_the_system_cuts_short_are_finished(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "writev", lambda descriptor, parts: real(descriptor, b"".join(parts)[:5]))
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
    sink = FileSink(target)
    sink.write([b"abcdefgh", b"", b"ijklmnopqr"])
    sink.write([b"st"])
    sink.commit()
    assert target.read_bytes() == b"abcdefghijklmnopqrst"


def test_an_aborted_sink_leaves_nothing_and_may_be_aborted_again(target: Path) -> None:
    sink = FileSink(target)
    sink.write([b"bytes"])
    sink.abort()
    sink.abort()
    assert names_in(target.parent) == []


def test_what_stands_there_is_not_replaced(target: Path) -> None:
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        FileSink(target)
    assert target.read_bytes() == b"old"
    assert names_in(target.parent) == ["a.des"]


def test_a_link_that_leads_nowhere_stands_there_too(target: Path) -> None:
    target.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        FileSink(target)


def no_hard_links(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "no hard links here")


@pytest.mark.parametrize("hard_links", [True, False])
def test_what_came_to_stand_there_meanwhile_is_kept(
    target: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", no_hard_links)
    sink = FileSink(target)
    sink.write([b"new"])
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        sink.commit()
    assert target.read_bytes() == b"old"
    assert names_in(target.parent) == ["a.des"]


def test_a_file_system_without_hard_links_has_the_file_all_the_same(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_hard_links)
    sink = FileSink(target)
    sink.write([b"new"])
    sink.commit()
    assert target.read_bytes() == b"new"
    assert names_in(target.parent) == ["a.des"]


def test_a_file_is_replaced_at_once_where_that_is_asked_for(target: Path) -> None:
    target.write_bytes(b"old")
    sink = FileSink(target, replace=True)
    sink.write([b"new"])
    assert target.read_bytes() == b"old"
    sink.commit()
    assert target.read_bytes() == b"new"
    assert names_in(target.parent) == ["a.des"]


def test_an_aborted_replacement_leaves_the_old_file(target: Path) -> None:
    target.write_bytes(b"old")
    sink = FileSink(target, replace=True)
    sink.write([b"new"])
    sink.abort()
    assert target.read_bytes() == b"old"
    assert names_in(target.parent) == ["a.des"]


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_disk_that_fails_at_the_end_leaves_nothing(target: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "the disk failed")

    sink = FileSink(target)
    sink.write([b"new"])
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="the disk failed"):
        sink.commit()
    assert names_in(target.parent) == []


@pytest.mark.parametrize("length", [0, 1, 9_000_000, 20_000_000])
@pytest.mark.parametrize("source_of", [FileSource, lambda path: MemorySource(path.read_bytes())])
def test_the_start_of_a_source_is_copied(tmp_path: Path, length: int, source_of: Callable[[Path], Any]) -> None:
    data = noise(1, 1_000_000) * 20
    (tmp_path / "source").write_bytes(data)
    sink = FileSink(tmp_path / "a.des")
    sink.copy(source_of(tmp_path / "source"), length)
    sink.write([b"more"])
    sink.commit()
    assert (tmp_path / "a.des").read_bytes() == data[:length] + b"more"


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EINVAL, errno.ENOSYS])
def test_a_kernel_that_does_not_copy_or_stops_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    real = os.copy_file_range
    calls: list[int] = []

    def half(source: int, target: int, count: int, offset: int) -> int:
        calls.append(count)
        if len(calls) > 1:
            raise OSError(error, "not here")
        return real(source, target, 1_000, offset)

    monkeypatch.setattr(os, "copy_file_range", half)
    data = noise(1, 5_000)
    (tmp_path / "source").write_bytes(data)
    sink = FileSink(tmp_path / "a.des")
    with FileSource(tmp_path / "source") as source:
        sink.copy(source, 4_000)
    sink.commit()
    assert (tmp_path / "a.des").read_bytes() == data[:4_000]
    assert len(calls) == 2


@pytest.mark.parametrize("source_of", [FileSource, lambda path: MemorySource(path.read_bytes())])
def test_a_source_that_is_too_short_is_noticed(tmp_path: Path, source_of: Callable[[Path], Any]) -> None:
    (tmp_path / "source").write_bytes(b"short")
    sink = FileSink(tmp_path / "a.des")
    with pytest.raises(EOFError, match="ended at byte 5, before the 6 bytes"):
        sink.copy(source_of(tmp_path / "source"), 6)
    sink.abort()
    assert names_in(tmp_path) == ["source"]


def test_of_many_writers_of_one_path_one_wins(target: Path) -> None:
    sinks = [FileSink(target) for _ in range(8)]
    won: list[int] = []
    lost: list[int] = []

    def finish(number: int) -> None:
        sinks[number].write([b"%d" % number])
        try:
            sinks[number].commit()
        except FileExistsError:
            lost.append(number)
        else:
            won.append(number)

    threads = [threading.Thread(target=finish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 7
    assert target.read_bytes() == b"%d" % won[0]
    assert names_in(target.parent) == ["a.des"]
