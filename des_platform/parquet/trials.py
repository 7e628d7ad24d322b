"""Trying ways of writing on a few rows: each is really written, in memory, and Parquet's metadata tell what it took."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from des_platform.parquet.encodings import Codec, Encoding, Leaf
from des_platform.parquet.plan import ColumnPlan, WritePlan
from des_platform.parquet.writing import open_writer

if TYPE_CHECKING:
    from collections.abc import Sequence

_AS_IT_IS = ColumnPlan(Encoding.PLAIN, Codec.NONE, 0)


class Trial(NamedTuple):
    """What a way of writing made of some rows of a leaf column.

    Attributes:
        dictionary: bytes of dictionary pages.
        data: bytes of all other pages.
        encoded: all bytes before the codec.
        values: how many, nulls left out.
    """

    dictionary: int
    data: int
    encoded: int
    values: int


def try_ways(
    rows: pa.Table, leaves: Sequence[Leaf], ways: Sequence[Sequence[ColumnPlan]]
) -> list[dict[ColumnPlan, Trial]]:
    """Write each leaf column in each of its ways.

    Args:
        rows: the columns.
        leaves: theirs.
        ways: for each leaf; it may have none.

    Returns:
        For each leaf, what each of its ways took.
    """
    found: list[dict[ColumnPlan, Trial]] = [{} for _ in leaves]
    for turn in zip_longest(*ways):
        plan = WritePlan({leaf.path: way or _AS_IT_IS for leaf, way in zip(leaves, turn, strict=True)})
        for trials, way, trial in zip(found, turn, _written(rows, plan), strict=True):
            if way is not None:
                trials[way] = trial
    return found


def _written(rows: pa.Table, plan: WritePlan) -> list[Trial]:
    sink = pa.BufferOutputStream()
    with open_writer(sink, rows.schema, plan) as writer:
        writer.write_table(rows)
    group = pq.read_metadata(pa.BufferReader(sink.getvalue())).row_group(0)
    return [_trial(group.column(number)) for number in range(group.num_columns)]


def _trial(column: pq.ColumnChunkMetaData) -> Trial:
    dictionary = 0
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        dictionary = column.data_page_offset - column.dictionary_page_offset
    nulls = column.statistics.null_count if column.statistics is not None else 0
    data = column.total_compressed_size - dictionary
    return Trial(dictionary, data, column.total_uncompressed_size, column.num_values - (nulls or 0))
