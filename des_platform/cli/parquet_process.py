"""Parquet files that anybody may have sent are read in a process of their own, with 4 GiB of memory.

Metadata that contradict themselves can end a process that reads them (pyarrow 26), and a page may claim gigabytes.
Requests and replies are JSON, one a line; a reply is `{"done": ROWS, "all": ROWS}` while it works, and in the end
`{"result": ...}` or `{"problem": "..."}`. A process serves request after request; after one that it died of, the next
one gets a new process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_BYTES = 4 << 30
_SAID_CHARS = 300


class Unreadable(Exception):
    """A file could not be read or written anew; the message says why."""


class ParquetProcess:
    """Serves requests; a context manager. The process starts with the first request."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()

    def inspect(self, source: Path) -> dict[str, Any]:
        """What a file says of itself, as `parquet.inspecting.Inspection`.

        Raises:
            Unreadable: it is no Parquet file.
        """
        return self._ask({"task": "inspect", "source": str(source)}, lambda _done, _all: None)

    def optimize(
        self, source: Path, target: Path, wanted: dict[str, Any], progress: Callable[[int, int], None]
    ) -> dict[str, Any]:
        """Write a file anew, and prove it.

        Args:
            source: the file.
            target: is created, or overwritten.
            wanted: the fields of `parquet.optimizing.Wanted`.
            progress: called with what is done and all.

        Returns:
            The fields of `parquet.optimizing.Optimized`.

        Raises:
            Unreadable: it is no Parquet file, or did not come back as it was.
        """
        request = {"task": "optimize", "source": str(source), "target": str(target), "wanted": wanted}
        return self._ask(request, progress)

    def _ask(self, request: dict[str, Any], progress: Callable[[int, int], None]) -> dict[str, Any]:
        process = self._process or self._started()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            reply = json.loads(line)
            if "result" in reply:
                return dict(reply["result"])
            if "problem" in reply:
                raise Unreadable(reply["problem"])
            progress(reply["done"], reply["all"])
        raise Unreadable(self._how_it_ended(process))

    def _started(self) -> subprocess.Popen[str]:
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed with the process
        command = [sys.executable, "-m", "des_platform.cli.parquet_process", str(MEMORY_BYTES)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        return self._process

    def _how_it_ended(self, process: subprocess.Popen[str]) -> str:
        code, errors = process.wait(), self._errors
        said = ""
        if errors is not None:
            errors.seek(0)
            said = (errors.read().strip().splitlines() or [""])[-1][:_SAID_CHARS]
        self._end()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its reader ended with {how}: it contradicts itself, or needs over {MEMORY_BYTES >> 30} GiB ({said})"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.kill()
        if self._errors is not None:
            self._errors.close()
            self._errors = None


def main(memory_bytes: int) -> None:
    """Serve requests from standard input until it ends, with no more memory than this."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        reply: dict[str, Any]
        try:
            reply = {"result": _served(json.loads(line))}
        except (MemoryError, OSError, ValueError) as error:  # pyarrow's own are among these
            reply = {"problem": " ".join(str(error).split())[:_SAID_CHARS] or type(error).__name__}
        _reply(reply)


def _served(request: dict[str, Any]) -> dict[str, Any]:
    from des_platform.parquet.inspecting import inspect
    from des_platform.parquet.optimizing import Wanted, optimize

    with Path(request["source"]).open("rb") as source:
        if request["task"] == "inspect":
            return asdict(inspect(source))
        with Path(request["target"]).open("w+b") as target:
            return asdict(optimize(source, target, Wanted(**request["wanted"]), _tell_progress))


def _tell_progress(done: int, total: int) -> None:
    _reply({"done": done, "all": total})


def _reply(reply: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(int(sys.argv[1]))
