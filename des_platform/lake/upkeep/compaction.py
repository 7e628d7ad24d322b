"""Compaction: the small files of a partition are rewritten as few large ones, each row once, in one commit.

The rows stream from the old files, in the order in which they were written, through the table's own writer, by a plan
for files that stay: what is read once a night and never written again may take its time. Before the commit the new
files are read back and compared with what was read, as a bag of rows. A reader of the table sees the old files or the
new ones.

A writer that replaces the day meanwhile wins: its commit drops the old files, so the compaction's is refused and its
files are removed. A compaction that is killed leaves files that no snapshot names, which are orphans.
"""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from des_platform.lake.commit import commit
from des_platform.lake.files import PartitionFiles
from des_platform.lake.plans import Plans
from des_platform.lake.ranges import from_properties
from des_platform.lake.upkeep.bag import Bag
from des_platform.lake.upkeep.lineage import Origins
from des_platform.lake.upkeep.planning import FEWEST_FILES, SMALL_BYTES, groups_of
from des_platform.lake.upkeep.reading import put_into, rows_of
from des_platform.lake.upkeep.rewriting import Outdated, stage_rewrite
from des_platform.lake.upkeep.sorting import SAMPLE_ROWS, best_order, in_order
from des_platform.lake.upkeep.types import Part, Report, RowsDiffer
from des_platform.parquet.plan import choose_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import date

    import pyarrow.parquet as pq
    from pyiceberg.table import Table, Transaction

    from des_platform.lake.upkeep.planning import Group
    from des_platform.parquet.plan import WritePlan

_ROUNDS: Final = 3
# What sorting could save of less is less than a request for a file costs.
_SORTED_FROM_BYTES: Final = 16 << 20


def compact(
    table: Table,
    *,
    apply: bool,
    days: Collection[date] | None = None,
    small_bytes: int = SMALL_BYTES,
    fewest_files: int = FEWEST_FILES,
    properties: Mapping[str, str],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Make large files of a table's small ones, partition by partition, a commit each.

    Args:
        table: the table, freshly loaded.
        apply: do it; otherwise say what would be done.
        days: only files of these days; None for all.
        small_bytes: a file of this size is large enough.
        fewest_files: a partition with fewer small files is left alone.
        properties: written into the snapshots' summaries, such as the run.
        progress: called with the bytes of the files that are read, and of all.

    Raises:
        UpkeepRefused: the table cannot be compacted; nothing was changed.
        RowsDiffer: the new files of a partition do not hold its rows; it was not changed.
        CommitUnknown: a partition's commit may have landed or not; its rows are the same.
    """
    started = time.monotonic()
    groups = planned = groups_of(table, days=days, small_bytes=small_bytes, fewest_files=fewest_files)
    done: list[Part] = []
    skipped: dict[str, str] = {}
    total = sum(group.bytes for group in planned)
    for _ in range(_ROUNDS if apply else 0):
        skipped = {}
        for group in groups:
            try:
                done.append(_compact(table.refresh(), group, properties))
            except Outdated as error:
                skipped[group.name] = str(error)
            progress(min(total, sum(part.bytes for part in done)), total)
        if not skipped:
            break
        again = groups_of(table.refresh(), days=days, small_bytes=small_bytes, fewest_files=fewest_files)
        groups = [group for group in again if group.name in skipped]
    parts = done if apply else [group.part() for group in planned]
    return Report(
        table=table.name()[-1],
        job="compact",
        applied=apply,
        files_before=sum(part.files for part in parts),
        bytes_before=sum(part.bytes for part in parts),
        files_after=sum(part.files_after for part in parts),
        bytes_after=sum(part.bytes_after for part in parts),
        seconds=time.monotonic() - started,
        parts=tuple(parts),
        skipped=tuple(f"{name}: {reason}" for name, reason in skipped.items()),
    )


def _compact(table: Table, group: Group, properties: Mapping[str, str]) -> Part:
    """Rewrite one group; if it fails its new files are removed, unless a commit may have named them."""
    files = PartitionFiles(table)
    origins = Origins()

    def tell(footer: bytes | None) -> None:
        origins.add(footer)
        files.properties = origins.properties()  # footers come after rows, and so do the rows' origins

    old = Bag(without={span.column for span in from_properties(table.metadata).values()})
    batches = rows_of(table, group.files, old, tell)
    order: tuple[str, ...] = ()
    if group.bytes >= _SORTED_FROM_BYTES:
        sample, batches = _sampled(batches)
        order, plan = best_order(sample)
        files.plans = ColdPlans(plan)
    else:
        files.plans = ColdPlans()
    files.write(in_order(batches, order))
    try:
        _compare(table, group, old, files)
    except BaseException:
        files.discard()
        raise
    told = {**properties, "upkeep": "compact", "partition": group.name}
    commit(table, lambda transaction: stage_rewrite(transaction, group.files, files.files, told), undo=files.discard)
    note = f"sorted by {', '.join(order)}" if order else ""
    return Part(group.name, len(group.files), group.bytes, len(files.files), files.bytes, group.rows, note)


def _sampled(batches: Iterator[pa.RecordBatch]) -> tuple[pa.Table, Iterator[pa.RecordBatch]]:
    """The first rows, and all of them."""
    seen: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        seen.append(batch)
        rows += batch.num_rows
        if rows >= SAMPLE_ROWS:
            break
    return pa.Table.from_batches(seen).slice(0, SAMPLE_ROWS), chain(seen, batches)


def _compare(table: Table, group: Group, old: Bag, files: PartitionFiles) -> None:
    new = Bag(old.without)
    put_into(new, table, files.files)
    if not old.holds_as(new) or old.rows != group.rows:
        raise RowsDiffer(
            f"table {table.name()[-1]!r}, partition {group.name}: of {group.rows:,} rows {old.rows:,} were read and"
            f" {new.rows:,} written, and these are not the same; nothing was changed: report this"
        )


class ColdPlans(Plans):
    """A plan for files that stay: one for a compaction, whatever the table is otherwise written by.

    Args:
        plan: the plan; None: it is chosen from the first rows.
    """

    def __init__(self, plan: WritePlan | None = None) -> None:
        self._cold = plan

    def for_rows(self, rows: pa.Table) -> WritePlan:
        """The plan."""
        if self._cold is None:
            self._cold = choose_plan(rows, cold=True)
        return self._cold

    def finished(self, metadata: pq.FileMetaData) -> None:
        """Learn nothing: the next compaction chooses anew."""

    def stage(self, transaction: Transaction) -> None:
        """Keep nothing: what arrives is written in another way."""
