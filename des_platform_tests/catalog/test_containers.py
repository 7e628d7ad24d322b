from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog import containers, files, leases
from des_platform_tests.catalog.support import at_once, catalogue_one, container
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.leases import Lease


@pytest.fixture
def lease(catalog: Catalog) -> Lease:
    with catalog.begin() as connection:
        taken = leases.acquire(connection, "shard", seconds=600)
    assert taken is not None
    return taken


def publish(catalog: Catalog, lease: Lease, key: str, shard: int = 0) -> Container:
    with catalog.begin() as connection:
        return containers.publish(connection, container(key, shard=shard), lease)


def test_readers_see_the_archive_that_was_published_last(catalog: Catalog, lease: Lease) -> None:
    old, new = publish(catalog, lease, "old"), publish(catalog, lease, "new")
    publish(catalog, lease, "neighbour", shard=1)

    with catalog.begin() as connection:
        assert containers.published(connection, DATASET.name, DAY, 0) == new
        assert containers.by_id(connection, old.container_id) == old
        assert containers.published(connection, DATASET.name, DAY, 2) is None
        assert containers.count_published(connection, DATASET.name) == (2, 200)
        assert containers.count_published(connection, "another") == (0, 0)
    assert (old.generation, new.generation) == (1, 2)


def test_a_hint_is_64_bytes_or_none(catalog: Catalog, lease: Lease) -> None:
    hint = bytes(range(64))
    with catalog.begin() as connection:
        known = containers.publish(connection, replace(container("known"), hint=hint), lease)
        without = containers.publish(connection, replace(container("old"), archive_version=1, hint=None), lease)
        assert containers.by_id(connection, known.container_id).hint == hint
        assert containers.by_id(connection, without.container_id).hint is None
    with pytest.raises(sa.exc.IntegrityError, match="containers_hint_check"), catalog.begin() as connection:
        containers.publish(connection, replace(container("cut"), hint=hint[:-1]), lease)


def test_publications_at_once_take_their_turns(catalog: Catalog, lease: Lease) -> None:
    done = at_once([partial(publish, catalog, lease, f"key-{number}") for number in range(4)])

    assert sorted(one.generation for one in done) == [1, 2, 3, 4]
    with catalog.begin() as connection:
        assert containers.published(connection, DATASET.name, DAY, 0) == max(done, key=lambda one: one.generation)


def test_a_file_that_was_left_behind_in_a_superseded_archive_is_counted(catalog: Catalog, lease: Lease) -> None:
    catalogue_one(catalog)
    old = publish(catalog, lease, "old")
    with catalog.begin() as connection:
        files.mark_packed(connection, DATASET.name, DAY, 0, ["DES_one"], old.container_id)
        assert containers.misplaced_files(connection) == 0

    publish(catalog, lease, "new")

    with catalog.begin() as connection:
        assert containers.misplaced_files(connection) == 1
