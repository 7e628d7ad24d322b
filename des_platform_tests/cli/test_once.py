from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from des_platform.cli.demo import once
from des_platform.cli.demo.feed import Fed
from des_platform.cli.demo.once import OnceDriver, close_unfinished_runs
from des_platform.cli.demo.progress import Progress
from des_platform.defs.attempts import MAX_ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_runs_of_killed_demos_cost_neither_attempts_nor_pauses(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.buckets.bucket("landing").put("documents/a.txt", b"a")
    keys = []
    for _ in range(MAX_ATTEMPTS + 2):
        driver = OnceDriver(instance)
        driver._tick("listing_sensor")
        (request,) = driver._requests()
        keys.append(request.run_key)
        instance.create_run_for_job(
            driver._repository.get_job(request.job_name or ""),
            tags=dict(request.tags),
            status=dg.DagsterRunStatus.STARTED,
        )
        assert driver._requests() == []
        assert close_unfinished_runs(instance) == 1
    assert len(set(keys)) == len(keys)


def test_demo_ends_where_a_partition_was_given_up(
    platform: Platform,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(once, "_STANDSTILL_SECONDS", 0.0)
    platform.buckets.bucket("landing").put("documents/a.txt", b"a")
    driver = OnceDriver(instance)
    driver._tick("listing_sensor")
    (request,) = driver._requests()
    job = driver._repository.get_job(request.job_name or "")
    for _ in range(MAX_ATTEMPTS):
        run = instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
    fed = Fed(digests={"documents/a.txt": b""}, finished=True)
    with Progress() as progress:
        driver.drive(platform.catalog, fed, progress, lambda: None)
    assert "given up" in capsys.readouterr().err
