"""How the codecs bench measures: every compression and decompression in a process of its own, one at a time.

What the kernel charges to the process is what it cost: user and system time of all its threads, its interpreter's
start included. A side in Python also tells what its work alone took, imports done. Sides take turns on a corpus; one
that has had its time is not run again, and what was measured once is not measured anew for another row. Whatever was
compressed is decompressed and compared, every time.
"""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from des_platform_tests.bench.corpora import Corpus
    from des_platform_tests.bench.results import Measurement

MEGABYTE = 1e6


class SideFailed(Exception):
    """A process that was to compress or decompress ended with an error."""


@dataclass(frozen=True, slots=True)
class Side:
    """One way to compress.

    Attributes:
        name: as the rows call it.
        compress: the command; `{source}` and `{target}` stand for paths. Without `{target}` the result is its output,
            else its output is a JSON object: `cpu` and `wall` seconds of the work alone, and the `codec`.
        decompress: likewise, with `{codec}` for the codec that compressing told.
    """

    name: str
    compress: tuple[str, ...]
    decompress: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds, user and system, of all its threads.
        work_wall: without the start of an interpreter; `wall` where there is none.
        work_cpu: likewise.
        told: what it told of itself.
    """

    wall: float
    cpu: float
    work_wall: float
    work_cpu: float
    told: dict[str, Any]


@dataclass(slots=True)
class Runs:
    """All runs of one side on one corpus.

    Attributes:
        original: bytes of the corpus.
        size: bytes of it compressed.
        compress: what each compression took.
        decompress: what each decompression took.
    """

    original: int
    size: int = 0
    compress: list[Cost] = field(default_factory=list)
    decompress: list[Cost] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Original bytes for each compressed one."""
        return self.original / self.size

    @property
    def codec(self) -> str:
        """The codec that the side chose; empty where it had no choice."""
        return str(self.compress[0].told.get("codec", ""))

    def speed(self, clock: str, *, of: str = "compress", over: Callable[[Iterable[float]], float] = min) -> float:
        """Original megabytes a second.

        Args:
            clock: `wall`, `cpu`, `work_wall` or `work_cpu`.
            of: `compress` or `decompress`.
            over: which of the runs: `min` for the best, `median`.
        """
        return self.original / MEGABYTE / over(getattr(cost, clock) for cost in getattr(self, of))


def run(command: Sequence[str], source: Path, target: Path) -> Cost:
    """Run one side's command.

    Raises:
        SideFailed: it ended with an error.
    """
    tells = any("{target}" in word for word in command)
    words = [word.replace("{source}", str(source)).replace("{target}", str(target)) for word in command]
    with (
        source.open("rb") as stdin,
        tempfile.TemporaryFile() as report,
        tempfile.TemporaryFile() as errors,
        target.open("wb") as written,
    ):
        started = time.perf_counter()
        process = subprocess.Popen(words, stdin=stdin, stdout=report if tells else written, stderr=errors)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SideFailed(f"{' '.join(words)} ended with {process.returncode}: {errors.read().decode().strip()}")
        report.seek(0)
        told = json.loads(report.read()) if tells else {}
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(wall, cpu, told.get("wall", wall), told.get("cpu", cpu), told)


class Laboratory:
    """Runs sides on corpora, and remembers.

    Args:
        folder: for what comes out; best in memory.
        rounds: turns of each side.
        patience: wall seconds after which a side has had its time.
    """

    def __init__(self, folder: Path, *, rounds: int, patience: float) -> None:
        self.folder = folder
        self._rounds = rounds
        self._patience = patience
        self._runs: dict[tuple[str, str], Runs] = {}

    def measure(self, corpus: Corpus, sides: Sequence[Side], *, patience: float | None = None) -> list[Runs]:
        """Run the sides on a corpus, in turn; return what is known of each, in order.

        Args:
            corpus: what to compress.
            sides: in the order of their turns.
            patience: another than usual.

        Raises:
            SideFailed: a process failed.
            UnequalWork: what came back is not the corpus.
        """
        found = [self._runs.setdefault((side.name, corpus.name), Runs(corpus.size)) for side in sides]
        limit = self._patience if patience is None else patience
        for number in range(self._rounds):
            for side, runs in zip(sides, found, strict=True):
                spent = sum(cost.wall for cost in runs.compress + runs.decompress)
                if len(runs.compress) == number and spent <= limit:
                    self._run(side, corpus, runs)
        return found

    def _run(self, side: Side, corpus: Corpus, runs: Runs) -> None:
        packed, restored = self.folder / "packed", self.folder / "restored"
        cost = run(side.compress, corpus.path, packed)
        runs.size = packed.stat().st_size
        command = [word.replace("{codec}", str(cost.told.get("codec", ""))) for word in side.decompress]
        runs.decompress.append(run(command, packed, restored))
        runs.compress.append(cost)
        if not filecmp.cmp(corpus.path, restored, shallow=False):
            raise UnequalWork(f"{side.name} did not give {corpus.name} back")
        packed.unlink()
        restored.unlink()


def named(corpus: Corpus) -> str:
    """A corpus as rows name it: whether it is real comes first, since generated data flatter."""
    return f"{'real' if corpus.real else 'generated'}.{corpus.name}"


def worst(name: str, rows: Iterable[Measurement]) -> list[Measurement]:
    """The row that is farthest from its goal, under another name; none of none.

    Args:
        name: its new id; the peer is told with what follows the first dot of the old one.
        rows: all with the same kind of goal.
    """
    candidates = [row for row in rows if row.absolute or row.ratio is not None]
    if not candidates:
        return []
    farthest = max if candidates[0].at_most else min
    found = farthest(candidates, key=lambda row: row.value if row.absolute else row.ratio or 0.0)
    return [replace(found, id=name, peer=f"{found.peer}, {found.id.partition('.')[2]}")]
