"""`des drain`: sources emptied into the inbox by a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform.catalog import inbox, partitions
from des_platform.cli.demo.processes import wait_until
from des_platform_tests.cli.commands import PATIENCE_SECONDS, complaint, des
from des_platform_tests.sources.support import announce

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform_tests.platform import Platform


@pytest.fixture
def send(platform: Platform, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sends to the queue of the settings."""
    sqs: Any = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
    monkeypatch.setenv("DES_QUEUE_URL", url)
    monkeypatch.setenv("DES_QUEUE_ENDPOINT", moto_endpoint)
    return lambda body: sqs.send_message(QueueUrl=url, MessageBody=body)


def register(platform: Platform) -> None:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])


def pending(platform: Platform) -> int:
    with platform.catalog.begin() as connection:
        return inbox.pending(connection)


def test_what_waits_is_taken_and_told(platform: Platform, send: Callable[[str], None]) -> None:
    register(platform)
    send(announce(platform.put("a.txt", b"content")))
    send("rubbish")

    done = des("drain", env=os.environ)

    assert done.returncode == 0
    assert done.stdout.startswith("files: 2 taken, 1 new, 0 known, 0 deletions, 1 dead letters")
    assert pending(platform) == 1


def test_it_goes_on_until_it_is_asked_to_end(platform: Platform, send: Callable[[str], None]) -> None:
    register(platform)
    process = subprocess.Popen(
        [Path(sys.executable).with_name("des"), "drain", "files", "--forever"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for number in (1, 2):
            send(announce(platform.put(f"{number}.txt", b"content")))
            wait_until(lambda number=number: pending(platform) == number, PATIENCE_SECONDS, "it is in the inbox")  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0
    assert sum(map(int, re.findall(r"(\d+) new", output))) == 2


@pytest.mark.usefixtures("send")
def test_without_any_dataset_no_message_is_taken(platform: Platform) -> None:
    assert "knows no dataset yet" in complaint(des("drain", env=os.environ))


@pytest.mark.usefixtures("send")
def test_a_source_that_nobody_configured_is_named_with_those_that_are(platform: Platform) -> None:
    register(platform)
    assert "no source is called orders; known are files" in complaint(des("drain", "orders", env=os.environ))


@pytest.mark.usefixtures("platform")
def test_without_sources_the_settings_are_named() -> None:
    line = complaint(des("drain", env=os.environ))
    assert "DES_QUEUE_URL" in line
    assert "DES_SOURCES" in line
