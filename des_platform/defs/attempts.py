"""How sensors ask again for runs that failed, and see which of theirs are still under way.

A batch is what a run is for: the same work has the same batch, whenever it is asked for. It stands in the run's tags.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import dagster as dg

_Work = TypeVar("_Work")

BATCH_TAG = "des/batch"
MAX_ATTEMPTS = 5
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def in_flight(instance: dg.DagsterInstance, tags: Mapping[str, str], tag: str) -> set[str]:
    """The values of a tag in the runs that have certain tags and have not ended."""
    runs = instance.get_run_records(dg.RunsFilter(tags=dict(tags), statuses=IN_FLIGHT))
    return {record.dagster_run.tags[tag] for record in runs if tag in record.dagster_run.tags}


def next_attempt(instance: dg.DagsterInstance, batch: str, *, pause_seconds: float) -> int | None:
    """Number of the next attempt at a batch, or None while it should rest or, after `MAX_ATTEMPTS`, for good.

    Args:
        instance: where the earlier runs are.
        batch: what they were for.
        pause_seconds: rest after the first failure; doubles with each.
    """
    earlier = instance.get_run_records(dg.RunsFilter(tags={BATCH_TAG: batch}))
    # A cancelled run says nothing about its batch: killed as often as may be, a demo goes on where it was.
    ended = [record.end_time or 0.0 for record in earlier if record.dagster_run.status != dg.DagsterRunStatus.CANCELED]
    rest = pause_seconds * 2 ** (len(ended) - 1)
    if len(ended) >= MAX_ATTEMPTS or (ended and time.time() < max(ended) + rest):
        return None
    return len(earlier)


def due_attempts(
    instance: dg.DagsterInstance,
    wanted: Iterable[tuple[_Work, str, str]],
    busy: set[str],
    *,
    most: int,
    pause_seconds: float,
) -> Iterator[tuple[_Work, str, int]]:
    """What is to be requested now: work whose partition has no run in flight, and whose batch need not rest.

    Args:
        instance: where the earlier runs are.
        wanted: work, its partition and its batch, the most urgent first.
        busy: partitions with a run in flight; those that are yielded are added.
        most: runs that may be in flight at once.
        pause_seconds: as for `next_attempt`.

    Yields:
        The work, its batch, and the number of the attempt.
    """
    for work, partition, batch in wanted:
        if len(busy) >= most:
            return
        if partition in busy:
            continue
        attempt = next_attempt(instance, batch, pause_seconds=pause_seconds)
        if attempt is not None:
            busy.add(partition)
            yield work, batch, attempt
