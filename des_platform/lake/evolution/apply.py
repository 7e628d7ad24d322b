"""Changes brought into a table, and taken back: all of a list in one commit, or none.

Everything is checked on the metadata that the commit replaces: that the columns are as the changes say, that the
compatibility mode permits them, that the rows do. A writer who changes the schema in between, or the rows that a
check has looked at, makes the commit start over on what is there then. Only metadata is written: files are never
touched, and every row, old or new, is read by field id through the schema of the day.

What is rolled back: an added column is hidden again; a dropped one comes back under its field id, with the values
that the files hold (a day that was replaced or compacted since the drop has none); a widened type becomes narrow again
where no file has been written with the wide one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.lake.evolution.changes import Change, ChangeType, inverses
from des_platform.lake.evolution.compatibility import refusals, said
from des_platform.lake.types import SchemaConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyiceberg.table import Table, Transaction

    from des_platform.catalog.table_spec import Compatibility
    from des_platform.lake.evolution.fields import Field
    from des_platform.lake.tables import Lake


def apply_changes(
    lake: Lake,
    table_name: str,
    changes: Sequence[Change],
    *,
    compatibility: Compatibility = "backward",
    allow_loss: bool = False,
) -> int:
    """Change a table's schema.

    Args:
        lake: the tables.
        table_name: the table.
        changes: as `diff` gives them; all at once.
        compatibility: the mode that they must keep.
        allow_loss: whether columns may be dropped.

    Returns:
        The id of the table's Iceberg schema now.

    Raises:
        LookupError: no such table.
        SchemaConflict: the table is otherwise than a change says, or the mode or its rows do not permit it; nothing
            was changed.
    """

    def stage(transaction: Transaction, table: Table) -> None:
        stage_changes(transaction, table, changes, compatibility=compatibility, allow_loss=allow_loss)

    return evolve(lake, table_name, stage).metadata.current_schema_id


def roll_back(lake: Lake, table_name: str, changes: Sequence[Change]) -> int:
    """Undo changes that were applied together, or one of them.

    Args:
        lake: the tables.
        table_name: the table.
        changes: as they were applied.

    Returns:
        The id of the table's Iceberg schema now.

    Raises:
        LookupError: no such table.
        SchemaConflict: it cannot be undone: a file needs the wide type, rows lack a value that is required again, or
            the column is gone; nothing was changed.
    """

    def stage(transaction: Transaction, table: Table) -> None:
        from des_platform.lake.evolution import data_checks
        from des_platform.lake.evolution.schemas import Evolution, staged

        name, metadata = table.name()[-1], transaction.table_metadata
        evolution = Evolution(metadata, name, past=True)
        schema = evolution.make(evolution.grounded(inverses(changes)))
        data_checks.check_drops(metadata, table.io, name, schema)
        looked = data_checks.check_files(metadata, table.io, name, schema)
        looked |= data_checks.check_required(metadata, table.io, name, schema)
        staged(transaction, schema, on_snapshot=looked)

    return evolve(lake, table_name, stage).metadata.current_schema_id


def reorder(lake: Lake, table_name: str, columns: Sequence[str]) -> int:
    """Put columns into another order for whoever lists them; no reader of files asks for it.

    Args:
        lake: the tables.
        table_name: the table.
        columns: every declared column, once.

    Returns:
        The id of the table's Iceberg schema now.

    Raises:
        LookupError: no such table.
        SchemaConflict: the columns are not those of the table.
    """

    def stage(transaction: Transaction, table: Table) -> None:
        from des_platform.lake.evolution.schemas import reordered, staged

        schema = reordered(transaction.table_metadata, table.name()[-1], columns)
        staged(transaction, schema, on_snapshot=False)

    return evolve(lake, table_name, stage).metadata.current_schema_id


def evolve(lake: Lake, table_name: str, stage: Callable[[Transaction, Table], None]) -> Table:
    """Commit what a function stages, again on fresh metadata as long as others are quicker."""
    from des_platform.lake.commit import commit

    table = lake.table(table_name)
    return commit(table, lambda transaction: stage(transaction, table))


def stage_changes(
    transaction: Transaction,
    table: Table,
    changes: Sequence[Change],
    *,
    compatibility: Compatibility,
    allow_loss: bool,
) -> list[Change]:
    """Check changes and put them onto a transaction; return them with what the table had before.

    Raises:
        SchemaConflict: they are not permitted; nothing is staged.
    """
    from des_platform.lake.evolution import data_checks
    from des_platform.lake.evolution.schemas import Evolution, staged

    if not changes:
        return []
    name, metadata = table.name()[-1], transaction.table_metadata
    evolution = Evolution(metadata, name)
    grounded = evolution.grounded(changes)
    _refuse(name, refusals(grounded, compatibility, allow_loss=allow_loss))
    schema = evolution.make(grounded)
    data_checks.check_drops(metadata, table.io, name, schema)
    looked = data_checks.check_required(metadata, table.io, name, schema)
    staged(transaction, schema, on_snapshot=looked)
    return grounded


def fields_of(table: Table) -> tuple[Field, ...]:
    """The declared columns of a table in order, with their field ids."""
    from des_platform.lake.evolution.schemas import declared_fields

    return declared_fields(table.schema())


def _refuse(table: str, refused: Sequence[tuple[Change, str]]) -> None:
    if refused:
        first, _ = refused[0]
        found = "nothing" if first.type is ChangeType.ADD_COLUMN else _shown(first.old)
        reasons = "; ".join(reason if change is first else said(change, reason) for change, reason in refused)
        raise SchemaConflict(table, first.column, found, f"{first.type} {_shown(first.new)}", reasons)


def _shown(side: object) -> str:
    if not isinstance(side, dict):
        return "nothing"
    return ", ".join(f"{key} {side[key]}" for key in ("name", "type", "required") if key in side)
