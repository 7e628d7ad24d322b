from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import cleanups
from des_platform.compression.cleanup.removal import remove_due
from des_platform_tests.cli.commands import complaint, des_here
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform

CONTENTS = {"small.txt": b"a" * 500, "large.txt": b"abc" * 5000}


@pytest.fixture
def packed(platform: Platform) -> Platform:
    platform.dataset = DATASET.model_copy(update={"originals": "after-verify"})
    for name, content in CONTENTS.items():
        platform.put(name, content)
    platform.run_all()
    return platform


def states(platform: Platform) -> set[str]:
    with platform.catalog.begin() as connection:
        return {share.state for share in cleanups.shares(connection, "things")}


def clean_up(platform: Platform) -> int:
    return remove_due(platform.catalog, platform.buckets, platform.dataset, DAY, threads=2).removed


def test_the_plan_is_shown_and_nothing_is_changed(packed: Platform) -> None:
    shown = des_here("cleanup", "plan", "things")
    assert shown.returncode == 0, shown.stderr
    assert "originals of things: after-verify" in shown.stdout
    assert f"{DAY}" in shown.stdout
    assert "2 originals with 15,500 bytes are planned" in shown.stdout
    files = [json.loads(line) for line in des_here("cleanup", "plan", "things", DAY, "--json").stdout.splitlines()]
    rows = packed.rows()
    assert {(file["bucket"], file["key"], file["size"], file["state"]) for file in files} == {
        (LANDING, row.key, row.size, "planned") for row in rows.values()
    }
    assert states(packed) == set()


def test_what_is_withdrawn_stays_until_it_is_reinstated(packed: Platform) -> None:
    done = des_here("cleanup", "withdraw", "things", DAY)
    assert (done.returncode, done.stdout) == (0, "2 withdrawn\n")
    assert clean_up(packed) == 0
    shown = des_here("cleanup", "plan", "things", DAY)
    assert "withdrawn by des cleanup withdraw" in " ".join(shown.stdout.split())
    assert "0 originals with 0 bytes are planned" in shown.stdout

    done = des_here("cleanup", "reinstate", "things", "--all")
    assert (done.returncode, done.stdout) == (0, "2 planned again\n")
    assert clean_up(packed) == 2
    done = des_here("cleanup", "withdraw", "things", "--all")
    assert done.stdout == "0 withdrawn; the originals of 2 were removed before\n"


def test_a_mistake_is_one_line_and_exit_code_2(packed: Platform) -> None:
    for arguments, said in (
        (["plan", "nothing"], "no dataset is called 'nothing'; known are things"),
        (["withdraw", "things", DAY, "--all"], "name a day as YYYY-MM-DD, or say --all"),
    ):
        done = des_here("cleanup", *arguments)
        assert done.returncode == 2
        assert said in complaint(done)
    assert states(packed) == set()


def test_of_a_dataset_that_keeps_its_originals_nothing_is_reinstated(platform: Platform) -> None:
    platform.find()
    done = des_here("cleanup", "reinstate", "things", "--all")
    assert done.returncode == 2
    assert "things keeps its originals" in complaint(done)
