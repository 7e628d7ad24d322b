"""Files of a table's folder that no metadata names: what killed writers left, and what was forgotten without removal.

Nothing is removed in doubt. A table whose metadata cannot be read whole, whose files do not stand where its metadata
says, or whose folder another table uses, is refused. An object that is no file of a table (by its name) is left where
it is. One that was written lately is left, too: its writer may be about to commit it.

The folder is listed first and the metadata read after that: whatever was committed meanwhile is named by it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from des_platform.lake.upkeep.reachable import kept, normalised, reachable
from des_platform.lake.upkeep.types import Part, Report, UpkeepRefused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from pyiceberg.table import Table

    from des_platform.lake.upkeep.places import Folder

_OF_A_TABLE: Final = (".parquet", ".avro", ".orc", ".puffin", ".metadata.json")


def remove_orphans(table: Table, folder: Folder, *, older_than: timedelta, apply: bool) -> Report:
    """Remove the files of a table's folder that nothing names.

    Args:
        table: the table; loaded anew after the listing.
        folder: its folder, which no other table uses.
        older_than: least time since a file was written; a writer has that long between its first file and its commit.
        apply: do it; otherwise say what would be done.

    Raises:
        UpkeepRefused: there is doubt about what is an orphan; nothing was removed.
    """
    started = time.monotonic()
    written_before = datetime.now(UTC) - older_than
    listed = {location: info for location, info in folder.list() if info.key.endswith(_OF_A_TABLE)}
    table = table.refresh()
    named = reachable(table, table.metadata.snapshots)
    _refuse_if_missing(table, folder, [*named, normalised(table.metadata_location)], listed)
    named_too = kept(table)
    orphans = {
        location: info.size
        for location, info in listed.items()
        if location not in named and location not in named_too and info.last_modified < written_before
    }
    if apply:
        folder.remove(orphans)
    size = sum(info.size for info in listed.values())
    return Report(
        table=table.name()[-1],
        job="orphans",
        applied=apply,
        files_before=len(listed),
        bytes_before=size,
        files_after=len(listed) - len(orphans),
        bytes_after=size - sum(orphans.values()),
        seconds=time.monotonic() - started,
        parts=tuple(Part(location.removeprefix(folder.url), 1, orphans[location]) for location in orphans),
    )


def _refuse_if_missing(table: Table, folder: Folder, named: Iterable[str], listed: Iterable[str]) -> None:
    """What the metadata names must be there: a listing under other names would make orphans of everything."""
    for location in set(named).difference(listed):
        key = folder.key_of(location)
        if key is not None and not folder.store.exists(key):
            raise UpkeepRefused(
                table.name()[-1],
                f"its metadata names {location}, which is not there",
                "nothing is removed from a table in doubt; restore the file, or roll the table back",
            )
