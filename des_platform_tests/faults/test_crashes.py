"""Workers killed between each two steps of the protocols, and at random: every file once, and none lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import sqlalchemy as sa
import yaml

from des_platform.catalog import dead_letters, files
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform

TABLE = "orders_files"


@pytest.fixture
def sources(platform: Platform, moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue and a source table, both named by the sources file."""
    sqs: Any = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    # A message in the hands of a killed worker comes back after a second.
    url = sqs.create_queue(QueueName="crashes", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    settings = platform.settings
    with platform.catalog.begin() as connection:
        connection.execute(
            sa.text(
                f"CREATE TABLE {TABLE} (id bigserial PRIMARY KEY, s3_bucket text, s3_key text, status text NOT NULL "
                "DEFAULT 'pending', claimed_by text, claimed_at timestamptz, packed_at timestamptz, des_name text, "
                "des_container_id bigint, error_message text)"
            )
        )
    queue = {"name": "events", "url": url, "endpoint": moto_endpoint, "visibility_seconds": 1, "wait_seconds": 0}
    database = {
        "name": "orders",
        "connection": {
            "type": "postgres",
            "host": settings.pg_host,
            "port": settings.pg_port,
            "database": settings.pg_db,
            "username": settings.pg_user,
            "password": "${DES_PG_PASSWORD}",
            "schema": "public",
        },
        "table": {"name": TABLE},
        "claim_timeout_seconds": 1,
        "batch_size": 10,
    }
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"queues": [queue], "sources": [database]}))
    monkeypatch.setenv("DES_SOURCES", str(path))


def crash(**asked: int) -> dict[str, int]:
    """Kill workers as asked, and let the last one finish."""
    done = subprocess.run(
        [sys.executable, "-m", "des_platform_tests.faults.crashing"],
        input=json.dumps({"table": TABLE, "seed": 7, **asked}),
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    print(result)  # noqa: T201 - the counts are what the test is for
    return result


def assert_every_file_once(platform: Platform, fed: int, poison: int) -> None:
    with platform.catalog.begin() as connection:
        rows = [row for batch in files.of_day(connection, DATASET.name, DAY) for row in batch]
        letters = dead_letters.newest(connection, 1000)
        statuses = dict(connection.execute(sa.text(f"SELECT status, count(*) FROM {TABLE} GROUP BY 1")).tuples().all())  # noqa: S608
        named = connection.execute(
            sa.text(f"SELECT s3_key, des_name FROM {TABLE} WHERE status = 'packed'")  # noqa: S608
        ).tuples()
        found = set(named.all())
    assert len(rows) == len({row.key for row in rows}) == len({row.name for row in rows}) == fed
    assert {row.state for row in rows} == {"packed"}
    assert statuses == {"packed": fed // 2} | ({"failed": poison // 2} if poison else {})
    assert found == {(row.key, row.name) for row in rows if "/table-" in row.key}
    assert len(letters) == poison
    for row in rows:
        assert platform.reader.read(row) == row.key.encode()


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.chaos), 9])
@pytest.mark.usefixtures("sources")
def test_workers_killed_behind_their_steps_lose_nothing_and_double_nothing(platform: Platform, stride: int) -> None:
    counts = crash(stride=stride)

    assert counts["killed"] > 50 // stride
    assert_every_file_once(platform, counts["fed"], 0)


@pytest.mark.chaos
@pytest.mark.usefixtures("sources")
def test_a_hundred_workers_killed_at_random_lose_nothing_and_double_nothing(platform: Platform) -> None:
    counts = crash(kills=100)

    assert counts["killed"] == 100
    assert_every_file_once(platform, counts["fed"], counts["poison"])
