"""What no event announced: a bucket's listing compared with the inbox.

Events get lost, listings do not. A listing goes through a dataset's prefix in key order, a time budget at a time, and
records what the inbox does not hold; recording is the same insert that the queue's draining does, so the two may meet.

`record_page` is what everything shares that tells of a bucket's objects page by page, listings and inventories alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.catalog import inbox
from des_platform.catalog.dataset import Dataset, dataset_of
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.inbox import InboxEntry
from des_platform.objectstore import InvalidKey, check_key
from des_platform.sources.recording import Prepared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import Buckets, ObjectInfo
    from des_platform.sources.source import DrainReport

_PAGE = 1000


@dataclass(slots=True)
class ListingReport:
    """What one listing did: objects seen, files new and known, dead letters, and the key where time ran out."""

    seen: int = 0
    new: int = 0
    known: int = 0
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

    def record(page: list[ObjectInfo]) -> None:
        with catalog.begin() as connection:
            done = record_page(
                connection,
                datasets,
                dataset.bucket,
                page,
                kind="listing",
                origin=f"listing:{dataset.name}",
                only=dataset,
            )
        report.seen += done.received
        report.new += done.new
        report.known += done.known
        report.dead += done.dead

    page: list[ObjectInfo] = []
    for info in buckets.bucket(dataset.bucket).list(dataset.prefix, start_after=start_after):
        page.append(info)
        if len(page) == _PAGE:
            record(page)
            page = []
            if time.monotonic() > deadline and _storable(info.key):
                report.next_key = info.key
                return report
    record(page)
    return report


def record_page(
    connection: sa.Connection,
    datasets: Sequence[Dataset],
    bucket: str,
    page: Sequence[ObjectInfo],
    *,
    kind: Literal["listing", "inventory"],
    origin: str,
    only: Dataset | None = None,
) -> DrainReport:
    """Record those objects of a page that belong to a dataset and that the inbox does not know.

    A key that the platform refuses, or whose day is none of its dataset's, becomes a dead letter. An object of no
    dataset is nobody's business.

    Args:
        connection: inside a transaction.
        datasets: all datasets; the longest prefix that fits takes an object.
        bucket: where the objects are.
        page: the objects.
        kind: what tells of them.
        origin: name of the source that tells of them.
        only: leave other datasets' objects alone.
    """
    prepared = Prepared(origin, received=len(page))
    taken: list[tuple[ObjectInfo, Dataset]] = []
    for info in page:
        dataset = dataset_of(datasets, bucket, info.key)
        if dataset is None or (only is not None and dataset != only):
            continue
        # Refused keys are not asked for: the database takes none that is not Unicode.
        problem = _problem(info.key)
        if problem is None:
            taken.append((info, dataset))
        else:
            prepared.letters.append(DeadLetter(kind, f"{bucket}/{info.key}", problem, origin=origin))
    unknown = inbox.unknown(connection, bucket, [(info.key, info.etag) for info, _ in taken])
    known = 0
    for info, dataset in taken:
        if (info.key, info.etag) not in unknown:
            known += 1
            continue
        try:
            day = dataset.day_of(info.key, info.last_modified)
        except ValueError as error:
            prepared.letters.append(DeadLetter(kind, f"{bucket}/{info.key}", str(error), origin=origin))
            continue
        prepared.entries.append(InboxEntry(dataset.name, day, bucket, info.key, info.etag, info.size, kind))
    done = prepared.write(connection)
    done.known += known
    return done


def _storable(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem(key: str) -> str | None:
    try:
        check_key(key)
    except InvalidKey as error:
        return str(error)
    return None
