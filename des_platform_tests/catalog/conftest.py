"""A catalogue on a real PostgreSQL, migrated, that knows one dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from des_platform.catalog import partitions
from des_platform.catalog.database import Catalog
from des_platform.settings import Settings
from des_platform_tests.platform import DATASET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.cli.demo.postgres import PostgresAddress


@pytest.fixture
def settings(postgres_address: PostgresAddress) -> Settings:
    """Settings that lead to an empty database."""
    return settings_for(postgres_address)


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    with Catalog.open(settings) as opened:
        with opened.begin() as connection:
            partitions.register_datasets(connection, [DATASET])
        yield opened


def settings_for(address: PostgresAddress) -> Settings:
    return Settings(
        pg_host=address.host,
        pg_port=address.port,
        pg_user=address.user,
        pg_password=SecretStr(address.password),
        pg_db=address.database,
        threads=8,
    )
