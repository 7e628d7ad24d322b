"""Ingestion jobs killed between each two steps: every row once, none lost, and counts that are true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog.tables import ingested_files, ingestion_batches
from des_platform.lake.tables import Lake
from des_platform_tests.lake.ingesting import TABLE, Ingesting

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.chaos), 41])
def test_a_job_killed_behind_its_steps_loses_nothing_and_doubles_nothing(platform: Platform, stride: int) -> None:
    with closing(Lake(platform.settings)) as lake:
        ingesting = Ingesting(platform, lake)
        # As many tries as may be needed: those that are killed before they begin count, too.
        job_id = ingesting.job(batch_size=3, max_retries=20)
        done = subprocess.run(
            [sys.executable, "-m", "des_platform_tests.faults.ingesting"],
            input=json.dumps({"job": job_id, "stride": stride}),
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)

        assert told["killed"] > 1
        assert ingesting.ids() == list(range(2 * told["files"]))
        rejected = Counter(row["_file"] for row in ingesting.rows(f"{TABLE}_rejected"))
        assert len(rejected) == told["files"]
        assert set(rejected.values()) == {1}
    job = ingesting.state(job_id)
    assert job.status == "completed"
    with platform.catalog.begin() as connection:
        assert set(connection.scalars(sa.select(ingested_files.c.state))) == {"done"}
        open_batches = sa.select(sa.func.count()).where(ingestion_batches.c.status.in_(["running", "pending"]))
        assert connection.scalar(open_batches) == 0
        brought = sa.select(sa.func.sum(ingestion_batches.c.records_processed)).where(
            ingestion_batches.c.status == "completed"
        )
        assert connection.scalar(brought) == 2 * told["files"]
