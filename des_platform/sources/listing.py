"""What no event announced: a bucket's listing compared with the inbox.

Events get lost, listings do not. A listing goes through a dataset's prefix in key order, a time budget at a time, and
records what the inbox does not hold; recording is the same insert that the queue's draining does, so the two may meet.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters, inbox
from des_platform.catalog.dataset import Dataset, dataset_of
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.inbox import InboxEntry
from des_platform.objectstore import InvalidKey, check_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import Buckets, ObjectInfo

_PAGE = 1000


@dataclass(slots=True)
class ListingReport:
    """What one listing did: objects seen, files new to the inbox, dead letters, and the key where time ran out."""

    seen: int = 0
    new: int = 0
    dead: int = 0
    next_key: str | None = None


def list_new(
    catalog: Catalog,
    buckets: Buckets,
    dataset: Dataset,
    datasets: Sequence[Dataset],
    *,
    start_after: str | None = None,
    seconds: float,
) -> ListingReport:
    """Record the files of one dataset that the inbox does not know.

    Args:
        catalog: where the inbox is.
        buckets: where the files are.
        dataset: whose prefix to list.
        datasets: all datasets; a longer prefix takes a file away from this one.
        start_after: key at which the last listing ran out of time.
        seconds: time budget; a page that has begun is finished.
    """
    report = ListingReport()
    deadline = time.monotonic() + seconds
    page: list[ObjectInfo] = []
    for info in buckets.bucket(dataset.bucket).list(dataset.prefix, start_after=start_after):
        page.append(info)
        if len(page) == _PAGE:
            _record(catalog, dataset, datasets, page, report)
            page = []
            if time.monotonic() > deadline:
                report.next_key = info.key
                return report
    _record(catalog, dataset, datasets, page, report)
    return report


def _record(
    catalog: Catalog, dataset: Dataset, datasets: Sequence[Dataset], page: list[ObjectInfo], report: ListingReport
) -> None:
    report.seen += len(page)
    mine = [info for info in page if dataset_of(datasets, dataset.bucket, info.key) == dataset]
    refused = {info.key: problem for info in mine if (problem := _problem(info.key))}
    with catalog.begin() as connection:
        # Refused keys are not asked for: the database takes none that is not Unicode.
        asked = [(info.key, info.etag) for info in mine if info.key not in refused]
        new = inbox.unknown(connection, dataset.bucket, asked)
        entries = []
        for info in mine:
            if (info.key, info.etag) not in new:
                continue
            try:
                day = dataset.day_of(info.key, info.last_modified)
            except ValueError as error:
                refused[info.key] = str(error)
                continue
            entries.append(InboxEntry(dataset.name, day, dataset.bucket, info.key, info.etag, info.size, "listing"))
        letters = [DeadLetter("listing", f"{dataset.bucket}/{key}", problem) for key, problem in refused.items()]
        dead_letters.add(connection, *letters)
        report.new += inbox.record(connection, entries)
    report.dead += len(refused)


def _problem(key: str) -> str | None:
    try:
        check_key(key)
    except InvalidKey as error:
        return str(error)
    return None
