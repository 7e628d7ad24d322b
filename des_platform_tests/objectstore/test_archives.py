"""Archives that go straight into a store, and come from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from des_platform.archive import DesReader, DesWriter, MemorySource
from des_platform.archive.recovery import recover
from des_platform.archive.verification import verify
from des_platform.objectstore import PreconditionFailed
from des_platform_tests.archive.corpus import (
    ARCHIVE_ID,
    CREATED_MS,
    catalogue_offset,
    contents,
    documents,
    noise,
    write,
)

if TYPE_CHECKING:
    from des_platform.objectstore import ObjectStore
    from des_platform_tests.objectstore.relay import Relay

MOST = 1 << 30
ITEMS = {f"{number}": noise(number, 1_000_000) for number in range(25)} | documents(2_000)


def stored(store: ObjectStore, key: str, **options: Any) -> bytes:
    with DesWriter(store.open_sink(key), created_ms=CREATED_MS, **options) as archive:
        archive.add_many(ITEMS.items())
    return store.get(key, max_bytes=MOST)


@pytest.mark.parametrize("threads", [0, 1])
def test_an_archive_that_is_streamed_into_a_store_is_the_same_as_a_file(store: ObjectStore, threads: int) -> None:
    assert stored(store, "a.des", archive_id=ARCHIVE_ID, threads=threads) == write(ITEMS)


def test_appending_copies_on_the_server_and_sends_the_new_bytes_alone(
    s3_store: ObjectStore, relayed_store: ObjectStore, relay: Relay
) -> None:
    base = stored(s3_store, "base.des", archive_id=ARCHIVE_ID)
    source = relayed_store.as_source("base.des")
    sink = relayed_store.open_sink("next.des")
    with DesWriter(sink, base=source, created_ms=CREATED_MS) as archive:
        archive.add_file("new", noise(99, 100_000))
    data = s3_store.get("next.des", max_bytes=MOST)
    assert contents(data) == ITEMS | {"new": noise(99, 100_000)}
    assert data[: catalogue_offset(base)] == base[: catalogue_offset(base)]
    assert verify(MemorySource(data)).ok
    assert any("x-amz-copy-source" in request.headers for request in relay.requests)
    assert sum(request.sent for request in relay.requests) < 9_000_000
    assert s3_store.get("base.des", max_bytes=MOST) == base


def test_an_exception_leaves_no_object(store: ObjectStore) -> None:
    def fail() -> None:
        with DesWriter(store.open_sink("a.des")) as archive:
            archive.add_many(ITEMS.items())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [info.key for info in store.list()] == []


def test_an_archive_that_came_to_stand_there_meanwhile_is_kept(store: ObjectStore) -> None:
    archive = DesWriter(store.open_sink("a.des"))
    archive.add_file("a", b"1")
    store.put("a.des", b"another")
    with pytest.raises(PreconditionFailed):
        archive.close()
    assert store.get("a.des", max_bytes=MOST) == b"another"


def test_an_archive_in_a_store_is_checked_and_recovered_into_the_store(store: ObjectStore) -> None:
    data = stored(store, "a.des", archive_id=ARCHIVE_ID)
    assert verify(store.as_source("a.des")).ok
    store.put("torn.des", data[:12_000_000])
    assert not verify(store.as_source("torn.des")).ok
    found = recover(store.as_source("torn.des"), store.open_sink("back.des"))
    back = store.get("back.des", max_bytes=MOST)
    assert found.recovered == len(DesReader(MemorySource(back))) == len(contents(back))
    assert found.recovered >= 10
    assert contents(back).items() <= ITEMS.items()
