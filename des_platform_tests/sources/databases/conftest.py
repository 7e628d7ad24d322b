"""Source databases that are real: PostgreSQL and MariaDB, each with a table of files."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from des_platform_tests.sources.databases.mariadb import MariaDbAddress, mariadb_database, mariadb_server, missing
from des_platform_tests.sources.databases.support import METADATA, SourceFiles, owners_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.cli.demo.postgres import PostgresAddress

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def _mariadb() -> Iterator[MariaDbAddress]:
    absent = missing()
    if absent is not None:
        pytest.skip(f"{absent} is not installed: apt-get install mariadb-server")
    with mariadb_server() as address:
        yield address


@pytest.fixture
def mariadb_files(_mariadb: MariaDbAddress) -> Iterator[SourceFiles]:
    """A table of files in MariaDB."""
    with mariadb_database(_mariadb, f"source_{next(_numbers)}") as address:
        connection = {
            "type": "mariadb",
            "host": address.host,
            "port": address.port,
            "database": address.database,
            "username": address.user,
            "password": address.password,
        }
        yield from _files(connection)


@pytest.fixture
def postgres_files(postgres_address: PostgresAddress) -> Iterator[SourceFiles]:
    """A table of files in PostgreSQL."""
    yield from _files(
        {
            "type": "postgres",
            "host": postgres_address.host,
            "port": postgres_address.port,
            "database": postgres_address.database,
            "username": postgres_address.user,
            "password": postgres_address.password,
        }
    )


@pytest.fixture(params=["postgres_files", "mariadb_files"])
def source_files(request: pytest.FixtureRequest) -> SourceFiles:
    """A table of files, once in PostgreSQL and once in MariaDB."""
    made: SourceFiles = request.getfixturevalue(request.param)
    return made


def _files(connection: dict[str, object]) -> Iterator[SourceFiles]:
    engine = owners_engine(connection)
    METADATA.create_all(engine)
    yield SourceFiles(connection, engine)
    engine.dispose()
