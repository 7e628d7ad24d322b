"""Rows of a table, told apart by the partition that each belongs to, under the table's current spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table.metadata import TableMetadata

Key = tuple[Any, ...]
"""Partition values as Iceberg keeps them, one for each field of the spec: days and months are numbers since 1970."""


class Split:
    """Tells the rows of a table's partitions apart.

    Args:
        metadata: of the table.
    """

    def __init__(self, metadata: TableMetadata) -> None:
        schema = metadata.schema()
        fields = metadata.spec().fields
        self._sources = [schema.find_column_name(field.source_id) or "" for field in fields]
        self._transforms = [
            field.transform.pyarrow_transform(schema.find_field(field.source_id).field_type) for field in fields
        ]

    def __call__(self, rows: pa.Table) -> Iterator[tuple[Key, pa.Table]]:
        """Yield each partition's rows in their order, in memory of their own unless all are of one partition.

        Args:
            rows: of the table; contiguous columns are quicker.
        """
        if not rows.num_rows:
            return
        codes = np.zeros(rows.num_rows, dtype=np.int64)
        columns = []
        for source, transform in zip(self._sources, self._transforms, strict=True):
            encoded = _physical(transform(_whole(rows[source]))).dictionary_encode(null_encoding="encode")
            columns.append(encoded)
            if len(encoded.dictionary) > 1:
                joined = codes * len(encoded.dictionary) + encoded.indices.to_numpy(zero_copy_only=False)
                codes = np.unique(joined, return_inverse=True)[1]

        def key(row: int) -> Key:
            return tuple(column.dictionary[column.indices[row].as_py()].as_py() for column in columns)

        if not codes.any():
            yield key(0), rows
            return
        order = np.argsort(codes, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
            yield key(int(group[0])), rows.take(pa.array(group, pa.int64()))


def _whole(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    return cast("pa.Array[Any]", column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks))


def _physical(values: pa.Array[Any]) -> pa.Array[Any]:
    kind = values.type
    if pa.types.is_date32(kind):
        return values.cast(pa.int32())
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        return values.cast(pa.int64())
    return values
