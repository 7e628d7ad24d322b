from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from des_platform.catalog import containers, partitions
from des_platform.catalog.database import Catalog, alembic_config
from des_platform.catalog.tables import SCHEMA, metadata
from des_platform.cli.demo.state import free_port
from des_platform.settings import ConfigurationError
from des_platform_tests.catalog.conftest import settings_for
from des_platform_tests.catalog.support import at_once
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from typing import Any

    from des_platform.cli.demo.postgres import PostgresAddress
    from des_platform.settings import Settings


def only_ours(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != "schema" or name == SCHEMA


def definitions(connection: sa.Connection) -> set[str]:
    """Every constraint and index of the schema in PostgreSQL's own words: Alembic compares no conditions."""
    statement = sa.text(
        "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = CAST(CAST(:schema AS text) AS regnamespace) "
        "UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = CAST(:schema AS text)"
    )
    return {found for found in connection.scalars(statement, {"schema": SCHEMA}) if "alembic_version" not in found}


def revision_row(catalog: Catalog) -> tuple[str, str]:
    """The revision, and the transaction that wrote it."""
    with catalog.begin() as connection:
        return tuple(connection.execute(sa.text(f"SELECT version_num, xmin FROM {SCHEMA}.alembic_version")).one())  # noqa: S608 - a constant


def test_migrations_create_the_columns_and_tables_that_are_declared(catalog: Catalog) -> None:
    options = {
        "include_schemas": True,
        "include_name": only_ours,
        "version_table_schema": SCHEMA,
        "compare_server_default": True,
    }
    with catalog.begin() as connection:
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, metadata) == []


def test_migrations_create_the_constraints_and_indexes_that_are_declared(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        migrated = definitions(connection)
        connection.execute(sa.schema.DropSchema(SCHEMA, cascade=True))
        connection.execute(sa.schema.CreateSchema(SCHEMA))
        metadata.create_all(connection)

        assert migrated == definitions(connection)


def test_opening_a_migrated_catalogue_again_changes_nothing(catalog: Catalog, settings: Settings) -> None:
    before = revision_row(catalog)

    with Catalog.open(settings) as again, again.begin() as connection:
        assert [dataset.name for dataset in partitions.registered_datasets(connection)] == [DATASET.name]
    assert revision_row(catalog) == before


def test_containers_from_before_versions_are_of_version_1(catalog: Catalog, settings: Settings) -> None:
    config = alembic_config()
    with catalog.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.execute(
            sa.text(
                f"INSERT INTO {SCHEMA}.containers (dataset, day, shard, generation, key, etag, size, sha256, files, "  # noqa: S608 - a constant
                "external_files, fencing_token, state) "
                "VALUES (:dataset, :day, 0, 1, 'key', 'etag', 1, 'sha', 1, 0, 1, 'published')"
            ),
            {"dataset": DATASET.name, "day": DAY},
        )

    with Catalog.open(settings) as again, again.begin() as connection:
        found = containers.published(connection, DATASET.name, DAY, 0)
    assert found is not None
    assert (found.key, found.archive_version, found.hint) == ("key", 1, None)


def test_an_empty_database_may_be_opened_by_several_at_once(settings: Settings) -> None:
    opened = at_once([partial(Catalog.open, settings)] * 4)

    assert len({revision_row(catalog) for catalog in opened}) == 1
    for catalog in opened:
        catalog.close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(catalog: Catalog, settings: Settings) -> None:
    with catalog.begin() as connection:
        connection.execute(sa.text(f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'"))  # noqa: S608 - a constant
    before = revision_row(catalog)

    with pytest.raises(ConfigurationError, match=r"revision 9999.*install the newer version"):
        Catalog.open(settings)

    assert revision_row(catalog) == before


def test_a_server_out_of_reach_is_named_with_its_variables(postgres_address: PostgresAddress) -> None:
    address = replace(postgres_address, port=free_port())

    with pytest.raises(ConfigurationError) as caught:
        Catalog.open(settings_for(address))

    message = str(caught.value)
    assert f"{address.host}:{address.port}/{address.database}" in message
    assert all(f"DES_PG_{part}" in message for part in ("HOST", "PORT", "USER", "PASSWORD", "DB"))
    assert address.password not in message


@pytest.mark.parametrize(
    ("password", "database", "said"), [("hush-hush", "", "authentication failed"), ("", "nowhere", "does not exist")]
)
def test_a_server_that_refuses_is_named_without_the_password(
    postgres_address: PostgresAddress, password: str, database: str, said: str
) -> None:
    right = postgres_address
    address = replace(right, password=password or right.password, database=database or right.database)

    with pytest.raises(ConfigurationError, match=said) as caught:
        Catalog.open(settings_for(address))

    assert address.password not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_connection_that_the_server_ended_is_replaced_unnoticed(catalog: Catalog, settings: Settings) -> None:
    with catalog.begin() as connection:
        pid = connection.execute(sa.select(sa.func.pg_backend_pid())).scalar_one()
    with Catalog.open(settings) as another:
        end_session(another, pid)

    with catalog.begin() as connection:
        assert connection.scalar(sa.select(sa.func.pg_backend_pid())) != pid


def test_an_exception_undoes_the_whole_transaction(catalog: Catalog) -> None:
    other = DATASET.model_copy(update={"name": "other"})

    with suppress(KeyError), catalog.begin() as connection:
        partitions.register_datasets(connection, [other])
        raise KeyError

    with catalog.begin() as connection:
        assert partitions.registered_datasets(connection) == [DATASET]


def end_session(catalog: Catalog, pid: int) -> None:
    """End another session of the server and wait until it is gone."""
    with catalog.begin() as connection:
        assert connection.scalar(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
