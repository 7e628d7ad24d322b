"""Narrower column types that hold every value there is, bit for bit: 32 bits in place of 64.

What a type is narrowed to holds for one file; the next one may need the wide type again. So nothing is narrowed unless
somebody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from des_platform.parquet.sameness import same_values

if TYPE_CHECKING:
    from collections.abc import Iterable

_NARROWER: dict[pa.DataType, pa.DataType] = {
    pa.int64(): pa.int32(),
    pa.uint64(): pa.uint32(),
    pa.float64(): pa.float32(),
}


def narrowed_schema(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Schema:
    """Find the narrowest types that hold some rows.

    Args:
        schema: of the rows.
        batches: all of them.

    Returns:
        The schema with narrower types where every value comes back bit for bit; columns of nulls stay as they are.
    """
    fitting = {index for index, item in enumerate(schema) if item.type in _NARROWER}
    valued: set[int] = set()
    for batch in batches:
        fitting = {index for index in fitting if _fits(batch.column(index))}
        valued |= {index for index in fitting if batch.column(index).null_count < len(batch)}
    for index in fitting & valued:
        item = schema.field(index)
        schema = schema.set(index, item.with_type(_NARROWER[item.type]))
    return schema


def convert(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Give a batch the types of a schema, of which each holds its values.

    Raises:
        pyarrow.ArrowInvalid: a type does not.
    """
    columns = [
        column if column.type.equals(item.type) else column.cast(item.type)
        for column, item in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _fits(array: pa.Array[Any]) -> bool:
    try:
        with np.errstate(all="ignore"):
            narrow = array.cast(_NARROWER[array.type])
    except pa.ArrowInvalid:
        return False
    return same_values(array, narrow.cast(array.type))
