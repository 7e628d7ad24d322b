"""The archive beside other ways to keep small objects, and beside its own first version as anyone would write it.

Every file is in memory. Payloads do not shrink, the JSON documents apart. What the peers are and how they are used
stands in `archive_peers`, what is written in `archive_data`, how it is measured in `archive_measure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform_tests.bench import (
    archive_damage,
    archive_many,
    archive_reading,
    archive_writing,
)
from des_platform_tests.bench.archive_measure import Scale, work_folder
from des_platform_tests.bench.runner import bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.bench.results import Measurement

_FULL = Scale(bulk=200_000, small=1_000_000, documents=200_000, many=10_000_000, rounds=3, stride=1)
_QUICK = Scale(bulk=20_000, small=100_000, documents=5_000, many=200_000, rounds=3, stride=31)
_ROWS = (
    archive_writing.write_bulk,
    archive_writing.write_small_cpu,
    archive_writing.overhead_bytes,
    archive_reading.open_first_read,
    archive_reading.warm_get,
    archive_many.many_objects,
    archive_writing.json_size,
    archive_damage.bit_flips,
    archive_damage.truncation,
    archive_writing.v1_speed,
    archive_reading.v1_open,
)


@bench
def archive(*, quick: bool) -> Iterator[Measurement]:
    """The archive format: writing, reading, size, damage, SQL; beside tar, zip, Parquet and others."""
    with work_folder() as folder:
        for row in _ROWS:
            yield from row(folder, _QUICK if quick else _FULL)
