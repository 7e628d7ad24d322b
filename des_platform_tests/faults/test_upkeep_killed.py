"""A night of upkeep killed behind each of its steps: the table reads the same, and the next night leaves it clean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.chaos), 53])
def test_upkeep_that_is_killed_changes_no_row_and_is_finished_by_the_next(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    del platform  # its settings are in the environment
    monkeypatch.setenv("DES_LEASE_SECONDS", "1")  # a killed night's lease is waited for
    done = subprocess.run(
        [sys.executable, "-m", "des_platform_tests.faults.upkeep_crashing"],
        input=json.dumps({"stride": stride}),
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    print(counts)  # noqa: T201 - the counts are what the test is for
    assert counts["killed"] > 50 // stride
    if stride == 1:
        assert counts["behind"].keys() == {
            "create",
            "write_table",
            "close",
            "__exit__",
            "delete",
            "commit_table",
            "do_commit",
        }
