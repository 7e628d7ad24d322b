"""Choosing how to write each leaf column: candidates are tried on two contiguous slices of the rows.

A candidate costs its bytes, and its CPU time turned into bytes; the least wins. First each encoding is tried with
zstd-1, then the best ones with no codec and with higher levels. Slices are contiguous, since rows drawn one by one
would hide what neighbours have in common. A dictionary grows on the way from the slices to a row group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from des_platform.parquet.costs import seconds
from des_platform.parquet.dictionaries import Dictionary
from des_platform.parquet.encodings import Codec, Encoding, Leaf, leaves_of
from des_platform.parquet.plan import ColumnPlan
from des_platform.parquet.trials import Trial, try_ways
from des_platform.parquet.writing import ROW_GROUP_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

_SLICE_ROWS = 16_384
_SLICE_BYTES = 32 << 20  # a row may be a document
_PLAIN = ColumnPlan(Encoding.PLAIN, Codec.ZSTD, 1)
_INDEXED = ColumnPlan(Encoding.DICTIONARY, Codec.NONE, 0)


@dataclass(frozen=True, slots=True)
class Aim:
    """What is wanted of a plan.

    Attributes:
        price: bytes that a second of CPU time is worth.
        levels: of zstd that are tried, beside 1.
        finalists: how many encodings these are tried with.
        dictionary_limit: most bytes of a dictionary.
    """

    price: float
    levels: tuple[int, ...]
    finalists: int
    dictionary_limit: int


@dataclass(frozen=True, slots=True)
class _Judge:
    """Says what a way of writing a leaf column costs.

    Attributes:
        leaf: the column.
        rows: of the slices.
        group: rows of a row group.
        dictionary: what becomes of the column's.
        aim: what is wanted.
    """

    leaf: Leaf
    rows: int
    group: int
    dictionary: Dictionary
    aim: Aim

    def bytes_per_row(self, way: ColumnPlan, trial: Trial) -> float:
        """What a row takes in a whole row group."""
        if way.encoding is not Encoding.DICTIONARY:
            return trial.data / self.rows
        dictionary = trial.dictionary * self.dictionary.growth / self.group
        return dictionary + trial.data * self.dictionary.widening / self.rows

    def cost(self, way: ColumnPlan, trial: Trial) -> float:
        """What a row takes, its time as bytes."""
        if way.encoding is Encoding.DICTIONARY and self.dictionary.size > self.aim.dictionary_limit:
            return math.inf
        time = seconds(self.leaf.physical, way, trial.values, trial.encoded, self.dictionary.size)
        return self.bytes_per_row(way, trial) + self.aim.price * time / self.rows

    def ranked(self, trials: Mapping[ColumnPlan, Trial]) -> list[ColumnPlan]:
        """The ways, the best first; of equals, the one that was tried first."""
        return sorted(trials, key=lambda way: self.cost(way, trials[way]))

    def finalists(self, trials: Mapping[ColumnPlan, Trial]) -> list[ColumnPlan]:
        """The best encodings, with no codec and with each level."""
        codecs = [(Codec.NONE, 0), *((Codec.ZSTD, level) for level in self.aim.levels)]
        best = self.ranked(trials)[: self.aim.finalists]
        return [ColumnPlan(way.encoding, codec, level) for way in best for codec, level in codecs]

    def chosen(self, trials: Mapping[ColumnPlan, Trial]) -> ColumnPlan:
        """The best way, and what is expected of it."""
        way = self.ranked(trials)[0]
        return ColumnPlan(way.encoding, way.codec, way.level, round(self.bytes_per_row(way, trials[way]), 4))


def choose_columns(rows: pa.Table, aim: Aim) -> dict[str, ColumnPlan]:
    """Choose for each leaf column of some rows.

    Args:
        rows: that stand for all; at least one.
        aim: what is wanted.
    """
    leaves = leaves_of(rows.schema)
    slices = _slices(rows)
    both = pa.concat_tables(slices)
    opening = [[ColumnPlan(name, Codec.ZSTD, 1) for name in leaf.encodings] for leaf in leaves]
    trials = try_ways(both, leaves, opening)
    indexed = [[_INDEXED] if Encoding.DICTIONARY in leaf.encodings else [] for leaf in leaves]
    halves, wholes = try_ways(slices[0], leaves, indexed), try_ways(both, leaves, indexed)
    group = max(min(rows.num_rows, ROW_GROUP_ROWS), both.num_rows)
    judges = [
        _Judge(leaf, both.num_rows, group, _dictionary(tried, half, whole, group / both.num_rows), aim)
        for leaf, tried, half, whole in zip(leaves, trials, halves, wholes, strict=True)
    ]
    finals = try_ways(both, leaves, [judge.finalists(tried) for judge, tried in zip(judges, trials, strict=True)])
    return {
        judge.leaf.path: judge.chosen(tried | final) for judge, tried, final in zip(judges, trials, finals, strict=True)
    }


def _dictionary(
    tried: Mapping[ColumnPlan, Trial], half: Mapping[ColumnPlan, Trial], whole: Mapping[ColumnPlan, Trial], times: float
) -> Dictionary:
    if not whole:
        return Dictionary()
    return Dictionary.grown(half[_INDEXED], whole[_INDEXED], tried[_PLAIN], times)


def _slices(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Two contiguous slices, from the middle of each half."""
    half = -(-rows.num_rows // 2)
    fitting = int(_SLICE_BYTES * rows.num_rows / max(rows.nbytes, 1))
    length = min(_SLICE_ROWS, max(fitting, 1))
    return _middle(rows.slice(0, half), length), _middle(rows.slice(half), length)


def _middle(rows: pa.Table, length: int) -> pa.Table:
    return rows.slice(max(rows.num_rows - length, 0) // 2, length)
