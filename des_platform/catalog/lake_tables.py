"""The lake's tables as they are registered: those of datasets, and those that the lake API made.

A name is given once, and for ever: a table that was given up keeps its name and its data. Who reads it, and what its
partitions hold, stand beside (`lake_partitions`, `schema_versions`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.paging import page
from des_platform.catalog.tables import datasets, lake_tables
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from des_platform.catalog.table_spec import Compatibility


@dataclass(frozen=True, slots=True)
class LakeTable:
    """A registered table.

    Attributes:
        table_id: its number in the catalogue.
        name: its name in the lake.
        dataset: the dataset whose files it holds; None for one that the API made.
        description: what its owner says of it.
        schema_version: number of its current schema version; 0 while it has none.
        partition_strategy: `date`, `hash`, `range` or `list`, as it was asked for.
        partition_columns: columns, as they were asked for.
        partition_by: the rules that follow from both, as `PartitionRule.parse` reads them.
        compatibility: which changes of the schema are applied.
        storage_format: `parquet`.
        compression: the codec that was asked for; the writer chooses one for each column.
        is_active: False once it was given up.
        created_at: when it was registered.
        updated_at: when its row was last changed.
    """

    table_id: int
    name: str
    dataset: str | None
    description: str | None
    schema_version: int
    partition_strategy: str
    partition_columns: list[str]
    partition_by: list[str]
    compatibility: Compatibility
    storage_format: str
    compression: str
    is_active: bool
    created_at: datetime
    updated_at: datetime


_COLUMNS = [lake_tables.c[field.name] for field in fields(LakeTable)]


def register(
    connection: sa.Connection,
    name: str,
    *,
    dataset: str,
    partition_by: Sequence[str] = (),
    compatibility: Compatibility = "backward",
    description: str | None = None,
) -> LakeTable:
    """Make a dataset's table known as the dataset's definition describes it; an unchanged one costs no write.

    Raises:
        ConfigurationError: the API made a table of that name.
    """
    values = {
        "name": name,
        "dataset": dataset,
        "partition_by": list(partition_by),
        "compatibility": compatibility,
        "description": description,
    }
    statement = insert(lake_tables).values(values)
    defined = {column: statement.excluded[column] for column in ("partition_by", "compatibility", "description")}
    changed = sa.or_(*(lake_tables.c[column].is_distinct_from(value) for column, value in defined.items()))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_=defined | {"is_active": True, "updated_at": sa.func.now()},
            where=(lake_tables.c.dataset == dataset) & (changed | sa.not_(lake_tables.c.is_active)),
        )
    )
    found = by_name(connection, name)
    if found is None or found.dataset != dataset:
        raise ConfigurationError(
            f"the lake API made a table called {name!r}, so the dataset {dataset!r} cannot have it: rename the dataset"
        )
    return found


def create(connection: sa.Connection, name: str, **values: Any) -> LakeTable | None:  # noqa: ANN401 - of their columns
    """Register a table that belongs to no dataset; None if the name is taken, by a table or by a dataset.

    Args:
        connection: a transaction.
        name: a name that the lake accepts.
        values: further columns of `lake_tables`.
    """
    # A dataset's table is registered with its first load: until then, its name stands among the datasets alone.
    if connection.scalar(sa.select(sa.exists().where(datasets.c.name == name))):
        return None
    statement = insert(lake_tables).values(name=name, **values).on_conflict_do_nothing(index_elements=["name"])
    row = connection.execute(statement.returning(*_COLUMNS)).one_or_none()
    return LakeTable(*row) if row else None


def get(connection: sa.Connection, table_id: int, *, lock: bool = False) -> LakeTable | None:
    """The table with that number, given up or not.

    Args:
        connection: a transaction.
        table_id: its number.
        lock: let nobody else change the row until the transaction ends.
    """
    statement = sa.select(*_COLUMNS).where(lake_tables.c.table_id == table_id)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return LakeTable(*row) if row else None


def by_name(connection: sa.Connection, name: str) -> LakeTable | None:
    """The table with that name, given up or not."""
    row = connection.execute(sa.select(*_COLUMNS).where(lake_tables.c.name == name)).one_or_none()
    return LakeTable(*row) if row else None


def listing(connection: sa.Connection, limit: int, offset: int, *, active_only: bool) -> tuple[list[LakeTable], int]:
    """A page of the tables in the order of their numbers, and how many there are on all pages."""
    wanted = lake_tables.c.is_active if active_only else sa.true()
    rows = sa.select(*_COLUMNS).where(wanted).order_by(lake_tables.c.table_id)
    found, total = page(connection, rows, limit, offset)
    return [LakeTable(*row) for row in found], total


def update(connection: sa.Connection, table_id: int, **changed: Any) -> LakeTable | None:  # noqa: ANN401 - as above
    """Change columns of a table's row; None if there is no such table."""
    statement = (
        sa.update(lake_tables)
        .where(lake_tables.c.table_id == table_id)
        .values(**changed, updated_at=sa.func.now())
        .returning(*_COLUMNS)
    )
    row = connection.execute(statement).one_or_none()
    return LakeTable(*row) if row else None
