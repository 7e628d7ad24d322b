"""What a worker of a stream job did: counts of a turn, added up over its turns, and its files by codec."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from des_platform.sources.streams.compressing import StreamedFile

_NOT_NUMBERS = ("done", "codecs", "problem")


@dataclass(slots=True)
class CodecTotal:
    """The files of one codec: how many, their bytes, the bytes of their chunks, and how long they took."""

    files: int = 0
    original_bytes: int = 0
    compressed_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __iadd__(self, other: CodecTotal | StreamedFile) -> Self:
        """Count a file, or what another turn did."""
        self.files += other.files if isinstance(other, CodecTotal) else 1
        self.original_bytes += other.original_bytes
        self.compressed_bytes += other.compressed_bytes
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        return self


@dataclass(slots=True)
class TurnReport:
    """What a worker did.

    Attributes:
        received: messages.
        files: files that were done.
        original_bytes: their bytes.
        compressed_bytes: the bytes of their chunks.
        chunks: how many there were.
        cut_records: records that are longer than a chunk.
        dead: dead letters.
        postponed: messages that stay in the queue, since what they need is not there yet or out of reach.
        stopped: messages that were given back since the worker was asked to end.
        waited: turns in which another worker had the queue.
        seconds: wall time of the turns.
        cpu_seconds: CPU time of the files.
        done: the files of one turn.
        codecs: the files by codec.
        problem: what was out of reach at the end.
    """

    received: int = 0
    files: int = 0
    original_bytes: int = 0
    compressed_bytes: int = 0
    chunks: int = 0
    cut_records: int = 0
    dead: int = 0
    postponed: int = 0
    stopped: int = 0
    waited: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    done: list[StreamedFile] = field(default_factory=list)
    codecs: defaultdict[str, CodecTotal] = field(default_factory=lambda: defaultdict(CodecTotal))
    problem: Exception | None = None

    def add(self, file: StreamedFile) -> None:
        """Count a file."""
        self.files += 1
        self.original_bytes += file.original_bytes
        self.compressed_bytes += file.compressed_bytes
        self.chunks += file.chunks
        self.cut_records += file.cut_records
        self.cpu_seconds += file.cpu_seconds
        self.done.append(file)
        self.codecs[file.codec] += file

    def __iadd__(self, other: TurnReport) -> Self:
        """Count a turn; its files are not kept one by one."""
        for name in self.__slots__:
            if name not in _NOT_NUMBERS:
                setattr(self, name, getattr(self, name) + getattr(other, name))
        for codec, files in other.codecs.items():
            self.codecs[codec] += files
        self.problem = other.problem or self.problem
        return self

    def statistics(self) -> dict[str, Any]:
        """The numbers, for logs and metadata."""
        found = {name: getattr(self, name) for name in self.__slots__ if name not in _NOT_NUMBERS}
        ratio = self.original_bytes / self.compressed_bytes if self.compressed_bytes else 1.0
        times = {"seconds": round(self.seconds, 3), "cpu_seconds": round(self.cpu_seconds, 3)}
        return found | times | {"compression_ratio": round(ratio, 3)}
