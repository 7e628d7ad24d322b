"""A dataset's table follows its definition, and every step is a version in the catalogue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from des_platform.catalog import lake_tables, partitions, schema_versions
from des_platform.catalog.table_spec import TableSpec
from des_platform.lake.evolution import evolve_declared, parse_definition
from des_platform.lake.tables import Lake
from des_platform.lake.types import SchemaConflict
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform

NAME = DATASET.name
FIRST = TableSpec(columns={"id": "int", "price": "float"})


@pytest.fixture
def lake(platform: Platform) -> Iterator[Lake]:
    """A lake with the dataset's table as its first definition made it, and one row in it."""
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [DATASET])
    with closing(Lake(platform.settings)) as opened:
        opened.ensure_table(NAME, FIRST.columns)
        batch = pa.record_batch(
            {
                "id": pa.array([1], pa.int32()),
                "price": pa.array([0.5], pa.float32()),
                "_file": pa.array(["f"]),
                "_line": pa.array([1], pa.int64()),
            }
        )
        opened.replace_day(NAME, DAY, [batch], properties={})
        yield opened


def versions(platform: Platform) -> list[schema_versions.SchemaVersion]:
    with platform.catalog.begin() as connection:
        table = lake_tables.by_name(connection, NAME)
        assert table is not None
        return schema_versions.listing(connection, table.table_id, 100, 0)[0]


def declared(lake: Lake) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in lake.schema_of(NAME) if not name.startswith("_")]


def row(lake: Lake) -> dict[str, Any]:
    (found,) = lake.scan_day(NAME, DAY, 10).to_pylist()
    return {name: value for name, value in found.items() if not name.startswith("_")}


def test_the_first_version_is_what_the_table_was_made_with(platform: Platform, lake: Lake) -> None:
    assert evolve_declared(lake, platform.catalog, NAME, FIRST) == []
    (version,) = versions(platform)
    assert (version.version_number, version.created_by, version.is_current) == (1, "definition", True)
    assert [(field.name, field.type) for field in parse_definition(version.schema_definition)] == declared(lake)


def test_an_unchanged_definition_writes_nothing(platform: Platform, lake: Lake) -> None:
    evolve_declared(lake, platform.catalog, NAME, FIRST)
    before = lake.table(NAME).metadata_location
    assert evolve_declared(lake, platform.catalog, NAME, FIRST) == []
    assert lake.table(NAME).metadata_location == before
    assert len(versions(platform)) == 1


def test_additions_renames_and_wider_types_become_a_version_with_its_changes(platform: Platform, lake: Lake) -> None:
    evolve_declared(lake, platform.catalog, NAME, FIRST)
    spec = TableSpec(columns={"id": "long", "cost": "double", "size": "decimal(9, 2)"}, renames={"cost": "price"})
    evolve_declared(lake, platform.catalog, NAME, spec)
    assert row(lake) == {"id": 1, "cost": 0.5, "size": None}
    newest = versions(platform)[0]
    with platform.catalog.begin() as connection:
        made = schema_versions.changes_of(connection, newest.schema_version_id)
    assert newest.version_number == 2
    assert newest.iceberg_schema_id == lake.table(NAME).metadata.current_schema_id
    assert {(change.change_type, change.column_name, change.status) for change in made} == {
        ("change_type", "id", "applied"),
        ("rename_column", "price", "applied"),
        ("change_type", "price", "applied"),
        ("add_column", "size", "applied"),
    }
    assert evolve_declared(lake, platform.catalog, NAME, spec) == []


def test_a_column_that_is_no_longer_declared_stays_until_it_is_listed_as_dropped(
    platform: Platform, lake: Lake
) -> None:
    evolve_declared(lake, platform.catalog, NAME, TableSpec(columns={"id": "int"}))
    assert row(lake) == {"id": 1, "price": 0.5}
    evolve_declared(lake, platform.catalog, NAME, TableSpec(columns={"id": "int"}, drops=("price",)))
    assert row(lake) == {"id": 1}


def test_a_definition_without_columns_leaves_what_was_inferred(platform: Platform, lake: Lake) -> None:
    assert evolve_declared(lake, platform.catalog, NAME, TableSpec()) == []
    assert row(lake) == {"id": 1, "price": 0.5}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (TableSpec(columns={"id": "string"}), "cannot be read as string"),
        (TableSpec(columns={"ID": "int"}), "differ in case alone"),
        (TableSpec(columns={"id": "long"}, compatibility="full"), "not forward compatible"),
        (TableSpec(columns={"n": "int"}, renames={"n": "id"}, compatibility="forward"), "not forward compatible"),
    ],
)
def test_what_is_not_permitted_changes_neither_the_table_nor_the_versions(
    platform: Platform, lake: Lake, spec: TableSpec, reason: str
) -> None:
    evolve_declared(lake, platform.catalog, NAME, FIRST)
    before = lake.table(NAME).metadata_location
    with pytest.raises(SchemaConflict, match=reason):
        evolve_declared(lake, platform.catalog, NAME, spec)
    assert lake.table(NAME).metadata_location == before
    assert len(versions(platform)) == 1


def test_loads_that_bring_the_same_definition_at_once_make_one_version(platform: Platform, lake: Lake) -> None:
    evolve_declared(lake, platform.catalog, NAME, FIRST)
    spec = TableSpec(columns={"id": "int", "price": "float", "size": "long"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: evolve_declared(lake, platform.catalog, NAME, spec), range(4)))
    assert declared(lake) == [("id", "int"), ("price", "float"), ("size", "long")]
    assert [version.version_number for version in versions(platform)] == [2, 1]


def test_a_version_that_a_dead_load_did_not_record_is_recorded_by_the_next(platform: Platform, lake: Lake) -> None:
    evolve_declared(lake, platform.catalog, NAME, FIRST)
    lake.ensure_table(NAME, {**FIRST.columns, "size": "long"})
    evolve_declared(lake, platform.catalog, NAME, TableSpec(columns={**FIRST.columns, "size": "long"}))
    assert [len(version.schema_definition["fields"]) for version in versions(platform)] == [3, 2]
