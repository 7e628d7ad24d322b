"""What the archive bench runs in a process of its own, since it is the process's memory that is measured.

`python -m des_platform_tests.bench.archive_child TASK ARGUMENT...` prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from des_platform.archive import DesReader, DesWriter
from des_platform_tests.bench import archive_data
from des_platform_tests.bench.archive_measure import counting, forget_peak, peak_bytes, resident_bytes
from des_platform_tests.bench.literal_v1 import LiteralV1Reader, LiteralV1Writer


def write(path: str, count: str, version: str) -> dict[str, float]:
    """Write small objects; nothing but the archive takes memory."""
    objects = archive_data.small_objects(int(count))
    if version == "1":
        with DesWriter(Path(path), format_version=1) as writer:
            writer.add_many((archive_data.flat(name), data) for name, data in objects)
    else:
        with DesWriter(Path(path), archive_id=1, created_ms=0) as writer:
            writer.add_many(objects)
    return {"peak_bytes": peak_bytes()}


def write_literal(path: str, count: str) -> dict[str, float]:
    """The same with the literal writer."""
    with LiteralV1Writer(Path(path)) as writer:
        for name, data in archive_data.small_objects(int(count)):
            writer.add_file(name, data)
    return {"peak_bytes": peak_bytes()}


def cold(path: str, name: str) -> dict[str, float]:
    """Read one object from nothing."""
    with counting(Path(path)) as source, DesReader(source) as reader:
        reader.get_file(name)
    return {"peak_bytes": peak_bytes()}


def open_des(tiny: str, path: str, name: str) -> dict[str, float]:
    """Open an archive and read one object, after the same with a tiny one: imports are no part of opening."""
    return _open(DesReader, tiny, path, name)


def open_literal(tiny: str, path: str, name: str) -> dict[str, float]:
    """The same with the literal reader."""
    return _open(LiteralV1Reader, tiny, path, name)


def _open(reader: type[DesReader | LiteralV1Reader], tiny: str, path: str, name: str) -> dict[str, float]:
    with reader(Path(tiny)) as opened:
        opened.get_file(name)
    forget_peak()
    before = resident_bytes()
    started = time.perf_counter()
    with reader(Path(path)) as opened:
        opened.get_file(name)
        return {"seconds": time.perf_counter() - started, "bytes": peak_bytes() - before}


_TASKS = {task.__name__: task for task in (write, write_literal, cold, open_des, open_literal)}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_TASKS[sys.argv[1]](*sys.argv[2:])))
