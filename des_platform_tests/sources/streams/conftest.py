"""A stream whose client is a stranger's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform_tests.sources.streams.support import Bench

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform


@pytest.fixture
def stranger(moto_endpoint: str) -> Any:
    """Anybody's client of Kinesis."""
    return boto3.client("kinesis", endpoint_url=moto_endpoint, region_name="us-east-1")


@pytest.fixture
def streamed(platform: Platform, moto_endpoint: str) -> Bench:
    """A job on `file://` whose chunks go through a stream."""
    return Bench.make(platform, moto_endpoint, objects=False)


@pytest.fixture(params=["stream", "objects"])
def bench(request: pytest.FixtureRequest, platform: Platform, moto_endpoint: str) -> Bench:
    """A job on `file://`, its chunks in a stream, or in a bucket."""
    return Bench.make(platform, moto_endpoint, objects=request.param == "objects")
