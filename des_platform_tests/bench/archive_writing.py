"""What writing costs: time, CPU, bytes of overhead; and what compression saves."""

from __future__ import annotations

import filecmp
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from des_platform.archive import DesReader, DesWriter
from des_platform_tests.bench import archive_data, archive_peers
from des_platform_tests.bench.archive_measure import counting, in_turn, remove
from des_platform_tests.bench.literal_v1 import LiteralV1Writer
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from des_platform_tests.bench.archive_measure import Scale

LITERAL = "literal v1"
_SAMPLE = 200
_LEVEL = 3


def write_des(path: Path, names: Sequence[str], payloads: Sequence[bytes], **options: Any) -> int:
    """Write an archive, of version 2 unless told otherwise."""
    if "format_version" not in options:
        options |= {"archive_id": 1, "created_ms": 0}
    with DesWriter(path, **options) as writer:
        writer.add_many(zip(names, payloads, strict=True))
        return len(writer)


def write_literal(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """Write an archive of version 1 the plain way."""
    with LiteralV1Writer(path) as writer:
        for name, payload in zip(names, payloads, strict=True):
            writer.add_file(name, payload)
    return len(names)


def write_bulk(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """Objects of 4 KiB beside a plain write of the same bytes, and beside each peer."""
    path = folder / "bulk"
    work = (path, archive_data.names(scale.bulk), archive_data.bulk_payloads(scale.bulk))
    clear = partial(remove, path)
    ours = partial(write_des, *work)
    sides = {"file.write": partial(archive_peers.plain_write, *work), "": ours, ".threaded": partial(ours, threads=1)}
    seconds = in_turn(sides, 2 * scale.rounds + 1, before=clear)
    for side, goal in (("", 1.5), (".threaded", 1.25)):
        yield _less(f"write_bulk{side}", seconds[side], "s", "file.write", seconds["file.write"], goal)
    peers = {name: partial(write, *work) for name, write in archive_peers.installed().items()}
    seconds = in_turn({"des": ours, LITERAL: partial(write_literal, *work), **peers}, scale.rounds, before=clear)
    clear()
    for name in (LITERAL, *peers):
        yield _less(f"write_bulk.{name.replace(' ', '_')}", seconds["des"], "s", name, seconds[name], 1.0)


def write_small_cpu(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """CPU of all threads per object of 64 bytes."""
    path = folder / "small"
    work = (path, archive_data.names(scale.small), archive_data.small_payloads(scale.small))
    sides = {"des": partial(write_des, *work), LITERAL: partial(write_literal, *work)}
    clear = partial(remove, path)
    seconds = in_turn(sides, scale.rounds, before=clear, clock=time.process_time)
    clear()
    cpu = {name: taken / scale.small * 1e6 for name, taken in seconds.items()}
    yield _less("write_small_cpu", cpu["des"], "us/object", LITERAL, cpu[LITERAL], 1 / 8)


def overhead_bytes(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """What an object takes beside its own bytes: name, checksum, index, SQL catalogue."""
    names, payloads = archive_data.names(scale.bulk), archive_data.small_payloads(scale.bulk)
    path = folder / "overhead"
    overhead = {}
    for side, write in (("des", write_des), (LITERAL, write_literal), ("zipfile", archive_peers.write_zip)):
        write(path, names, payloads)
        overhead[side] = (path.stat().st_size - sum(map(len, payloads))) / scale.bulk
        remove(path)
    for name, peer in (("overhead_bytes", LITERAL), ("overhead_bytes.zipfile", "zipfile")):
        yield _less(name, overhead["des"], "bytes/object", peer, overhead[peer], 48, absolute=True)


def json_size(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """What is left of JSON documents, and whether each is still one range."""
    path = folder / "documents"
    names, documents = archive_data.names(scale.documents), list(archive_data.documents(scale.documents))
    ours = partial(write_des, path, names, documents, threads=1)
    clear = partial(remove, path)
    sides = {"des": ours, LITERAL: partial(write_literal, path, names, documents)}
    seconds = in_turn(sides, scale.rounds, before=clear)
    clear()
    ours()
    left = path.stat().st_size / 1e6
    yield _less("json_size", left, "MB", "raw bytes", sum(map(len, documents)) / 1e6, 0.30)
    for name, megabytes in _zstd(documents).items():
        yield Measurement(f"json_size.{name}", left, "MB", f"zstd -{_LEVEL}, {name}", megabytes)
    yield Measurement("json_size.seconds", seconds["des"], "s", LITERAL, seconds[LITERAL])
    most = _most_ranges(path, names, documents)
    yield _less("json_size.ranges", most, "requests", LITERAL, 1, 1, absolute=True)
    clear()


def v1_speed(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """The product's writer of version 1 beside the literal one, whose file it writes to the byte."""
    yield _v1_speed("v1_speed", folder, archive_data.small_payloads(scale.small), scale.rounds)
    yield _v1_speed("v1_speed.4096", folder, archive_data.bulk_payloads(scale.bulk), scale.rounds)


def _v1_speed(name: str, folder: Path, payloads: Sequence[bytes], rounds: int) -> Measurement:
    names = [archive_data.flat(given) for given in archive_data.names(len(payloads))]
    ours, literal = folder / "v1", folder / "literal"

    def clear() -> None:
        remove(ours)
        remove(literal)

    sides = {
        "v1": partial(write_des, ours, names, payloads, format_version=1),
        LITERAL: partial(write_literal, literal, names, payloads),
    }
    seconds = in_turn(sides, rounds, before=clear)
    clear()
    for write in sides.values():
        write()
    if not filecmp.cmp(ours, literal, shallow=False):
        raise UnequalWork(f"{name}: the archives of {len(names)} objects differ, and must be the same to the byte")
    clear()
    rates = {side: len(names) / taken for side, taken in seconds.items()}
    return Measurement(name, rates["v1"], "objects/s", LITERAL, rates[LITERAL], 3.0)


def _zstd(documents: Sequence[bytes]) -> dict[str, float]:
    """What zstd makes of the documents, without a dictionary, in millions of bytes."""
    import zstandard

    codec = zstandard.ZstdCompressor(level=_LEVEL)
    stream = codec.compressobj()
    whole = sum(len(stream.compress(document)) for document in documents) + len(stream.flush())
    return {"each": sum(len(codec.compress(document)) for document in documents) / 1e6, "whole": whole / 1e6}


def _most_ranges(path: Path, names: Sequence[str], documents: Sequence[bytes]) -> int:
    """The most requests that a document took whose page was at hand."""
    chosen = archive_data.seeded(_SAMPLE).sample(range(len(names)), min(_SAMPLE, len(names)))
    most = 0
    with counting(path) as source, DesReader(source) as reader:
        for number in chosen:
            reader.get_file(names[number])
            source.take()
            if reader.get_file(names[number]) != documents[number]:
                raise UnequalWork(f"{names[number]} did not come back as it was")
            most = max(most, source.traffic.requests)
    return most


def _less(
    name: str, value: float, unit: str, peer: str, peer_value: float, goal: float, *, absolute: bool = False
) -> Measurement:
    return Measurement(name, value, unit, peer, peer_value, goal, at_most=True, absolute=absolute)
