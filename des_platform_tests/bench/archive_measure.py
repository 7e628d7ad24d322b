"""How the archive bench measures: sides in turn, a byte source that counts, memory of a process of its own.

Files stand in memory (`/dev/shm` where there is one, else the folder for temporary files), so that no disk is measured.
"""

from __future__ import annotations

import gc
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from des_platform.archive import FileSource
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_FIRST_BYTE_SECONDS = 0.030
_BYTES_PER_SECOND = 90e6
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own with a random name is made in it
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure with.

    Attributes:
        bulk: objects of 4 KiB, and names to look up.
        small: objects of 64 bytes.
        documents: JSON documents of about 4 KB.
        many: objects of 64 bytes of the archive that is too large for plain ways.
        rounds: turns of each side.
        stride: of the bits to flip and of the bytes to cut at; 1 is all of them.
    """

    bulk: int
    small: int
    documents: int
    many: int
    rounds: int
    stride: int


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder in memory where there is one, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="des_platform_bench-", dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        sys.stderr.write(f"files in {Path(name).parent}\n")
        yield Path(name)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; not being there is fine."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def in_turn(
    sides: Mapping[str, Callable[[], int]],
    rounds: int,
    *,
    before: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Run every side once in each round; return the median seconds of each.

    Args:
        sides: each does the same work and returns how much it did.
        rounds: turns of each, at least 1.
        before: called before every turn, not measured.
        clock: in seconds.

    Raises:
        UnequalWork: the counts differ.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    counts: dict[str, int] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            before()
            gc.collect()
            gc.freeze()  # the collector is to walk a side's own objects, not all that the bench has imported
            started = clock()
            counts[name] = side()
            seconds[name].append(clock() - started)
            gc.unfreeze()
        if len(set(counts.values())) != 1:
            raise UnequalWork(f"every side must count the same, found {counts}")
    return {name: median(taken) for name, taken in seconds.items()}


@dataclass(slots=True)
class Traffic:
    """What went over the wire.

    Attributes:
        requests: one after the other, since a reader needs the answer of each to ask the next.
        bytes: of all answers.
    """

    requests: int = 0
    bytes: int = 0

    @property
    def seconds(self) -> float:
        """What it takes from a store with 30 ms to the first byte and 90 MB/s."""
        return self.requests * _FIRST_BYTE_SECONDS + self.bytes / _BYTES_PER_SECOND


@dataclass(slots=True)
class CountingSource:
    """A local file that counts what an object store would be asked for.

    Attributes:
        file: where the bytes are from.
        traffic: since the start, or since `take`.
        ranges: start and end of every answer.
    """

    file: FileSource
    traffic: Traffic = field(default_factory=Traffic)
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def identity(self) -> str | None:
        """The file's."""
        return self.file.identity

    def read_tail(self, length: int) -> tuple[bytes, int]:
        """Return the last bytes and the size of the whole."""
        data, size = self.file.read_tail(length)
        self._count(size - len(data), data)
        return data, size

    def read_range(self, offset: int, length: int) -> bytes:
        """Return bytes from the middle."""
        data = self.file.read_range(offset, length)
        self._count(offset, data)
        return data

    def head(self) -> int:
        """Return the size, as a HEAD request does."""
        self._count(0, b"")
        return self.file.size

    def take(self) -> Traffic:
        """Return the traffic so far and start anew."""
        taken, self.traffic = self.traffic, Traffic()
        self.ranges.clear()
        return taken

    def _count(self, offset: int, data: bytes) -> None:
        self.traffic.requests += 1
        self.traffic.bytes += len(data)
        self.ranges.append((offset, offset + len(data)))


@contextmanager
def counting(path: Path) -> Iterator[CountingSource]:
    """A file that counts."""
    with FileSource(path) as file:
        yield CountingSource(file)


def in_child(task: str, *arguments: str | int | Path) -> dict[str, Any]:
    """Run a task of `archive_child` in a process of its own; return what it found.

    Raises:
        subprocess.CalledProcessError: it failed; its standard error is ours.
    """
    command = [sys.executable, "-m", "des_platform_tests.bench.archive_child", task, *map(str, arguments)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def peak_bytes() -> int:
    """The most memory that this process has had resident since it started.

    On Linux `ru_maxrss` would count the parent's memory too, as it was when it started the process.
    """
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else _KIB
    )


def forget_peak() -> None:
    """Let the peak be what is resident now, where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident_bytes() -> int:
    """The memory that this process has resident now; where nobody tells, the most it ever had."""
    return _status("VmRSS") or peak_bytes()


def _status(name: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) * _KIB for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
