"""A platform on either store, and a real queue that it drains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform.catalog import partitions
from des_platform.sources.queue import QueueConfig
from des_platform_tests.sources.support import Post

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform


@pytest.fixture(params=["platform", "s3_platform"])
def any_platform(request: pytest.FixtureRequest) -> Platform:
    made: Platform = request.getfixturevalue(request.param)
    return made


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
