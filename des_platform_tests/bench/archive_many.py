"""An archive of ten million objects: what its writer holds in memory, and what one object costs from afar.

The peer reads version 1 as it must be read from afar: a HEAD, the footer, the whole index, the object. It is spared the
work of taking the index apart.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from des_platform.archive import DesReader
from des_platform_tests.bench import archive_data
from des_platform_tests.bench.archive_measure import Traffic, counting, in_child, remove
from des_platform_tests.bench.archive_sql import sql_engines
from des_platform_tests.bench.archive_writing import LITERAL
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import UnequalWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from des_platform_tests.bench.archive_measure import CountingSource, Scale

_SAMPLE = 200
_FEW = 1000
_SEED = 10_000_000
_V1_FOOTER = struct.Struct("<8sB7sQQQQQQQ")
_V1_ENTRY = struct.Struct("<QQQQI")
_ABSENT = "sensor/2026-01-01/none_{:08d}"


def many_objects(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """Ten million objects of 64 bytes, written once for memory, cold reads and SQL."""
    path, few, literal = folder / "many.des", folder / "few.des", folder / "many.v1"
    peak = in_child("write", path, scale.many, 2)["peak_bytes"] / 1e6
    tenth = in_child("write_literal", folder / "tenth.v1", scale.many // 10)["peak_bytes"] / 1e6
    remove(folder / "tenth.v1")
    peer = f"{LITERAL}, a tenth as many"
    yield Measurement("writer_memory_10m", peak, "MB", peer, tenth, 512, at_most=True, absolute=True)
    in_child("write", few, min(_FEW, scale.many), 2)
    in_child("write", literal, scale.many, 1)
    yield from _cold(path, literal, scale.many)
    remove(literal)
    yield from sql_engines(path, scale)
    name = archive_data.name(min(_FEW, scale.many) // 2)
    resident = [in_child("cold", archive, name)["peak_bytes"] / 1e6 for archive in (path, few)]
    yield Measurement("cold_10m.memory", resident[0], "MB", f"{_FEW:,} objects", resident[1], 1.05, at_most=True)
    remove(path)
    remove(few)


def _cold(path: Path, literal: Path, count: int) -> Iterator[Measurement]:
    chance = archive_data.seeded(_SEED)
    names = [archive_data.name(chance.randrange(count)) for _ in range(_SAMPLE)]
    with counting(literal) as source:
        peer = _literal_cold(source, chance.randrange(count))
    with counting(path) as source:
        nothing = _worst(_read(source, name, None) for name in names)
        with DesReader(source) as reader:
            hint = reader.hint()
        hinted = _worst(_read(source, name, hint) for name in names)
        warm = _worst(_read_warm(source, names))
        absent = _worst(_read_absent(source, hint, number) for number in range(_SAMPLE))
    yield Measurement("cold_10m", nothing.seconds * 1e3, "ms, modelled", LITERAL, peer.seconds * 1e3)
    for side, found, requests, kilobytes in (("", nothing, 3, 100), ("hint_", hinted, 2, 20)):
        yield _at_most(f"cold_10m.{side}requests", found.requests, "requests", peer.requests, requests)
        yield _at_most(f"cold_10m.{side}kb", found.bytes / 1e3, "KB", peer.bytes / 1e3, kilobytes)
    yield _at_most("cold_10m.warm_requests", warm.requests, "requests", 1, 1)
    yield _at_most("cold_10m.absent_requests", absent.requests, "requests", peer.requests - 1, 1)


def _at_most(name: str, value: float, unit: str, peer_value: float, goal: float) -> Measurement:
    return Measurement(name, value, unit, LITERAL, peer_value, goal, at_most=True, absolute=True)


def _worst(found: Iterator[Traffic]) -> Traffic:
    """The most requests and the most bytes that any of them took."""
    every = list(found)
    return Traffic(max(one.requests for one in every), max(one.bytes for one in every))


def _read(source: CountingSource, name: str, hint: bytes | None) -> Traffic:
    source.take()
    with DesReader(source, hint=hint) as reader:
        _check(name, reader.get_file(name))
    return source.take()


def _read_warm(source: CountingSource, names: Sequence[str]) -> Iterator[Traffic]:
    """Every object again, by a reader that has the page of its name."""
    with DesReader(source) as reader:
        for name in names:
            reader.get_file(name)
            source.take()
            reader.get_file(name)
            yield source.take()


def _read_absent(source: CountingSource, hint: bytes | None, number: int) -> Traffic:
    name = _ABSENT.format(number)
    source.take()
    with DesReader(source, hint=hint) as reader:
        try:
            reader.get_file(name)
        except KeyError:
            return source.take()
    raise UnequalWork(f"{name} is not in the archive, and was found")


def _check(name: str, data: bytes) -> None:
    if data != archive_data.small_object(int(name[-8:])):
        raise UnequalWork(f"{name} did not come back as it was")


def _literal_cold(source: CountingSource, number: int) -> Traffic:
    size = source.head()
    *_, start, length, count = _V1_FOOTER.unpack(source.read_range(size - _V1_FOOTER.size, _V1_FOOTER.size))
    index = source.read_range(start, length)
    entry = memoryview(index)[length // count * number :]  # all names have one length
    offset, data_length, *_ = _V1_ENTRY.unpack_from(entry, 2 + int.from_bytes(entry[:2], "little"))
    _check(archive_data.name(number), source.read_range(offset, data_length))
    return source.take()
