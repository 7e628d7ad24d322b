"""What reading one object costs: from nothing, with a hint, again; and what an archive takes to open."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from des_platform.archive import DesReader
from des_platform_tests.bench import archive_data
from des_platform_tests.bench.archive_measure import in_child, in_turn, remove
from des_platform_tests.bench.archive_writing import LITERAL, write_des, write_literal
from des_platform_tests.bench.literal_v1 import LiteralV1Reader
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from des_platform_tests.bench.archive_measure import Scale

_OPENINGS = 101
_SMALL_ARCHIVE = 1000
_GETS = 20_000
_SEED = 5


def open_first_read(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """Opening an archive of as many objects as `bulk` has, and reading one of them."""
    path, literal = folder / "opened.des", folder / "opened.v1"
    names, payloads = archive_data.names(scale.bulk), archive_data.small_payloads(scale.bulk)
    write_des(path, names, payloads)
    write_literal(literal, names, payloads)
    chance = archive_data.seeded(_SEED)
    sides = {
        "des": partial(_open_often, path, names, chance),
        LITERAL: lambda: _open_literal(literal, chance.choice(names)),
    }
    seconds = in_turn(sides, scale.rounds)
    ours, theirs = seconds["des"] / _OPENINGS * 1e3, seconds[LITERAL] * 1e3
    yield Measurement("open_first_read", ours, "ms", LITERAL, theirs, 0.2, at_most=True, absolute=True)
    remove(path)
    remove(literal)
    yield _growth(folder, scale)


def _growth(folder: Path, scale: Scale) -> Measurement:
    """A large archive beside one of a thousand objects."""
    sides = {}
    for side, count in (("large", scale.small), ("small", _SMALL_ARCHIVE)):
        path, names = folder / f"{side}.des", archive_data.names(count)
        write_des(path, names, archive_data.small_payloads(count))
        sides[side] = partial(_open_often, path, names, archive_data.seeded(_SEED))
    seconds = in_turn(sides, 2 * scale.rounds + 1)
    for side in sides:
        remove(folder / f"{side}.des")
    large, small = (seconds[side] / _OPENINGS * 1e3 for side in sides)
    return Measurement("open_first_read.growth", large, "ms", f"{_SMALL_ARCHIVE:,} objects", small, 1.2, at_most=True)


def warm_get(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """Random objects of 4 KiB from an open archive, checksum compared, beside the literal reader, which has none."""
    path, literal = folder / "warm.des", folder / "warm.v1"
    names, payloads = archive_data.names(scale.bulk), archive_data.bulk_payloads(scale.bulk)
    write_des(path, names, payloads)
    write_literal(literal, names, payloads)
    chosen = archive_data.seeded(_SEED).choices(names, k=min(_GETS, scale.bulk))
    with DesReader(path) as ours, LiteralV1Reader(literal) as theirs:

        def get(reader: DesReader | LiteralV1Reader) -> int:
            get_file = reader.get_file
            return sum(len(get_file(name)) for name in chosen)

        get(ours)
        seconds = in_turn({"des": lambda: get(ours), LITERAL: lambda: get(theirs)}, 2 * scale.rounds + 1)
    remove(path)
    remove(literal)
    microseconds = {side: taken / len(chosen) * 1e6 for side, taken in seconds.items()}
    yield Measurement("warm_get", microseconds["des"], "us/get", LITERAL, microseconds[LITERAL], 1.1, at_most=True)


def v1_open(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """Opening an archive of version 1 and reading one object, each side in processes of its own."""
    path, tiny = folder / "opened.v1", folder / "tiny.v1"
    names = [archive_data.flat(name) for name in archive_data.names(scale.small)]
    write_des(path, names, archive_data.small_payloads(scale.small), format_version=1)
    name = names[scale.small // 2]
    write_literal(tiny, [name], [b"tiny"])
    found = {
        side: [in_child(f"open_{side}", tiny, path, name) for _ in range(scale.rounds)] for side in ("des", "literal")
    }
    remove(path)
    remove(tiny)

    def least(side: str, what: str) -> float:
        return min(float(one[what]) for one in found[side])

    yield Measurement(
        "v1_speed.open",
        least("des", "seconds") * 1e3,
        "ms",
        LITERAL,
        least("literal", "seconds") * 1e3,
        1 / 5,
        at_most=True,
    )
    ours, theirs = least("des", "bytes") / 1e6, least("literal", "bytes") / 1e6
    yield Measurement("v1_speed.open_memory", ours, "MB", LITERAL, theirs, 0.1, at_most=True)


def _open_often(path: Path, names: Sequence[str], chance: random.Random) -> int:
    """Open the archive for one object, many times; return the size of the last one."""
    size = 0
    for _ in range(_OPENINGS):
        with DesReader(path) as reader:
            size = len(reader.get_file(chance.choice(names)))
    return size


def _open_literal(path: Path, name: str) -> int:
    with LiteralV1Reader(path) as reader:
        return len(reader.get_file(name))
