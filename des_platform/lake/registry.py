"""Keeps the catalogue's rows about partitions equal to what the tables hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.catalog import lake_partitions, lake_tables
from des_platform.catalog.lake_partitions import Statistics
from des_platform.lake.formatting import format_partition_path

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog
    from des_platform.lake.tables import Lake


def sync_partitions(catalog: Catalog, lake: Lake, name: str) -> int | None:
    """Make the catalogue know the table's partitions as its newest snapshot has them.

    Two of these at once for one table follow each other. Nothing is read where the catalogue knows the snapshot.

    Returns:
        How many partitions the table has; None if the catalogue knew them already.

    Raises:
        LookupError: no such table in the lake, or none of that name is registered.
    """
    with catalog.begin() as connection:
        registered = lake_tables.by_name(connection, name)
        if registered is None:
            raise LookupError(f"no table {name!r} is registered")
        known = lake_partitions.synchronized_snapshot(connection, registered.table_id)
        newest = lake.table(name).current_snapshot()
        if newest is None or newest.snapshot_id == known:
            return None
        # Read after the snapshot's number: what came in between is read again next time, rather than never.
        found = [
            Statistics(
                format_partition_path(partition.values),
                partition.values,
                partition.first_day,
                partition.last_day,
                partition.rows,
                partition.bytes,
                partition.files,
            )
            for partition in lake.partitions(name)
        ]
        lake_partitions.synchronize(connection, registered.table_id, found, newest.snapshot_id)
    return len(found)
