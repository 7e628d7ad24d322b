"""Compaction: few large files of many small ones, the same rows, one day at a time, whoever else writes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake.commit import commit
from des_platform.lake.staging import stage_drop_of_days
from des_platform.lake.upkeep import compaction, reading
from des_platform.lake.upkeep.sorting import best_order, in_order
from des_platform.lake.upkeep.types import RowsDiffer, UpkeepRefused
from des_platform_tests.lake.conftest import rows
from des_platform_tests.lake.upkeep_tables import (
    FIRST,
    NAME,
    NOW,
    append_small,
    content,
    live,
    objects,
    upkeep_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyiceberg.table import Transaction

    from des_platform.lake.tables import Lake
    from des_platform.lake.upkeep.upkeep import Upkeep
    from des_platform_tests.platform import Platform


@pytest.fixture
def kept(platform: Platform) -> Iterator[tuple[Lake, Upkeep]]:
    with upkeep_of(platform) as opened:
        yield opened


def test_small_files_of_each_day_become_one_and_the_rows_stay(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=6, days=2)
    before = content(upkeep)

    planned = upkeep.compact(NAME, apply=False)
    assert [(part.name, part.files, part.files_after, part.rows) for part in planned.parts] == [
        ("_day=2026-03-01", 6, 1, 60),
        ("_day=2026-03-02", 6, 1, 60),
    ]
    assert len(live(upkeep)) == 12

    done = upkeep.compact(NAME, apply=True, properties={"dagster-run-id": "night"})
    assert (done.files_before, done.files_after, len(live(upkeep))) == (12, 2, 2)
    assert done.bytes_before == planned.bytes_before
    assert done.bytes_after == sum(file.file_size_in_bytes for file in live(upkeep)) < done.bytes_before
    assert content(upkeep) == before
    newest = upkeep.table(NAME).current_snapshot()
    assert newest is not None
    assert newest.summary is not None
    assert newest.summary.operation.value == "replace"
    assert newest.summary["dagster-run-id"] == "night"
    assert (newest.summary["total-records"], newest.summary["total-data-files"]) == ("120", "2")
    assert upkeep.compact(NAME, apply=True).parts == ()


def test_rows_keep_the_order_in_which_they_came(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=6)
    upkeep.compact(NAME, apply=True)
    found = upkeep.table(NAME).scan().to_arrow()
    assert found["symbol"].to_pylist() == [f"S{number}" for number in range(6) for _ in range(10)]


@pytest.mark.parametrize(
    "limits", [{"_SMALL_BYTES": 0}, {"_SMALL_BYTES": 0, "_ROW_GROUP_BYTES": 0}, {"_ROWS_AT_ONCE": 1}]
)
def test_however_files_are_read_their_rows_are_the_same(
    kept: tuple[Lake, Upkeep], monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    lake, upkeep = kept
    append_small(lake, files=6)
    lake.append(NAME, [with_day(rows(7, "")).set_column(0, "id", pa.nulls(7, pa.int64()))], properties={})
    before = content(upkeep)
    for name, value in limits.items():
        monkeypatch.setattr(reading, name, value)
    assert upkeep.compact(NAME, apply=True).files_after == 1
    assert content(upkeep) == before


@pytest.mark.parametrize("small", [0, 1 << 20])
def test_files_that_another_program_wrote_without_field_ids_are_compacted_with_the_others(
    kept: tuple[Lake, Upkeep], platform: Platform, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    lake, upkeep = kept
    append_small(lake, files=5)
    foreign = pa.Table.from_batches([with_day(rows(4, "FOREIGN"))]).select(["_day", "symbol", "id", "_line"])
    written = pa.BufferOutputStream()
    pq.write_table(foreign, written)
    key = f"lake/des/{NAME}/data/foreign.parquet"
    platform.buckets.own.put(key, written.getvalue().to_pybytes())
    upkeep.table(NAME).add_files([f"{platform.settings.store_url}/des/{key}"])
    before = content(upkeep)
    monkeypatch.setattr(reading, "_SMALL_BYTES", small)
    assert upkeep.compact(NAME, apply=True).files_before == 6
    assert content(upkeep) == before
    assert len(live(upkeep)) == 1


def test_a_few_small_files_and_large_ones_are_left_alone(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=4)
    assert upkeep.compact(NAME, apply=True).parts == ()
    assert upkeep.compact(NAME, apply=False, fewest_files=2).files_before == 4
    assert upkeep.compact(NAME, apply=False, fewest_files=2, small_bytes=10).parts == ()


def test_only_the_days_asked_for_are_compacted(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=5, days=2)
    done = upkeep.compact(NAME, apply=True, days=[FIRST])
    assert [part.name for part in done.parts] == ["_day=2026-03-01"]
    assert len(live(upkeep)) == 6


def test_a_compacted_day_is_replaced_like_any_other(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=5, days=2)
    upkeep.compact(NAME, apply=True)
    lake.replace_day(NAME, FIRST, [rows(3, "NEW")], properties={})
    assert lake.day_rows(NAME, FIRST) == 3
    assert lake.day_rows(NAME, FIRST + timedelta(days=1)) == 50


def test_a_source_file_that_is_read_again_replaces_its_rows_in_a_compacted_file(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    for number in range(5):
        lake.append(NAME, [of_file(rows(4, f"S{number}"), f"DES-{number}")], properties={})
    upkeep.compact(NAME, apply=True)

    again = of_file(rows(2, "AGAIN"), "DES-3")
    lake.append(NAME, [again], replacing_files=["DES-3"], properties={})

    found = [(row["_file"], row["symbol"]) for row in content_rows(upkeep)]
    expected = [(f"DES-{number}", f"S{number}") for number in (0, 1, 2, 4) for _ in range(4)]
    assert sorted(found) == sorted([*expected, ("DES-3", "AGAIN"), ("DES-3", "AGAIN")])


def test_rows_lead_to_the_runs_that_brought_them_after_compaction_too(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=5, days=2)
    upkeep.compact(NAME, apply=True, properties={"dagster-run-id": "night"})
    (origin,) = lake.origins(NAME, FIRST)
    assert origin.rows == 50
    assert origin.properties == {"dagster-run-id": "run-0, run-1, run-2, run-3, run-4"}


def test_files_of_earlier_columns_and_partitionings_are_written_as_the_table_is_now(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=5)
    with upkeep.table(NAME).update_schema() as update:
        update.rename_column("price", "cost")
    lake.ensure_table(NAME, {"id": "long", "cost": "double", "symbol": "string", "venue": "string"})
    rules = [PartitionRule.parse("hash(id, 2)"), PartitionRule.parse("range(id, 5)")]
    lake.repartition(NAME, rules)
    before = [without_ranges(row) for row in content_rows(upkeep)]

    done = upkeep.compact(NAME, apply=True)

    assert [part.name for part in done.parts] == ["_day=2026-03-01"]
    assert [without_ranges(row) for row in content_rows(upkeep)] == before
    spec = upkeep.table(NAME).spec().spec_id
    assert {file.spec_id for file in live(upkeep)} == {spec}
    assert {row["_range_id"] for row in content_rows(upkeep)} == {"<5", ">=5"}
    assert upkeep.compact(NAME, apply=True, fewest_files=2).parts == ()


def test_partitions_of_one_day_are_never_mixed(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    lake.repartition(NAME, [PartitionRule.parse("list(symbol)")])
    for number in range(5):
        batches = [rows(4, symbol) for symbol in ("A", "B")]
        lake.append(NAME, [with_day(batch) for batch in batches], properties={"n": str(number)})
    before = content(upkeep)
    done = upkeep.compact(NAME, apply=True)
    assert [part.name for part in done.parts] == ["_day=2026-03-01/symbol=A", "_day=2026-03-01/symbol=B"]
    assert len(live(upkeep)) == 2
    assert content(upkeep) == before


def test_a_replacement_that_comes_before_the_commit_wins(
    kept: tuple[Lake, Upkeep], monkeypatch: pytest.MonkeyPatch, platform: Platform
) -> None:
    lake, upkeep = kept
    append_small(lake, files=5, days=2)
    before_first(monkeypatch, "commit", lambda: lake.replace_day(NAME, FIRST, [rows(3, "NEW")], properties={}))

    done = upkeep.compact(NAME, apply=True)

    assert [part.name for part in done.parts] == ["_day=2026-03-02"]
    assert done.skipped == ()
    assert lake.day_rows(NAME, FIRST) == 3
    assert lake.day_rows(NAME, FIRST + timedelta(days=1)) == 50
    assert_nothing_left_behind(platform, upkeep)


def test_a_replacement_that_comes_within_the_commit_wins(
    kept: tuple[Lake, Upkeep], monkeypatch: pytest.MonkeyPatch, platform: Platform
) -> None:
    lake, upkeep = kept
    append_small(lake, files=5)
    after_first(monkeypatch, "stage_rewrite", lambda: lake.replace_day(NAME, FIRST, [rows(3, "NEW")], properties={}))
    assert upkeep.compact(NAME, apply=True).parts == ()
    assert lake.day_rows(NAME, FIRST) == 3
    assert_nothing_left_behind(platform, upkeep)


def test_rows_that_are_added_within_the_commit_stay(kept: tuple[Lake, Upkeep], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, upkeep = kept
    append_small(lake, files=5)
    before = content(upkeep)
    added = with_day(rows(2, "LATE"))
    after_first(monkeypatch, "stage_rewrite", lambda: lake.append(NAME, [added], properties={}))
    assert upkeep.compact(NAME, apply=True).files_before == 5
    assert len(content(upkeep)) == len(before) + 2
    assert len(live(upkeep)) == 2


def test_a_replacement_that_a_compaction_overtakes_still_wins(kept: tuple[Lake, Upkeep]) -> None:
    lake, upkeep = kept
    append_small(lake, files=5, days=2)
    overtaken: list[int] = []

    def stage(transaction: Transaction) -> None:
        stage_drop_of_days(transaction, [FIRST], {})
        if not overtaken:
            overtaken.append(upkeep.compact(NAME, apply=True).files_after)

    commit(upkeep.table(NAME), stage)
    assert overtaken == [2]
    assert lake.day_rows(NAME, FIRST) == 0
    assert lake.day_rows(NAME, FIRST + timedelta(days=1)) == 50


def test_a_new_partitioning_within_the_commit_is_no_harm(
    kept: tuple[Lake, Upkeep], monkeypatch: pytest.MonkeyPatch, platform: Platform
) -> None:
    lake, upkeep = kept
    append_small(lake, files=5)
    before = content(upkeep)
    before_first(monkeypatch, "commit", lambda: lake.repartition(NAME, [PartitionRule.parse("hash(id, 2)")]))
    assert upkeep.compact(NAME, apply=True).files_after == 2
    assert content(upkeep) == before
    assert {file.spec_id for file in live(upkeep)} == {upkeep.table(NAME).spec().spec_id}
    assert_nothing_left_behind(platform, upkeep)


def test_files_that_do_not_hold_the_rows_are_never_committed(
    kept: tuple[Lake, Upkeep], monkeypatch: pytest.MonkeyPatch, platform: Platform
) -> None:
    lake, upkeep = kept
    append_small(lake, files=5)
    before = content(upkeep)

    def changed(batches: Iterator[pa.RecordBatch], _order: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            price = pa.array([0.0] * batch.num_rows)
            yield batch.set_column(batch.schema.get_field_index("price"), batch.schema.field("price"), price)

    monkeypatch.setattr(compaction, "in_order", changed)
    with pytest.raises(RowsDiffer, match=r"table 'ticks', partition _day=2026-03-01: of 50 rows 50 were read and 50"):
        upkeep.compact(NAME, apply=True)
    assert content(upkeep) == before
    assert_nothing_left_behind(platform, upkeep)


def test_a_table_without_days_is_refused(kept: tuple[Lake, Upkeep]) -> None:
    _, upkeep = kept
    table = upkeep.table(NAME)
    table.catalog.create_table(("des", "foreign"), table.schema())
    with pytest.raises(UpkeepRefused, match="table 'foreign': it is not partitioned by _day"):
        upkeep.compact("foreign", apply=True)


def test_small_files_are_compacted_on_s3_too(s3_platform: Platform) -> None:
    with upkeep_of(s3_platform) as (lake, upkeep):
        append_small(lake, files=5)
        before = content(upkeep)
        upkeep.compact(NAME, apply=True)
        upkeep.expire(NAME, apply=True, older_than=NOW, keep=1)
        assert content(upkeep) == before
        assert len(objects(s3_platform, ".parquet")) == 1


def test_an_order_is_taken_only_where_a_sample_says_that_it_pays() -> None:
    number = 40_000
    paths = [f"/shop/item/{(n * 7919) % 97}/details?colour={(n * 7919) % 97}" for n in range(number)]
    shuffled = pa.table({"path": paths, "took": [(n * 7919) % 97 + 0.5 for n in range(number)]})
    assert best_order(shuffled)[0] == ("path",)
    runs = pa.table({"seq": list(range(number)), "flag": [n % 2 == 0 for n in range(number)]})
    assert best_order(runs)[0] == ()


def test_sorted_rows_are_the_same_rows_and_equal_ones_keep_their_order() -> None:
    batches = [
        pa.record_batch(
            {"key": ["b", "a", "b", None], "_file": ["f"] * 4, "_line": [first, first + 1, first + 2, first + 3]}
        )
        for first in (0, 4)
    ]
    found = pa.Table.from_batches(in_order(iter(batches), ("key",)))
    assert found["key"].to_pylist() == ["a", "a", "b", "b", "b", "b", None, None]
    assert found["_line"].to_pylist() == [1, 5, 0, 2, 4, 6, 3, 7]


def with_day(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.append_column("_day", pa.array([FIRST] * batch.num_rows))


def of_file(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    column = batch.schema.get_field_index("_file")
    return with_day(batch.set_column(column, "_file", pa.array([name] * batch.num_rows)))


def content_rows(upkeep: Upkeep) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = upkeep.table(NAME).scan().to_arrow().to_pylist()
    return sorted(found, key=lambda row: (row["_file"], row["_line"], row["symbol"]))


def without_ranges(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("_range_")}


def before_first(monkeypatch: pytest.MonkeyPatch, name: str, rival: Callable[[], object]) -> None:
    """Let a rival act right before a function of the compaction is called for the first time."""
    _with_rival(monkeypatch, name, rival, first=True)


def after_first(monkeypatch: pytest.MonkeyPatch, name: str, rival: Callable[[], object]) -> None:
    """Let a rival act right after a function of the compaction was called for the first time."""
    _with_rival(monkeypatch, name, rival, first=False)


def _with_rival(monkeypatch: pytest.MonkeyPatch, name: str, rival: Callable[[], object], *, first: bool) -> None:
    real = getattr(compaction, name)
    waiting = [rival]

    def called(*arguments: Any, **named: Any) -> Any:
        if first and waiting:
            waiting.pop()()
        result = real(*arguments, **named)
        if not first and waiting:
            waiting.pop()()
        return result

    monkeypatch.setattr(compaction, name, called)


def assert_nothing_left_behind(platform: Platform, upkeep: Upkeep) -> None:
    """Every file that was written is named by some snapshot, or gone."""
    before = objects(platform)
    upkeep.orphans(NAME, apply=True, older_than=timedelta(seconds=-60))
    assert {key for key in before - objects(platform) if key.endswith(".parquet")} == set()
