"""Writers that meet on one shard: one stops inside a read until the other is where it should be."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog import leases, tables
from des_platform.catalog.leases import LeaseLost
from des_platform.files.reader import FileReader
from des_platform_tests.packing.conftest import archive_keys, contents_of, published, put_all
from des_platform_tests.platform import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.catalog.files import FileRow
    from des_platform.packing.pack import Packer
    from des_platform_tests.platform import Platform

CONTENTS = {"a.txt": b"a" * 500, "b.txt": b"b" * 400, "large.txt": b"abc" * 5000}


class Interrupted(FileReader):
    """Calls back once, before the first original is read."""

    def __init__(self, platform: Platform, callback: Callable[[], None]) -> None:
        super().__init__(platform.catalog, platform.buckets)
        self._callback: Callable[[], None] | None = callback
        self._calling = threading.Lock()

    def original(self, file: FileRow) -> Iterator[bytes]:
        with self._calling:
            if self._callback is not None:
                callback, self._callback = self._callback, None
                callback()
        return super().original(file)


def interrupted(platform: Platform, callback: Callable[[], None]) -> Packer:
    """A packer that calls back in the middle of its work, and whose lease is not renewed meanwhile."""
    return replace(platform.packer, reader=Interrupted(platform, callback), lease_seconds=600)


def expire_lease(platform: Platform) -> None:
    with platform.catalog.begin() as connection:
        connection.execute(sa.update(tables.leases).values(expires_at=sa.func.clock_timestamp()))


def test_of_two_packers_at_once_one_publishes(one_shard: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    put_all(one_shard, CONTENTS)
    refused = threading.Event()
    acquire = leases.acquire

    def watched(connection: sa.Connection, name: str, *, seconds: float) -> leases.Lease | None:
        lease = acquire(connection, name, seconds=seconds)
        if lease is None:
            refused.set()
        return lease

    monkeypatch.setattr(leases, "acquire", watched)
    met: list[bool] = []

    with ThreadPoolExecutor(1) as pool:
        second = []

        def meet() -> None:
            second.append(pool.submit(one_shard.packer.pack, one_shard.dataset, DAY, 0))
            met.append(refused.wait(10))

        first = interrupted(one_shard, meet).pack(one_shard.dataset, DAY, 0)
        late = second[0].result()

    assert met == [True]
    assert (first.newly_packed, late.newly_packed) == (3, 0)
    found = published(one_shard)
    assert found is not None
    assert (found.generation, first.container, late.container) == (1, found, found)
    assert archive_keys(one_shard) == {found.key}
    assert contents_of(one_shard) == CONTENTS


@pytest.mark.parametrize("late_file", [False, True])
def test_a_writer_whose_lease_was_taken_over_changes_nothing(one_shard: Platform, *, late_file: bool) -> None:
    put_all(one_shard, CONTENTS)
    contents = dict(CONTENTS)

    def take_over() -> None:
        if late_file:
            contents["late.txt"] = b"late"
            put_all(one_shard, {"late.txt": b"late"})
        expire_lease(one_shard)
        one_shard.packer.pack(one_shard.dataset, DAY, 0)

    with pytest.raises(LeaseLost, match="taken over"):
        interrupted(one_shard, take_over).pack(one_shard.dataset, DAY, 0)

    found = published(one_shard)
    assert found is not None
    assert (found.generation, found.files) == (1, len(contents))
    assert one_shard.buckets.own.head(found.key).etag == found.etag
    assert contents_of(one_shard) == contents
    [again] = one_shard.pack()
    assert (again.newly_packed, again.container) == (0, found)


def test_a_lease_that_another_writer_only_took_stops_the_publishing(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)

    def take() -> None:
        expire_lease(one_shard)
        with one_shard.catalog.begin() as connection:
            assert leases.acquire(connection, f"{one_shard.dataset.name}/{DAY}/0", seconds=600)

    with pytest.raises(LeaseLost):
        interrupted(one_shard, take).pack(one_shard.dataset, DAY, 0)
    assert published(one_shard) is None
    assert {row.state for row in one_shard.rows().values()} == {"ready"}

    expire_lease(one_shard)
    one_shard.pack()
    assert contents_of(one_shard) == CONTENTS


def test_a_writer_that_crashes_before_publishing_leaves_the_shard_to_the_next(one_shard: Platform) -> None:
    put_all(one_shard, CONTENTS)

    def crash() -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        interrupted(one_shard, crash).pack(one_shard.dataset, DAY, 0)
    assert published(one_shard) is None
    [report] = one_shard.pack()
    assert report.newly_packed == 3
    assert contents_of(one_shard) == CONTENTS
    assert not [*one_shard.scratch.iterdir()]
