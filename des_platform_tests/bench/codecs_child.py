"""What the codecs bench runs in a process of its own: our side, and the peers that are Python libraries.

`python -m des_platform_tests.bench.codecs_child TASK ARGUMENT...` prints one JSON object: `wall` and `cpu` seconds of
the work alone, all imports done, and the `codec` that was used; of a task that is about memory, `peak_bytes`.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform_tests.bench import codecs_literal
from des_platform_tests.bench.archive_measure import peak_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Told = dict[str, float | str]

_THREADS = 2
_ANY_SIZE = 1 << 40
_KIB = 1024


def profile(name: str, source: str, target: str) -> Told:
    """Choose by sample, and compress."""
    from des_platform.codecs import Profile
    from des_platform_tests.bench import codecs_path

    aim = Profile(name)
    if aim is Profile.ARCHIVE:
        _load_records()
    return _timed(lambda: codecs_path.label(codecs_path.pack(Path(source), Path(target), aim, threads=_THREADS)))


def codec(label: str, source: str, target: str) -> Told:
    """Compress with one codec."""
    from des_platform_tests.bench import codecs_path

    chosen = codecs_path.codec_at(label)
    if chosen.name == "records":
        _load_records()
    return _timed(lambda: str(codecs_path.write(chosen, Path(source), Path(target), threads=_THREADS))) | {
        "codec": label
    }


def restore(label: str, source: str, target: str) -> Told:
    """Decompress what either of them wrote."""
    from des_platform_tests.bench import codecs_path

    chosen = codecs_path.codec_at(label)
    if chosen.name == "records":
        _load_records()

    def work() -> str:
        codecs_path.restore(chosen, Path(source), Path(target), threads=_THREADS)
        return label

    return _timed(work)


def library(module: str, function: str, level: str, source: str, target: str) -> Told:
    """Call a library with a whole file, at a level unless there is none to tell."""
    call: Callable[..., bytes] = getattr(import_module(module), function)
    arguments = (int(level),) if level else ()
    return _timed(lambda: str(Path(target).write_bytes(call(Path(source).read_bytes(), *arguments)))) | {"codec": ""}


def brotli(quality: str, source: str, target: str) -> Told:
    """Compress with brotli, whose level is no positional argument."""
    call: Callable[..., bytes] = import_module("brotli").compress

    return _timed(lambda: str(Path(target).write_bytes(call(Path(source).read_bytes(), quality=int(quality)))))


def stream_in(label: str, source: str, target: str, length: str) -> Told:
    """Compress a long stream: one file again and again, a CSV header but once; `size` 0 if it is refused."""
    from des_platform.codecs import NotRecords, compress
    from des_platform_tests.bench import codecs_path

    digest, size = hashlib.sha256(), 0

    def original() -> Iterator[bytes]:
        nonlocal size
        for chunk in _repeated(Path(source), int(length)):
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    with Path(target).open("wb") as file:
        try:
            file.writelines(compress(codecs_path.codec_at(label), original(), threads=_THREADS))
        except NotRecords:
            size = 0
    return {"peak_bytes": peak_bytes(), "sha256": digest.hexdigest(), "size": size}


def stream_out(label: str, source: str, _target: str) -> Told:
    """Decompress it again, to nowhere."""
    from des_platform.codecs import decompress
    from des_platform_tests.bench import codecs_path

    digest, size = hashlib.sha256(), 0
    chosen = codecs_path.codec_at(label)
    for piece in decompress(chosen, codecs_path.chunks(Path(source)), max_size=_ANY_SIZE, threads=_THREADS):
        digest.update(piece)
        size += len(piece)
    return {"peak_bytes": peak_bytes(), "sha256": digest.hexdigest(), "size": size}


def watched(target: str, *command: str) -> Told:
    """Run a tool from here: what `ru_maxrss` says of a process has in it what its parent had when it started it."""
    with Path(target).open("wb") as file:
        subprocess.run(command, stdout=file, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"peak_bytes": peak * (1 if sys.platform == "darwin" else _KIB)}


def _repeated(source: Path, length: int) -> Iterator[bytes]:
    from des_platform_tests.bench import codecs_path

    with source.open("rb") as file:
        head = len(file.readline()) if source.suffix == ".csv" else 0
    given = 0
    while given < length:
        skipped = head if given else 0
        for chunk in codecs_path.chunks(source):
            yield chunk[skipped:]
            given += len(chunk)
            skipped = 0


def _load_records() -> None:
    """Import all that the record-aware codec needs; a process that lives does so once."""
    from des_platform.codecs import NotRecords, compress, decompress, get_codec

    records = get_codec("records")
    with suppress(NotRecords):
        packed = list(compress(records, (b'{"a": %d}\n' % number for number in range(1000))))
        list(decompress(records, packed, max_size=_ANY_SIZE))


def _timed(work: Callable[[], str]) -> Told:
    wall, cpu = time.perf_counter(), time.process_time()
    codec_used = work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "codec": codec_used}


def literal(source: str, target: str) -> Told:
    """The hybrid of the first version."""
    return _timed(lambda: str(Path(target).write_bytes(codecs_literal.pack(Path(source).read_bytes()))))


def literal_back(source: str, target: str) -> Told:
    """And its way back."""
    return _timed(lambda: str(Path(target).write_bytes(codecs_literal.unpack(Path(source).read_bytes()))))


_TASKS: dict[str, Callable[..., Told]] = {
    task.__name__: task
    for task in (profile, codec, restore, library, brotli, stream_in, stream_out, watched, literal, literal_back)
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_TASKS[sys.argv[1]](*sys.argv[2:])))
