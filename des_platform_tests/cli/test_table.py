"""`des table`: what it lists and plans, and what it does once it is told to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import leases
from des_platform_tests.cli.commands import complaint, des_here
from des_platform_tests.lake.upkeep_tables import NAME, age, append_small, content, live, objects, upkeep_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.lake.tables import Lake
    from des_platform.lake.upkeep.upkeep import Upkeep
    from des_platform_tests.platform import Platform


@pytest.fixture
def kept(platform: Platform) -> Iterator[tuple[Lake, Upkeep]]:
    with upkeep_of(platform) as opened:
        append_small(opened[0], files=6)
        yield opened


def test_tables_are_listed_and_described(kept: tuple[Lake, Upkeep]) -> None:
    kept[0].ensure_table("empty", {"a": "long"})
    listed = [json.loads(line) for line in des_here("table", "ls", "--json").stdout.splitlines()]
    assert [(found["table"], found["rows"], found["files"]) for found in listed] == [("empty", 0, 0), (NAME, 60, 6)]
    shown = des_here("table", "show", NAME).stdout
    assert "partition by: _day\n" in shown
    assert "small files: 6\n" in shown
    assert "  price: double\n" in shown


def test_nothing_is_compacted_until_it_is_applied(kept: tuple[Lake, Upkeep]) -> None:
    _, upkeep = kept
    before = content(upkeep)
    planned = des_here("table", "compact", NAME)
    assert planned.returncode == 0, planned.stderr
    assert "6 files, " in planned.stdout
    assert "-> 1 file, " in planned.stdout
    assert "_day=2026-03-01\n" in planned.stdout
    assert planned.stdout.endswith("planned; --apply does it\n")
    assert len(live(upkeep)) == 6

    done = json.loads(des_here("table", "compact", "--all", "--apply", "--json").stdout)
    assert (done["table"], done["files_before"], done["files_after"], done["applied"]) == (NAME, 6, 1, True)
    assert done["bytes_saved"] > 0
    assert len(live(upkeep)) == 1
    assert content(upkeep) == before


def test_old_snapshots_orphans_and_manifests_are_seen_to(platform: Platform, kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=6)
    before = content(upkeep)
    orphan = f"lake/des/{NAME}/data/killed.parquet"
    platform.buckets.own.put(orphan, b"left behind")
    age(platform, 4)

    done = des_here("table", "orphans", NAME, "--apply").stdout
    assert f"1 file, 11 bytes  {orphan}\n" in done
    assert "; in " in done
    assert orphan not in objects(platform)
    assert "12 manifests" in des_here("table", "manifests", NAME, "--apply").stdout
    assert des_here("table", "expire", NAME, "--keep", 1, "--apply").stdout == f"{NAME}: nothing to expire\n"
    assert content(upkeep) == before


def test_a_mistake_is_one_line_and_exit_code_2(kept: tuple[Lake, Upkeep]) -> None:
    del kept
    for arguments, said in (
        (["compact", "nothing"], "the lake has no table 'nothing'; `des table ls` lists"),
        (["compact"], "name tables, or say --all"),
        (["show", "../x"], "the lake has no table '../x'"),
    ):
        done = des_here("table", *arguments)
        assert done.returncode == 2, done.stderr
        assert said in complaint(done)
    assert des_here("table", "orphans", NAME, "--older-than", 0).returncode == 2


def test_a_table_in_other_hands_is_left_to_them_and_the_others_are_seen_to(
    platform: Platform, kept: tuple[Lake, Upkeep], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept[0].ensure_table("other", {"a": "long"})
    monkeypatch.setenv("DES_LEASE_SECONDS", "1")
    with leases.held(platform.catalog, f"table-upkeep:{NAME}", seconds=20):
        done = des_here("table", "compact", NAME, "other", "--apply")
    assert done.returncode == 1
    assert "held by another writer" in complaint(done)
    assert done.stdout == "other: nothing to compact\n"
    assert len(live(kept[1])) == 6
