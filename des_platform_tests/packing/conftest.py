from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import containers
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from des_platform.catalog.containers import Container
    from des_platform_tests.platform import Platform


@pytest.fixture
def one_shard(platform: Platform) -> Platform:
    """A platform on `file://` whose dataset has the one shard 0, so that a test knows where its files go."""
    platform.dataset = DATASET.model_copy(update={"shard_bits": 0})
    return platform


def put_all(platform: Platform, contents: dict[str, bytes]) -> None:
    """Bring files as far as waiting for their shards."""
    for name, content in contents.items():
        platform.put(name, content)
    platform.find()
    platform.take_in()
    platform.compress()


def published(platform: Platform, shard: int = 0) -> Container | None:
    with platform.catalog.begin() as connection:
        return containers.published(connection, platform.dataset.name, DAY, shard)


def all_published(platform: Platform) -> list[Container]:
    return [found for shard in range(platform.dataset.shards) if (found := published(platform, shard))]


def archive_keys(platform: Platform) -> set[str]:
    """Keys of the archives that are in the bucket."""
    return {info.key for info in platform.buckets.own.list("archives/") if info.key.endswith(".des")}


def contents_of(platform: Platform) -> dict[str, bytes]:
    """What a reader that has nothing open gets for every file of the day."""
    from des_platform.files.reader import FileReader

    reader = FileReader(platform.catalog, platform.buckets)
    return {name: reader.read(row) for name, row in platform.rows().items()}
