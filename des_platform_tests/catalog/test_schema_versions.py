"""Versions of a table's schema: their numbers, the one that is current, and what becomes of their changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import lake_tables, schema_versions

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog

DEFINITION = {"fields": [{"name": "a", "type": "long", "required": False}]}


@pytest.fixture
def table_id(catalog: Catalog) -> int:
    with catalog.begin() as connection:
        made = lake_tables.create(connection, "events")
    assert made is not None
    return made.table_id


def create(catalog: Catalog, table_id: int, by: str = "ada") -> schema_versions.SchemaVersion:
    with catalog.begin() as connection:
        return schema_versions.create(connection, table_id, DEFINITION, created_by=by)


def test_the_newest_version_is_current_and_the_table_says_its_number(catalog: Catalog, table_id: int) -> None:
    first, second = create(catalog, table_id), create(catalog, table_id, "bob")
    with catalog.begin() as connection:
        assert schema_versions.current(connection, table_id) == second
        former = schema_versions.get(connection, first.schema_version_id)
        table = lake_tables.get(connection, table_id)
    assert (first.version_number, second.version_number) == (1, 2)
    assert former is not None
    assert not former.is_current
    assert table is not None
    assert table.schema_version == 2
    assert second.schema_definition == DEFINITION


def test_versions_created_at_once_get_numbers_of_their_own(catalog: Catalog, table_id: int) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: create(catalog, table_id), range(12)))
    assert sorted(version.version_number for version in made) == list(range(1, 13))
    with catalog.begin() as connection:
        found, total = schema_versions.listing(connection, table_id, 100, 0)
    assert total == 12
    assert [version.version_number for version in found if version.is_current] == [12]


def test_versions_come_in_pages_with_their_true_total(catalog: Catalog, table_id: int) -> None:
    for _ in range(5):
        create(catalog, table_id)
    with catalog.begin() as connection:
        page, total = schema_versions.listing(connection, table_id, 2, 2)
    assert ([version.version_number for version in page], total) == ([3, 2], 5)


def test_a_table_that_nobody_knows_has_no_version(catalog: Catalog) -> None:
    with pytest.raises(LookupError, match="no lake table 404"):
        create(catalog, 404)
    with catalog.begin() as connection:
        assert schema_versions.current(connection, 404) is None
        assert schema_versions.get(connection, 404) is None
        assert schema_versions.listing(connection, 404, 10, 0) == ([], 0)


def test_a_change_goes_from_pending_to_applied_to_rolled_back(catalog: Catalog, table_id: int) -> None:
    version = create(catalog, table_id)
    with catalog.begin() as connection:
        made = schema_versions.add_change(
            connection,
            version.schema_version_id,
            change_type="rename_column",
            column_name="a",
            old_value={"name": "a"},
            new_value={"name": "b"},
            description="rename a to b",
        )
        ids = [made.schema_change_id]
        assert made.status == "pending"
        assert schema_versions.mark_rolled_back(connection, ids, "bob") == []
        (applied,) = schema_versions.mark_applied(connection, ids, "ada")
        assert (applied.status, applied.applied_by) == ("applied", "ada")
        assert schema_versions.mark_applied(connection, ids, "eve") == []
        assert schema_versions.mark_failed(connection, ids, "late") == []
        (undone,) = schema_versions.mark_rolled_back(connection, ids, "bob")
        assert (undone.status, undone.applied_by, undone.rolled_back_by) == ("rolled_back", "ada", "bob")
        assert undone.new_value == {"name": "b"}
        assert schema_versions.changes_of(connection, version.schema_version_id) == [undone]
        assert schema_versions.change(connection, ids[0]) == undone


def test_a_failed_change_says_why_and_may_be_tried_again(catalog: Catalog, table_id: int) -> None:
    version = create(catalog, table_id)
    with catalog.begin() as connection:
        made = schema_versions.add_change(
            connection,
            version.schema_version_id,
            change_type="add_column",
            column_name="b",
            old_value=None,
            new_value={"type": "long"},
        )
        ids = [made.schema_change_id]
        (failed,) = schema_versions.mark_failed(connection, ids, "no room\0")
        assert failed.error_message == "no room\N{REPLACEMENT CHARACTER}"
        (applied,) = schema_versions.mark_applied(connection, ids, "ada")
    assert (applied.status, applied.error_message) == ("applied", None)


def test_the_iceberg_schema_is_recorded_once_the_table_has_it(catalog: Catalog, table_id: int) -> None:
    version = create(catalog, table_id)
    with catalog.begin() as connection:
        schema_versions.set_iceberg_schema(connection, version.schema_version_id, 4)
        found = schema_versions.current(connection, table_id)
    assert found is not None
    assert found.iceberg_schema_id == 4
