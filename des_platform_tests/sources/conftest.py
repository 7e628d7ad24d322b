"""A real queue that a platform drains, and source databases, each with a table of files."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform.catalog import partitions
from des_platform.sources.queues.queue import QueueConfig
from des_platform_tests.sources.databases.mariadb import MariaDbAddress, mariadb_database, mariadb_server, missing
from des_platform_tests.sources.databases.support import METADATA, SourceFiles, owners_engine
from des_platform_tests.sources.support import Post

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.cli.demo.postgres import PostgresAddress
    from des_platform_tests.platform import Platform

_numbers = itertools.count(1)


@pytest.fixture
def queue_config(moto_endpoint: str) -> QueueConfig:
    """An empty queue, which says so at once."""
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = client.create_queue(QueueName="files")["QueueUrl"]
    return QueueConfig(name="files", url=url, endpoint=moto_endpoint, wait_seconds=0)


@pytest.fixture
def post(platform: Platform, queue_config: QueueConfig) -> Post:
    """A queue that tells of files on `file://`."""
    return open_post(platform, queue_config)


@pytest.fixture
def any_post(any_platform: Platform, queue_config: QueueConfig) -> Post:
    return open_post(any_platform, queue_config)


@pytest.fixture
def hasty_post(platform: Platform, queue_config: QueueConfig) -> Post:
    """A queue that hands a message out again after a second, unless it is deleted."""
    return open_post(platform, queue_config.model_copy(update={"visibility_seconds": 1}))


def open_post(platform: Platform, queue_config: QueueConfig) -> Post:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
    return Post(platform, queue_config)


@pytest.fixture
def s3_client(moto_endpoint: str) -> Any:
    """Another client of the same server: what a stranger to the platform sees and does."""
    return boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")


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
