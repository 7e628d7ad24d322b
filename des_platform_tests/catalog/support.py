"""Rows to begin with, and threads that start together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from des_platform.catalog import files, inbox
from des_platform.catalog.containers import NewContainer
from des_platform.catalog.files import NewFile
from des_platform.catalog.inbox import InboxEntry
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from des_platform.catalog.database import Catalog

T = TypeVar("T")


def entry(name: str, *, day: date = DAY, dataset: str = DATASET.name, etag: str = "e1") -> InboxEntry:
    return InboxEntry(dataset, day, LANDING, f"things/{day}/{name}", etag, 7, "listing")


def entries(number: int, *, day: date = DAY, dataset: str = DATASET.name) -> list[InboxEntry]:
    return [entry(f"{dataset}-{index:04d}", day=day, dataset=dataset) for index in range(number)]


def container(key: str, *, shard: int = 0) -> NewContainer:
    return NewContainer(DATASET.name, DAY, shard, key, "etag", 100, "0" * 64, 1, 0, 2, bytes(64))


def catalogue_one(catalog: Catalog, name: str = "one") -> int:
    """Catalogue one file; returns its file id."""
    with catalog.begin() as connection:
        inbox.record(connection, [entry(name)])
        row = inbox.claim(connection, DATASET.name, DAY, after=0, limit=1)[0]
        new = NewFile(row.seq, row.dataset, row.day, row.bucket, row.key, row.etag, 7, "0" * 64, f"DES_{name}", 0)
        files.insert_new(connection, [new])
        inbox.settle(connection, [row.seq], "done")
        found = files.by_name(connection, new.name)
        assert found is not None
        return found.file_id


def at_once(actions: Sequence[Callable[[], T]]) -> list[T]:
    """Start every action in a thread of its own at the same moment; returns their results or raises their error."""
    barrier = threading.Barrier(len(actions), timeout=30)

    def start(action: Callable[[], T]) -> T:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(start, actions, timeout=60))
