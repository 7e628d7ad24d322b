"""What the catalogue keeps of a whole partition: its dataset's definition, its manifest, its table load."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog import cleanups
from des_platform.catalog.dataset import Dataset
from des_platform.catalog.tables import datasets, manifests, table_loads
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one day: its object, and what it lists (number, bytes)."""

    dataset: str
    day: date
    key: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TableLoad:
    """The last load of one day into its table; `undeclared_columns` are those of its files that the table has not."""

    dataset: str
    day: date
    files: int
    parsed_rows: int
    table_rows: int
    rejected_rows: int
    snapshot_id: int | None
    undeclared_columns: list[str]


def register_datasets(connection: sa.Connection, definitions: Iterable[Dataset]) -> None:
    """Make the definitions that the code location holds known to the catalogue; an unchanged one costs no write.

    A definition that now keeps its originals withdraws what was planned under the one before it, so that nothing of an
    old plan is due on the day when the policy changes again.
    """
    for definition in sorted(definitions, key=lambda dataset: dataset.name):
        values = {"name": definition.name, "definition": definition.model_dump(mode="json")}
        statement = insert(datasets).values(**values)
        statement = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"definition": statement.excluded.definition, "updated_at": sa.func.now()},
            where=datasets.c.definition != statement.excluded.definition,
        )
        changed = connection.execute(statement).rowcount
        if changed and definition.originals_after_days is None:
            cleanups.withdraw(connection, definition.name, None, cleanups.POLICY_IS_KEEP)


def registered_datasets(connection: sa.Connection) -> list[Dataset]:
    """Every dataset that the catalogue knows, by name."""
    return [
        Dataset.model_validate(row.definition)
        for row in connection.execute(sa.select(datasets).order_by(datasets.c.name))
    ]


def known_datasets(connection: sa.Connection) -> list[Dataset]:
    """Every dataset that the catalogue knows, where there must be one.

    Raises:
        ConfigurationError: there is none, so every file would be one of no dataset.
    """
    found = registered_datasets(connection)
    if not found:
        raise ConfigurationError(
            "the catalogue knows no dataset yet: let a sensor of the code location tick once in Dagster, then repeat"
        )
    return found


def lock_day(connection: sa.Connection, dataset: str, day: date) -> None:
    """Let one transaction at a time write what is kept of a whole day; the next one sees what this one commits."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"{dataset}:{day}", 0))))


def manifest_of(connection: sa.Connection, dataset: str, day: date) -> Manifest | None:
    """The manifest of one day."""
    statement = sa.select(manifests.c.dataset, manifests.c.day, manifests.c.key, manifests.c.files, manifests.c.bytes)
    row = connection.execute(statement.where(manifests.c.dataset == dataset, manifests.c.day == day)).one_or_none()
    return Manifest(*row) if row else None


def replace_manifest(connection: sa.Connection, manifest: Manifest) -> None:
    """Point a day at its new manifest."""
    statement = insert(manifests).values(**asdict(manifest))
    replaced = {name: statement.excluded[name] for name in ("key", "files", "bytes")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["dataset", "day"], set_=replaced | {"updated_at": sa.func.now()}
        )
    )


def load_of(connection: sa.Connection, dataset: str, day: date) -> TableLoad | None:
    """The last load of one day into its table; `undeclared_columns` are those of its files that the table has not."""
    columns = [table_loads.c[name] for name in TableLoad.__dataclass_fields__]
    row = connection.execute(
        sa.select(*columns).where(table_loads.c.dataset == dataset, table_loads.c.day == day)
    ).one_or_none()
    return TableLoad(*row) if row else None


def replace_load(connection: sa.Connection, load: TableLoad) -> None:
    """Record a load."""
    statement = insert(table_loads).values(**asdict(load))
    replaced = {name: statement.excluded[name] for name in asdict(load) if name not in ("dataset", "day")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["dataset", "day"], set_=replaced | {"updated_at": sa.func.now()}
        )
    )


def not_loaded(connection: sa.Connection, dataset: str, limit: int) -> list[Manifest]:
    """Manifests that list more files than the last load of their day had, the oldest day first."""
    columns = [manifests.c[name] for name in Manifest.__dataclass_fields__]
    loads = sa.and_(table_loads.c.dataset == manifests.c.dataset, table_loads.c.day == manifests.c.day)
    statement = (
        sa.select(*columns)
        .select_from(manifests.outerjoin(table_loads, loads))
        .where(manifests.c.dataset == dataset, manifests.c.files > sa.func.coalesce(table_loads.c.files, 0))
        .order_by(manifests.c.day)
        .limit(limit)
    )
    return [Manifest(*row) for row in connection.execute(statement)]


def table_rows(connection: sa.Connection, dataset: str | None = None) -> tuple[int, int]:
    """Rows in the tables, and rows rejected, over all days."""
    statement = sa.select(
        sa.cast(sa.func.coalesce(sa.func.sum(table_loads.c.table_rows), 0), sa.BigInteger),
        sa.cast(sa.func.coalesce(sa.func.sum(table_loads.c.rejected_rows), 0), sa.BigInteger),
    )
    if dataset is not None:
        statement = statement.where(table_loads.c.dataset == dataset)
    rows, rejected = connection.execute(statement).one()
    return rows, rejected
