"""A platform beside a DataHub: its REST interface over HTTP, its table in the same PostgreSQL server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from des_platform_tests.datahub_server import DataHubServer, create_table
from des_platform_tests.sources.datahub.support import DataHub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.cli.demo.postgres import PostgresAddress
    from des_platform_tests.platform import Platform


@pytest.fixture
def server() -> Iterator[DataHubServer]:
    with DataHubServer() as made:
        yield made


@pytest.fixture
def database(postgres_address: PostgresAddress) -> Iterator[psycopg.Connection[Any]]:
    """The DataHub's own database, without its table."""
    with psycopg.connect(postgres_address.url(), autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        yield connection


@pytest.fixture
def hub(
    platform: Platform, server: DataHubServer, database: psycopg.Connection[Any], postgres_address: PostgresAddress
) -> DataHub:
    create_table(database)
    server.database = postgres_address.url()
    return DataHub(platform, server, database, postgres_address)


@pytest.fixture
def s3_hub(
    s3_platform: Platform, server: DataHubServer, database: psycopg.Connection[Any], postgres_address: PostgresAddress
) -> DataHub:
    create_table(database)
    server.database = postgres_address.url()
    return DataHub(s3_platform, server, database, postgres_address)
