"""Commits at the level of `commit` itself: what rivals, failures and lost answers lead to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from pyiceberg.exceptions import CommitFailedException

from des_platform.lake import commit as commits
from des_platform.lake.commit import commit
from des_platform.lake.tables import Lake
from des_platform.lake.types import CommitUnknown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyiceberg.table import Transaction

    from des_platform.settings import Settings


def setting(key: str) -> Callable[[Transaction], None]:
    def stage(transaction: Transaction) -> None:
        transaction.set_properties({key: "set"})

    return stage


def test_an_outdated_table_is_changed_as_it_is_now(ticks: Lake) -> None:
    old = ticks.table("ticks")
    commit(old, setting("a"))
    commit(old, setting("b"))
    properties = ticks.table("ticks").properties
    assert (properties["a"], properties["b"]) == ("set", "set")


def test_a_change_sees_what_it_has_staged_so_far(ticks: Lake) -> None:
    seen = []

    def stage(transaction: Transaction) -> None:
        for number in range(3):
            transaction.set_properties({f"n{number}": ""})
            seen.append(sum(key.startswith("n") for key in transaction.table_metadata.properties))

    commit(ticks.table("ticks"), stage)
    assert seen == [1, 2, 3]


def test_of_many_that_change_one_property_each_none_is_lost(ticks: Lake, settings: Settings) -> None:
    ticks.table("ticks")
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        with closing(Lake(settings)) as own:
            start.wait(10)
            for number in range(5):
                commit(own.table("ticks"), setting(f"w{writer}.{number}"), attempts=60)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len([key for key in ticks.table("ticks").properties if key.startswith("w") and "." in key[:3]]) == 20


def test_nothing_is_undone_where_the_answer_is_lost(ticks: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[str] = []

    def fall_silent(*_: object) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(ticks._catalog, "commit_table", fall_silent)
    with pytest.raises(CommitUnknown, match=r"'ticks'.*no answer.*may have landed"):
        commit(ticks.table("ticks"), setting("a"), undo=lambda: undone.append("yes"))
    assert not undone


def test_what_rivals_keep_from_landing_is_undone_once(ticks: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[str] = []
    refused: list[str] = []

    def refuse(*_: object) -> None:
        refused.append("once more")
        raise CommitFailedException("a rival was quicker")

    monkeypatch.setattr(ticks._catalog, "commit_table", refuse)
    with pytest.raises(CommitFailedException, match="a rival was quicker"):
        commit(ticks.table("ticks"), setting("a"), attempts=3, undo=lambda: undone.append("yes"))
    assert (len(refused), undone) == (3, ["yes"])


def test_a_change_that_cannot_be_staged_is_undone_and_leaves_no_metadata(ticks: Lake, tmp_path: Path) -> None:
    undone: list[str] = []
    before = sorted(tmp_path.rglob("*"))

    def stage(transaction: Transaction) -> None:
        transaction.update_snapshot().merge_append().commit()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        commit(ticks.table("ticks"), stage, undo=lambda: undone.append("yes"))
    assert undone == ["yes"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_change_has_landed_even_if_old_snapshots_cannot_be_forgotten(
    ticks: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_SNAPSHOTS_MOST", 1)
    monkeypatch.setattr(commits, "_SNAPSHOTS_KEPT", 1)
    accept, calls = ticks._catalog.commit_table, []

    def once(*arguments: object) -> object:
        calls.append("")
        if len(calls) > 2:
            raise ConnectionError("gone")
        return accept(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ticks._catalog, "commit_table", once)
    for _ in range(2):
        commit(ticks.table("ticks"), lambda transaction: transaction.update_snapshot().merge_append().commit())
    assert len(ticks.table("ticks").metadata.snapshots) == 2
