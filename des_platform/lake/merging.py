"""Which small partitions would be better off as one.

Partitions are merged where they differ in nothing but what a coarser strategy would put together: hash buckets, spans,
list values of one date. Those of different dates never are: a date is what gets replaced, expired and asked for.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from des_platform.lake.formatting import format_file_size, format_record_count
from des_platform.lake.spans import date_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from des_platform.catalog.lake_partitions import LakePartition


class MergePlan(BaseModel):
    """Partitions that would be better off as one.

    Attributes:
        action: `merge`.
        partitions: their numbers.
        estimated_savings: files fewer afterwards: each is one request and one footer for every reader.
        size_bytes: bytes that would be written anew.
        summary: the same in words.
    """

    action: Literal["merge"] = "merge"
    partitions: list[int]
    estimated_savings: int
    size_bytes: int
    summary: str


def merge_plans(partitions: Iterable[LakePartition], min_bytes: int) -> list[MergePlan]:
    """Plan merges of the partitions below a size, each into one of about that size."""
    small = sorted(
        (partition for partition in partitions if partition.file_count and partition.size_bytes < min_bytes),
        key=lambda partition: (_dates(partition), partition.partition_path),
    )
    return [
        _plan(merged)
        for _, same_dates in groupby(small, key=_dates)
        for merged in _filled(same_dates, min_bytes)
        if len(merged) > 1
    ]


def _dates(partition: LakePartition) -> list[tuple[str, str]]:
    return sorted(date_values(partition.partition_values).items())


def _filled(partitions: Iterable[LakePartition], min_bytes: int) -> Iterator[list[LakePartition]]:
    """Consecutive partitions, each group just above the size, the last one perhaps below."""
    group: list[LakePartition] = []
    size = 0
    for partition in partitions:
        group.append(partition)
        size += partition.size_bytes
        if size >= min_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def _plan(merged: Sequence[LakePartition]) -> MergePlan:
    files = sum(partition.file_count for partition in merged)
    size = sum(partition.size_bytes for partition in merged)
    rows = format_record_count(sum(partition.record_count for partition in merged))
    return MergePlan(
        partitions=[partition.partition_id for partition in merged],
        estimated_savings=files - 1,
        size_bytes=size,
        summary=f"{files} files with {rows} rows in {len(merged)} partitions become one of {format_file_size(size)}",
    )
