"""Transfers: ranges, small puts, uploads and downloads through the façade beside boto3, s3fs and rclone.

Each side does its work in a process of its own, in turn with the others; CPU is that of this process alone, without
imports and the making of the client. Values are medians of the rounds; the fastest round of each stands on standard
error. boto3 is always its classic client: its CRT one ignores `endpoint_url`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform_tests.bench import transfers_measure, transfers_servers
from des_platform_tests.bench.results import Measurement
from des_platform_tests.bench.runner import bench
from des_platform_tests.bench.transfers_measure import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.bench.transfers_measure import Taken

_MEBIBYTES = 256
_QUICK_MEBIBYTES = 64
_ROUNDS = 7
_QUICK_ROUNDS = 3
_QUARTER = 0.25
_ROWS = (
    Row("ranges", "nginx", ("des_platform", "boto3"), wall_goal=5.0, cpu_goal=_QUARTER),
    Row("puts", "nginx", ("des_platform", "boto3", "s3fs"), wall_goal=4.0, cpu_goal=_QUARTER),
    Row("upload", "rclone", ("des_platform", "boto3", "s3fs", "rclone"), wall_goal=None, cpu_goal=0.5),
    Row("download", "nginx", ("des_platform", "boto3"), wall_goal=None, cpu_goal=None),
)


@bench
def transfers(*, quick: bool) -> Iterator[Measurement]:
    """Transfers: ranges, small puts, uploads and downloads; beside boto3, s3fs and rclone."""
    mebibytes, rounds = (_QUICK_MEBIBYTES, _QUICK_ROUNDS) if quick else (_MEBIBYTES, _ROUNDS)
    with transfers_servers.servers(mebibytes) as place:
        for row in _ROWS:
            if problem := place.missing.get(row.server):
                transfers_measure.note(f"{row.name}: left out, {problem}")
                continue
            taken = transfers_measure.in_turn(place, row, rounds)
            yield from _measurements(row, taken)


def _measurements(row: Row, taken: dict[str, Taken]) -> Iterator[Measurement]:
    ours = taken.pop("des_platform")
    for peer, theirs in taken.items():
        goals = (row.wall_goal, row.cpu_goal) if peer == "boto3" else (None, None)
        name = row.name if peer == "boto3" else f"{row.name}_{peer}"
        yield Measurement(f"{name}_rate", 1 / ours.wall, "1/s", peer, 1 / theirs.wall, goals[0])
        yield Measurement(f"{name}_cpu", ours.cpu, "CPU s", peer, theirs.cpu, goals[1], at_most=True)
