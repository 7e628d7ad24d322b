"""Batches as parsers hand them over become rows of a table: its columns, in its order, of its exact types.

Nothing is cast silently: text that looks like a number is not a number, a double is no float, and a value that the
column cannot hold is a `SchemaConflict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from des_platform.lake import ranges
from des_platform.lake.types import DAY, SchemaConflict

if TYPE_CHECKING:
    from datetime import date

    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow schema of a table's files, with field ids; text has 32-bit offsets, as parsers have it."""
    return pa.schema([_small(field) for field in schema_to_pyarrow(schema)])


class Conform:
    """Makes batches fit a table.

    Args:
        table: its name, for errors.
        metadata: its metadata.

    Attributes:
        schema: of what comes out.
    """

    def __init__(self, table: str, metadata: TableMetadata) -> None:
        self.schema = arrow_schema(metadata.schema())
        self._names = set(self.schema.names)
        self._table = table
        partitioned = {field.source_id for field in metadata.spec().fields}
        self._ranges = {span.column: span for at, span in ranges.from_properties(metadata).items() if at in partitioned}

    def __call__(self, batch: pa.RecordBatch, day: date | None) -> pa.RecordBatch:
        """Give a batch the table's columns: by name, in order, of the exact type; an absent one is null.

        Args:
            batch: declared and lineage columns, any of them, in any order.
            day: the day of all its rows; None: the batch has a column `_day`.

        Raises:
            SchemaConflict: a column that the table lacks, twice the same, a row without a day, or values that a
                column's type cannot hold without loss.
        """
        given = self._given(batch, day)
        columns: dict[str, pa.Array[Any]] = {}
        for field in self.schema:
            if field.name == DAY and day is not None:
                columns[DAY] = pa.repeat(pa.scalar(day, pa.date32()), batch.num_rows)
            elif field.name in given and field.name not in self._ranges:
                columns[field.name] = _cast(given[field.name], field, self._table)
            else:
                columns[field.name] = pa.nulls(batch.num_rows, field.type)
        for name, span in self._ranges.items():
            columns[name] = span.fill(columns[span.source])
        for field in self.schema:
            if not field.nullable and columns[field.name].null_count:
                advice = "give every row a value, or lift the requirement"
                raise SchemaConflict(self._table, field.name, "a row without a value", f"required {field.type}", advice)
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=self.schema)

    def _given(self, batch: pa.RecordBatch, day: date | None) -> dict[str, pa.Array[Any]]:
        """The batch's columns by name; refused if one of them would get lost."""
        given: dict[str, pa.Array[Any]] = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if name == DAY and day is not None:
                declared = "once, for the lake to fill"
            elif name in given:
                declared = "once already"
            elif name not in self._names:
                declared = "nothing"
            else:
                given[name] = values
                continue
            advice = "declare the column, or rename or drop it where the files are parsed"
            raise SchemaConflict(self._table, name, f"values of type {values.type}", declared, advice)
        if day is None and (DAY not in given or given[DAY].null_count):
            advice = "say which day they are of"
            raise SchemaConflict(self._table, DAY, "rows without a day", "a day for each row", advice)
        return given


def _small(field: pa.Field[Any]) -> pa.Field[Any]:
    if pa.types.is_large_string(field.type):
        return field.with_type(pa.string())
    return field.with_type(pa.binary()) if pa.types.is_large_binary(field.type) else field


def _cast(values: pa.Array[Any], field: pa.Field[Any], table: str) -> pa.Array[Any]:
    """Cast within a family of types (numbers, strings, instants)."""
    if values.type == field.type:
        return values
    advice = "parse the column as declared, or declare it as it is"
    if not _same_family(values.type, field.type):
        raise SchemaConflict(table, field.name, f"values of type {values.type}", str(field.type), advice)
    try:
        return values.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        found = f"values of type {values.type} that do not fit ({error})"
        raise SchemaConflict(table, field.name, found, str(field.type), advice) from error


def _same_family(found: pa.DataType, declared: pa.DataType) -> bool:
    if isinstance(found, pa.DictionaryType):
        found = found.value_type
    if pa.types.is_null(found) or found.equals(declared):
        return True
    if pa.types.is_string(declared):
        return pa.types.is_large_string(found) or pa.types.is_string_view(found)
    if pa.types.is_binary(declared):
        return pa.types.is_large_binary(found) or pa.types.is_binary_view(found) or pa.types.is_fixed_size_binary(found)
    if pa.types.is_floating(declared):
        # From wider floats the cast would round, without a word.
        return pa.types.is_integer(found) or (pa.types.is_floating(found) and found.bit_width <= declared.bit_width)
    if pa.types.is_timestamp(declared):
        # An instant as a wall clock would lose which clock.
        return pa.types.is_timestamp(found) and (declared.tz is not None or found.tz is None)
    families = (pa.types.is_integer, pa.types.is_date, pa.types.is_time, pa.types.is_decimal)
    return any(is_member(declared) and is_member(found) for is_member in families)
