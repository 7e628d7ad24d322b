"""Many threads and one writer of version 2."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DesWriter, MemorySource
from des_platform.archive.v2 import builder
from des_platform.archive.verification import verify
from des_platform_tests.archive.corpus import MemorySink, contents, noise

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.usefixtures("_switching_threads_often")


@pytest.mark.parametrize("threads", [0, 2])
def test_files_that_many_threads_add_are_all_there(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(builder, "BLOCK_BYTES", 20_000)
    items = {f"{part}/{number}": noise(1_000 * part + number, 100) for part in range(8) for number in range(200)}
    sink = MemorySink()

    def add(part: int) -> None:
        for number in range(100):
            archive.add_file(f"{part}/{number}", items[f"{part}/{number}"], {"part": part})
        archive.add_many((f"{part}/{number}", items[f"{part}/{number}"]) for number in range(100, 200))

    with DesWriter(sink, threads=threads) as archive, ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(add, part) for part in range(8)]:
            done.result()
    assert contents(sink.data) == items
    assert verify(MemorySource(sink.data)).ok


def test_of_threads_that_add_one_name_one_wins() -> None:
    sink = MemorySink()
    refused: list[str] = []

    def add(part: int) -> None:
        for number in range(200):
            try:
                archive.add_file(f"{number}", b"%d" % part)
            except ValueError:
                refused.append(f"{number}")

    with DesWriter(sink) as archive, ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert sorted(refused) == sorted([f"{number}" for number in range(200)] * 3)
    assert set(contents(sink.data)) == {f"{number}" for number in range(200)}


class SlowToFail(MemorySink):
    """Fails at its third write, and lets the others go on first."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = threading.Event()

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        if self.calls == 2:
            self.failed.set()
            raise OSError(28, "No space left on device")
        super().write(parts)


def test_a_sink_that_fails_in_the_background_fails_the_archive_and_no_later_call_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(builder, "BLOCK_BYTES", 1_000)
    sink = SlowToFail()
    archive = DesWriter(sink, threads=1, compression_level=None)

    def add_all() -> None:
        for number in range(1_000):
            archive.add_file(f"{number}", noise(number, 500))

    with pytest.raises(OSError, match="No space left"):
        add_all()
    assert sink.failed.is_set()
    assert sink.aborted
    with pytest.raises(RuntimeError, match="failed"):
        archive.add_file("more", b"")
    with pytest.raises(RuntimeError, match="failed"):
        archive.close()
    assert not sink.committed


def test_threads_end_with_the_archive_however_it_ends() -> None:
    for end in ("close", "abort"):
        archive = DesWriter(MemorySink(), threads=2)
        archive.add_many((f"{number}", noise(number, 1_000)) for number in range(10))
        getattr(archive, end)()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("des-archive")] == []
