"""What a commit of rows is made of: files dropped by day, files dropped by name, and files added."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from pyiceberg.expressions import AlwaysFalse, BooleanExpression, In, Or
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _DeleteFiles

from des_platform.lake.column_rules import widens
from des_platform.lake.schema import column_type
from des_platform.lake.types import DAY, TableChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Transaction
    from pyiceberg.table.metadata import TableMetadata

    from des_platform.lake.files import PartitionFiles

# pyiceberg takes a file for a possible match, without a look at its bounds, where there are more than 200 values.
_VALUES_AT_ONCE: Final = 200


def any_of(column: str, values: Sequence[Any]) -> BooleanExpression:
    """The expression that a column has one of these values."""
    chunks = [values[start : start + _VALUES_AT_ONCE] for start in range(0, len(values), _VALUES_AT_ONCE)]
    never: BooleanExpression = AlwaysFalse()
    return functools.reduce(Or, (In(term=column, literals=chunk) for chunk in chunks), never)


def stage_drop_of_days(transaction: Transaction, days: Sequence[date], properties: dict[str, str]) -> None:
    """Stage that the days have no rows.

    Raises:
        RuntimeError: another program wrote rows of theirs that cannot be dropped as whole files.
    """
    # Not Transaction.delete(): it warns about every day without rows, and reads and rewrites what it cannot drop whole.
    with transaction.update_snapshot(snapshot_properties=properties).delete() as delete:
        delete.delete_by_predicate(any_of(DAY, days))
    if delete.rewrites_needed:
        among = f"day {days[0]}" if len(days) == 1 else f"days {min(days)} to {max(days)}"
        raise RuntimeError(
            f"table {transaction.table_metadata.location}, {among}: another program wrote files without bounds of"
            f" column {DAY!r}, so they cannot be dropped whole; rewrite them with metrics first"
        )


def stage_drop_of_files(
    transaction: Transaction, files: Iterable[DataFile], conflicts: BooleanExpression, properties: dict[str, str]
) -> None:
    """Stage that exactly these files are no longer of the table.

    Args:
        transaction: over the metadata in which the files were found.
        files: of the table now.
        conflicts: rows of which a rival's commit would make the plan outdated.
        properties: written into the snapshot's summary.
    """
    with _DeleteFiles(
        Operation.DELETE,
        transaction,
        transaction._table.io,  # noqa: SLF001 - as update_snapshot does it
        snapshot_properties=properties,
    ) as drop:
        drop._planned_delete_files = set(files)  # noqa: SLF001 - pyiceberg drops by predicate alone, or what it planned before
        drop.delete_by_predicate(conflicts)


def stage_files(transaction: Transaction, written: Sequence[PartitionFiles], properties: dict[str, str]) -> None:
    """Stage that written files are of the table, and the plan by which they were written.

    Raises:
        TableChanged: they were written under another partitioning than the table has, or for columns of which it has
            made something that they do not suit.
    """
    now = transaction.table_metadata
    if any(files.files and (files.spec_id != now.default_spec_id or not _suits(files, now)) for files in written):
        raise TableChanged(transaction._table.name()[-1])  # noqa: SLF001 - it has no other name
    if any(files.files for files in written):
        with transaction.update_snapshot(snapshot_properties=properties).merge_append() as append:
            for files in written:
                for file in files.files:
                    append.append_data_file(file)
        written[0].plans.stage(transaction)


def _suits(files: PartitionFiles, now: TableMetadata) -> bool:
    """Whether rows that were written by one schema read right by the table's schema of now."""
    if files.schema.schema_id == now.current_schema_id:
        return True
    written = {field.field_id: field for field in files.schema.fields}
    for field in now.schema().fields:
        had = written.get(field.field_id)
        if field.required and (had is None or not had.required):
            return False
        if had is not None and not widens(column_type(had), column_type(field)):
            return False
    return True
