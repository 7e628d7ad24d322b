"""A platform on either store, and a real queue that it drains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform.catalog import partitions
from des_platform.sources import queue
from des_platform.sources.queue import Queue
from des_platform_tests.sources.support import Post

if TYPE_CHECKING:
    from des_platform.settings import Settings
    from des_platform_tests.platform import Platform


@pytest.fixture(params=["platform", "s3_platform"])
def any_platform(request: pytest.FixtureRequest) -> Platform:
    made: Platform = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def queue_settings(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of an empty queue; an empty queue says so at once."""
    monkeypatch.setattr(queue, "WAIT_SECONDS", 0)
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    return {"queue_url": client.create_queue(QueueName="files")["QueueUrl"], "queue_endpoint": moto_endpoint}


@pytest.fixture
def post(platform: Platform, queue_settings: dict[str, str]) -> Post:
    """A queue that tells of files on `file://`."""
    return open_post(platform, queue_settings)


@pytest.fixture
def any_post(any_platform: Platform, queue_settings: dict[str, str]) -> Post:
    return open_post(any_platform, queue_settings)


def open_post(platform: Platform, queue_settings: dict[str, str]) -> Post:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
    settings: Settings = platform.settings.model_copy(update=queue_settings)
    return Post(platform, Queue(settings))


@pytest.fixture
def s3_client(moto_endpoint: str) -> Any:
    """Another client of the same server: what a stranger to the platform sees and does."""
    return boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")
