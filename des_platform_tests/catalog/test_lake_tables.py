from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog import lake_partitions, lake_tables, partitions
from des_platform.catalog.lake_partitions import Statistics
from des_platform.settings import ConfigurationError
from des_platform_tests.platform import DATASET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.database import Catalog

NAME = DATASET.name


@pytest.fixture
def connection(catalog: Catalog) -> Iterator[sa.Connection]:
    with catalog.begin() as opened:
        yield opened


def partition(path: str, rows: int = 1, day: date | None = None) -> Statistics:
    key, _, value = path.partition("=")
    return Statistics(path, {key: value}, day, day, rows, rows * 10, 1)


def active(connection: sa.Connection, table_id: int) -> dict[str, int]:
    found, total = lake_partitions.of_table(connection, table_id)
    assert total == len(found)
    return {each.partition_path: each.record_count for each in found}


def test_a_dataset_s_table_follows_its_definition_and_an_unchanged_one_costs_no_write(
    connection: sa.Connection,
) -> None:
    made = lake_tables.register(connection, NAME, dataset=NAME)
    connection.execute(sa.text("UPDATE des_catalog.lake_tables SET updated_at = now() - interval '1 day'"))
    aged = lake_tables.by_name(connection, NAME)

    again = lake_tables.register(connection, NAME, dataset=NAME)
    changed = lake_tables.register(connection, NAME, dataset=NAME, partition_by=["list(a)"], compatibility="full")

    assert again == aged
    assert (changed.table_id, changed.partition_by, changed.compatibility) == (made.table_id, ["list(a)"], "full")
    assert aged is not None
    assert changed.updated_at > aged.updated_at


def test_a_dataset_cannot_take_a_table_that_the_api_made(connection: sa.Connection) -> None:
    other = DATASET.model_copy(update={"name": "others"})
    made = lake_tables.create(connection, other.name)
    partitions.register_datasets(connection, [DATASET, other])

    with pytest.raises(ConfigurationError, match="rename the dataset"):
        lake_tables.register(connection, other.name, dataset=other.name)

    assert lake_tables.by_name(connection, other.name) == made


def test_a_name_is_taken_by_a_table_or_a_dataset(connection: sa.Connection) -> None:
    assert lake_tables.create(connection, "mine") is not None
    assert lake_tables.create(connection, "mine") is None
    assert lake_tables.create(connection, NAME) is None


def test_partitions_follow_the_table(connection: sa.Connection) -> None:
    table_id = lake_tables.register(connection, NAME, dataset=NAME).table_id
    lake_partitions.synchronize(connection, table_id, [partition("a=1"), partition("a=2")], 7)

    lake_partitions.synchronize(connection, table_id, [partition("a=2", 5), partition("a=3")], 8)

    assert active(connection, table_id) == {"a=2": 5, "a=3": 1}
    assert lake_partitions.synchronized_snapshot(connection, table_id) == 8
    lake_partitions.synchronize(connection, table_id, [partition("a=1", 9)], 9)
    assert active(connection, table_id) == {"a=1": 9}
    lake_partitions.synchronize(connection, table_id, [], None)
    assert active(connection, table_id) == {}


def test_a_partition_that_a_user_gave_up_stays_so_while_its_data_does(connection: sa.Connection) -> None:
    table_id = lake_tables.register(connection, NAME, dataset=NAME).table_id
    lake_partitions.synchronize(connection, table_id, [partition("a=1")], 1)
    [known], _ = lake_partitions.of_table(connection, table_id)
    lake_partitions.update(connection, known.partition_id, is_active=False)

    lake_partitions.synchronize(connection, table_id, [partition("a=1", 2)], 2)
    assert active(connection, table_id) == {}

    lake_partitions.upsert(connection, table_id, partition("a=1", 3))
    assert active(connection, table_id) == {"a=1": 3}


def test_a_partition_that_did_not_change_is_not_written(connection: sa.Connection) -> None:
    table_id = lake_tables.register(connection, NAME, dataset=NAME).table_id
    lake_partitions.synchronize(connection, table_id, [partition("a=1"), partition("a=2")], 1)
    connection.execute(sa.text("UPDATE des_catalog.lake_partitions SET last_updated = 'epoch'"))

    lake_partitions.synchronize(connection, table_id, [partition("a=1"), partition("a=2", 2)], 2)

    found, _ = lake_partitions.of_table(connection, table_id)
    assert [each.last_updated.year for each in found] == [1970, found[1].created_at.year]


def test_partitions_of_a_range_of_days_share_a_day_with_it(connection: sa.Connection) -> None:
    table_id = lake_tables.register(connection, NAME, dataset=NAME).table_id
    month = Statistics("m=1", {"m": "1"}, date(2024, 1, 1), date(2024, 1, 31), 1, 1, 1)
    days = [partition(f"d={day}", day=date(2024, 1, day)) for day in (1, 15, 31)]
    lake_partitions.synchronize(connection, table_id, [month, *days, partition("none=1")], 1)

    def found(first: int, last: int) -> list[str]:
        asked = date(2024, 1, first), date(2024, 1, last)
        return [each.partition_path for each in lake_partitions.of_table(connection, table_id, days=asked)[0]]

    assert found(15, 15) == ["d=15", "m=1"]
    assert found(2, 14) == ["m=1"]
    assert found(1, 31) == ["d=1", "d=15", "d=31", "m=1"]
    assert lake_partitions.of_table(connection, table_id, 2, 3)[1] == 5
