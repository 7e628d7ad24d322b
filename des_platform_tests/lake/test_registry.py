from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import lake_partitions, lake_tables
from des_platform.catalog.database import Catalog
from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake.registry import sync_partitions
from des_platform_tests.lake.conftest import COLUMNS, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.lake_partitions import LakePartition
    from des_platform.lake.tables import Lake
    from des_platform.settings import Settings

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    with Catalog.open(settings) as opened:
        yield opened


def registered(catalog: Catalog, name: str) -> None:
    with catalog.begin() as connection:
        assert lake_tables.create(connection, name)


def known(catalog: Catalog, name: str) -> dict[str, LakePartition]:
    with catalog.begin() as connection:
        table = lake_tables.by_name(connection, name)
        assert table is not None
        return {found.partition_path: found for found in lake_partitions.of_table(connection, table.table_id)[0]}


def test_the_catalogue_knows_what_the_table_holds(catalog: Catalog, lake: Lake) -> None:
    lake.ensure_table("ticks", COLUMNS, [PartitionRule.parse("list(symbol)")])
    registered(catalog, "ticks")
    assert sync_partitions(catalog, lake, "ticks") is None  # it has no rows yet
    days = {FIRST: [rows(3, "a/b=../c"), rows(2, "B")], SECOND: [rows(5, "B")]}
    lake.replace_days("ticks", days, properties={})

    assert sync_partitions(catalog, lake, "ticks") == 3

    found = known(catalog, "ticks")
    assert {path: each.record_count for path, each in found.items()} == {
        "_day=2026-03-01/symbol=a%2Fb%3D..%2Fc": 3,
        "_day=2026-03-01/symbol=B": 2,
        "_day=2026-03-02/symbol=B": 5,
    }
    first = found["_day=2026-03-01/symbol=B"]
    assert (first.first_day, first.last_day, first.file_count) == (FIRST, FIRST, 1)
    assert first.size_bytes > 0
    assert found["_day=2026-03-01/symbol=a%2Fb%3D..%2Fc"].partition_values["symbol"] == "a/b=../c"


def test_an_unchanged_table_costs_no_look_at_its_partitions(
    catalog: Catalog, ticks: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(catalog, "ticks")
    ticks.replace_day("ticks", FIRST, [rows(3)], properties={})
    assert sync_partitions(catalog, ticks, "ticks") == 1

    monkeypatch.setattr(type(ticks), "partitions", lambda *_: pytest.fail("the partitions were read"))

    assert sync_partitions(catalog, ticks, "ticks") is None


def test_a_partition_that_is_gone_is_no_longer_listed(catalog: Catalog, ticks: Lake) -> None:
    registered(catalog, "ticks")
    ticks.replace_days("ticks", {FIRST: [rows(3)], SECOND: [rows(4)]}, properties={})
    sync_partitions(catalog, ticks, "ticks")

    ticks.replace_day("ticks", FIRST, [], properties={})
    sync_partitions(catalog, ticks, "ticks")

    assert {path: each.record_count for path, each in known(catalog, "ticks").items()} == {"_day=2026-03-02": 4}


def test_a_table_that_nobody_registered_is_told(catalog: Catalog, ticks: Lake) -> None:
    with pytest.raises(LookupError, match="no table 'ticks' is registered"):
        sync_partitions(catalog, ticks, "ticks")
