"""Every test that asks for `store` runs twice: on a folder and on a real S3 server over HTTP."""

from __future__ import annotations

import functools
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform.objectstore import Buckets, ObjectStore
from des_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform_tests.objectstore.relay import Relay

# One part and a little: the smallest body that is uploaded in parts.
LARGE_BYTES = 9 * 1024 * 1024


@pytest.fixture
def file_buckets(tmp_path: Path) -> Buckets:
    return Buckets(Settings(store_url=f"file://{tmp_path}/root", bucket="own"))


@functools.cache
def _s3_buckets(endpoint: str) -> Buckets:
    return Buckets(Settings(store_url="s3://", bucket="own", s3_endpoint=endpoint))


@pytest.fixture
def s3_buckets(moto_endpoint: str) -> Buckets:
    """One for all tests, because boto3 takes 0.2 s to make a client; the server forgets its buckets between them."""
    return _s3_buckets(moto_endpoint)


@pytest.fixture(params=["file", "s3"])
def buckets(request: pytest.FixtureRequest) -> Buckets:
    found = request.getfixturevalue(f"{request.param}_buckets")
    assert isinstance(found, Buckets)
    return found


@pytest.fixture
def store(buckets: Buckets) -> ObjectStore:
    return buckets.create("bucket")


@pytest.fixture
def file_store(file_buckets: Buckets) -> ObjectStore:
    return file_buckets.create("bucket")


@pytest.fixture
def s3_store(s3_buckets: Buckets) -> ObjectStore:
    return s3_buckets.create("bucket")


@pytest.fixture
def s3_client(moto_endpoint: str) -> Any:
    """Another client of the same server: what a stranger to the platform sees and does."""
    return boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")


@pytest.fixture
def relayed_store(relay: Relay, s3_store: ObjectStore) -> ObjectStore:
    """The bucket of `s3_store` through the relay."""
    return Buckets(Settings(store_url="s3://", s3_endpoint=relay.url)).bucket(s3_store.bucket)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[BaseHTTPRequestHandler]], ObjectStore]]:
    """Opens a bucket on a server that misbehaves as its handler says."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRETSECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    with ExitStack() as stack:

        def start(handler: type[BaseHTTPRequestHandler]) -> ObjectStore:
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(server.shutdown)
            return Buckets(Settings(s3_endpoint=f"http://127.0.0.1:{server.server_port}")).bucket("bucket")

        yield start


def pattern(size: int) -> bytes:
    """Bytes in which every offset is recognizable, so that a shifted range is noticed."""
    block = bytes(range(251))
    return (block * (size // len(block) + 1))[:size]
