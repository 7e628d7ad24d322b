"""Servers that the whole suite shares: each is real, starts once a session, and is reset between tests."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.cli.demo.postgres import PostgresAddress
    from des_platform_tests.objectstore.relay import Relay
    from des_platform_tests.platform import Platform

_database_numbers = itertools.count(1)

# A shell's background job inherits Ctrl-C ignored, and so would every program that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


_LONGEST = ("/ui/", "/cli/test_demo.py", "/chaos/", "/bench/test_archive.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, or one worker ends long after the others."""
    items.sort(key=lambda item: not any(part in item.nodeid for part in _LONGEST))


@pytest.fixture(scope="session")
def _moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_endpoint(_moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty S3 and SQS server over HTTP, with credentials for it in the environment."""
    import urllib.request

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    reset = urllib.request.Request(f"{_moto}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    return _moto


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresAddress]:
    from des_platform.cli.demo.postgres import EmbeddedPostgres

    with server_folder() as folder:
        server = EmbeddedPostgres(folder, durable=False)
        try:
            yield server.start()
        finally:
            server.stop()


@pytest.fixture
def postgres_address(_postgres: PostgresAddress) -> Iterator[PostgresAddress]:
    """A fresh, empty database of this test's own on a real server."""
    import psycopg

    from des_platform.cli.demo.processes import wait_until

    address = replace(_postgres, database=f"test_{next(_database_numbers)}")
    with psycopg.connect(_postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {address.database} TEMPLATE template0".encode())
        yield address
        # FORCE alone would do, but PostgreSQL looks only every 0.1 s whether the sessions that it ended are gone.
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        sessions = partial(connection.execute, end, [address.database])
        wait_until(lambda: not sessions().fetchall(), 10, "the test's sessions have ended")
        connection.execute(f"DROP DATABASE {address.database} WITH (FORCE)".encode())


@pytest.fixture
def postgres_url(postgres_address: PostgresAddress) -> str:
    """SQLAlchemy URL of a fresh, empty database of this test's own."""
    return postgres_address.url("postgresql+psycopg")


def _platform(store_url: str, address: PostgresAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    """A platform whose settings also stand in the environment, where Dagster's resource looks for them."""
    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import Buckets
    from des_platform.settings import load_settings
    from des_platform_tests.platform import LANDING, Platform

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = address.environment() | {
        "DES_STORE_URL": store_url,
        "DES_SCRATCH": str(scratch),
        "DES_THREADS": "4",
        "DES_CATALOG_WAIT_SECONDS": "0",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    buckets = Buckets(settings)
    for bucket in (LANDING, settings.bucket):
        buckets.create(bucket)
    return Platform(settings, Catalog.open(settings), buckets, scratch)


@pytest.fixture
def platform(postgres_address: PostgresAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Platform]:
    """An empty platform on `file://`."""
    made = _platform(f"file://{tmp_path / 'store'}", postgres_address, monkeypatch, tmp_path)
    yield made
    made.catalog.close()


@pytest.fixture
def s3_platform(
    postgres_address: PostgresAddress, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Platform]:
    """An empty platform on an S3 server over HTTP."""
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    made = _platform("s3://", postgres_address, monkeypatch, tmp_path)
    yield made
    made.catalog.close()


@pytest.fixture(params=["platform", "s3_platform"])
def any_platform(request: pytest.FixtureRequest) -> Platform:
    """An empty platform, once on `file://` and once on S3."""
    made: Platform = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def relay(moto_endpoint: str) -> Iterator[Relay]:
    """Counts the requests to the S3 server of whoever uses its address."""
    from des_platform_tests.objectstore.relay import Relay, start

    made = Relay()
    server = start(made, moto_endpoint)
    yield made
    server.shutdown()
    server.server_close()
