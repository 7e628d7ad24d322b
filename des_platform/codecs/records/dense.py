"""Columns that follow from others: stored as what is left, or not at all.

Each way is exact, on 64-bit integers that wrap around, with the numbers beneath a column (a decimal's without its
point, a time's in its unit):

* `difference`: the number minus that of column `of` (0 where that is null).
* `previous`: the number minus the one before it in the same row group, among the rows with the same `by`, if there is
  one, that have a number; the first is minus 0.
* `scaled`: the number.
* `lookup`: nothing is stored; the value is in `values` where that of `of` is in `keys`.

What is left is divided by `step` and stored as a zigzag number (0, -1, 1, -2 become 0, 1, 2, 3), so that the upper
bytes of small ones are zero. Which way is good is found in the first block and kept; a line in which it is not right
is kept as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from des_platform.codecs.records.arrow import beneath, codes_of, list_to_arrow, numbers_of
from des_platform.codecs.records.lines import MAX_GROUP_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

PREFIX = "des:rest:"
"""Of the names of the columns that hold what is left."""

How = Literal["difference", "previous", "scaled", "lookup"]


@dataclass(frozen=True, slots=True)
class Dense:
    """How a column follows from others; see the module.

    Attributes:
        column: which one.
        how: in which way.
        of: the other column, of `difference` and `lookup`.
        by: the column that groups the rows, of `previous`.
        step: what is left is a multiple of it.
        keys: of a `lookup`, all values of `of`: integers beneath for numeric columns, else texts; null is one, too.
        values: the column's own, one for each key.
    """

    column: str
    how: How
    of: str = ""
    by: str = ""
    step: int = 1
    keys: tuple[Any, ...] = ()
    values: tuple[Any, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that must be there before this one can be."""
        return tuple(name for name in (self.of, self.by) if name)

    def to_json(self) -> dict[str, Any]:
        """What is not empty."""
        found: dict[str, Any] = {"column": self.column, "how": self.how}
        found |= {name: getattr(self, name) for name in ("of", "by") if getattr(self, name)}
        found |= {"step": self.step} if self.step != 1 else {}
        return found | ({"keys": self.keys, "values": self.values} if self.how == "lookup" else {})


@dataclass(frozen=True)
class Numbers:
    """The integers beneath a column: 0 where there is none, and which rows have one."""

    values: NDArray[np.int64]
    valid: NDArray[np.bool_]


def zigzag(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make small numbers of either sign small ones without."""
    return (numbers << 1) ^ (numbers >> 63)


def unzigzag(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Undo `zigzag`."""
    import numpy as np

    return (numbers.view(np.uint64) >> np.uint64(1)).view(np.int64) ^ -(numbers & 1)


@dataclass(frozen=True)
class Groups:
    """Rows in the order of their groups, in each as they came.

    Attributes:
        order: the rows.
        firsts: whether each, in this order, is the first of its group.
    """

    order: NDArray[np.int64]
    firsts: NDArray[np.bool_]


def group(by: pa.Array[Any] | None, valid: NDArray[np.bool_]) -> Groups:
    """Group the rows that have a number by the values of a column."""
    import numpy as np

    rows = np.flatnonzero(valid)
    firsts = np.zeros(len(rows), bool)
    firsts[:1] = True
    if by is None:
        return Groups(rows, firsts)
    codes, count = codes_of(by)
    codes = codes[rows]
    if count < np.iinfo(np.int16).max:
        codes = codes.astype(np.int16)  # numpy sorts 16 bits by radix, ten times as fast
    order = np.argsort(codes, kind="stable")
    firsts[1:] = np.diff(codes[order]) != 0
    return Groups(rows[order], firsts)


def minus_previous(numbers: NDArray[np.int64], groups: Groups) -> NDArray[np.int64]:
    """Each number minus the one before it in its group; 0 for rows in no group."""
    import numpy as np

    inner = numbers[groups.order]
    left = inner.copy()
    left[1:] -= np.where(groups.firsts[1:], 0, inner[:-1])
    found = np.zeros(len(numbers), np.int64)
    found[groups.order] = left
    return found


def plus_previous(rests: NDArray[np.int64], groups: Groups) -> NDArray[np.int64]:
    """Undo `minus_previous`."""
    import numpy as np

    inner = rests[groups.order]
    sums = np.cumsum(inner)
    starts = np.flatnonzero(groups.firsts)
    before = np.repeat(sums[starts] - inner[starts], np.diff(np.append(starts, len(inner))))
    found = np.zeros(len(rests), np.int64)
    found[groups.order] = sums - before
    return found


def rest_of(dense: Dense, numbers: Mapping[str, Numbers], arrays: Mapping[str, pa.Array[Any]]) -> NDArray[np.int64]:
    """What is left of a column's numbers."""
    own = numbers[dense.column]
    if dense.how == "difference":
        left = own.values - numbers[dense.of].values
    elif dense.how == "previous":
        left = minus_previous(own.values, group(arrays[dense.by] if dense.by else None, own.valid))
    else:
        left = own.values
    return zigzag(left // dense.step)


def undo(dense: Dense, rest: Numbers, numbers: Mapping[str, Numbers], arrays: Mapping[str, pa.Array[Any]]) -> Numbers:
    """The numbers of a column of which this is left."""
    import numpy as np

    left = unzigzag(rest.values) * dense.step
    if dense.how == "difference":
        left += numbers[dense.of].values
    elif dense.how == "previous":
        left = plus_previous(left, group(arrays[dense.by] if dense.by else None, rest.valid))
    return Numbers(np.where(rest.valid, left, 0), rest.valid)


def look_up(dense: Dense, of: pa.Array[Any], kind: pa.DataType) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """The values that a lookup gives.

    Args:
        dense: the lookup.
        of: the values of the other column.
        kind: the type of the looked up ones.

    Returns:
        The values, and the place of each in the table, null for one that is not in it.

    Raises:
        ValueError: the values are longer than a block.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(beneath(of), list_to_arrow(dense.keys, beneath(of).type))
    values = list_to_arrow(dense.values, _beneath_type(kind))
    if pa.types.is_string(kind):
        sizes = list_to_arrow([len(value or "") for value in dense.values], pa.int64())
        if numbers_of(sizes.take(places)).sum() > MAX_GROUP_BYTES:
            raise ValueError(f"the values of column {dense.column!r} are longer than a block")
    return _above(values.take(places), kind), places


def _beneath_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return kind if pa.types.is_string(kind) else pa.int64()


def _above(array: pa.Array[Any], kind: pa.DataType) -> pa.Array[Any]:
    """Undo `beneath`."""
    import pyarrow as pa

    if pa.types.is_string(kind) or kind == array.type:
        return array
    if pa.types.is_boolean(kind):
        return array.cast(pa.bool_())
    return array.cast(pa.int32()).view(kind) if pa.types.is_date32(kind) else array.view(kind)
