from __future__ import annotations

from des_platform_tests.bench import lake, lake_backfill, lake_conflicts, lake_flat


def test_the_rows_of_lake_are_those_announced() -> None:
    announced = ["backfill_commits", "commit_flat", "commit_conflicts", "compaction", "api_p99"]
    assert [row.__name__ for row in lake._ROWS] == announced


def test_a_backfill_is_counted_beside_its_peers() -> None:
    found = {measurement.id: measurement for measurement in lake_backfill.measure(days=3, rows=500, rounds=1)}
    assert list(found) == ["backfill_commits", "backfill_planned", "backfill_deltalake", "backfill_bytes"]
    assert all(measurement.value > 0 and measurement.peer_value > 0 for measurement in found.values())


def test_commits_are_timed_in_the_beginning_and_in_the_end() -> None:
    found = {measurement.id: measurement for measurement in lake_flat.measure(commits=30)}
    assert list(found) == ["commit_flat", "commit_deltalake"]
    assert all(measurement.value > 0 and measurement.peer_value > 0 for measurement in found.values())


def test_writers_at_once_lose_nothing() -> None:
    found = {measurement.id: measurement for measurement in lake_conflicts.measure(commits=2, writers=2, rivals=2)}
    assert list(found) == ["commit_conflicts", "conflict_commits", "one_winner"]
    assert found["commit_conflicts"].value == found["one_winner"].value == 0
    assert found["one_winner"].peer_value == 4
