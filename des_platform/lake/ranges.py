"""Ranges: a derived column that says which span between two bounds a value lies in.

Iceberg has no transform for arbitrary ranges, so `range(price, 0, 100)` is a string column `_range_price` that the
writer fills, and its identity is the partition: `<0`, `[0,100)`, `>=100`, `NaN`, or null for null. Bounds have the
type of their column (numbers, dates, times, instants, text), a value belongs to the span that begins with the
largest bound not above it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import time
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema

from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.table.metadata import TableMetadata

PREFIX: Final = "_range_"
_PROPERTY: Final = "des.range."


@dataclass(frozen=True, slots=True)
class Range:
    """A derived column of a table.

    Attributes:
        column: its name.
        source: the name of the column that it looks at, now.
        bounds: as they were written, ascending.
    """

    column: str
    source: str
    bounds: tuple[str, ...]

    def labels(self) -> list[str]:
        """The label of each span, in ascending order."""
        between = [f"[{low},{high})" for low, high in zip(self.bounds, self.bounds[1:], strict=False)]
        return [f"<{self.bounds[0]}", *between, f">={self.bounds[-1]}"]

    def fill(self, values: pa.Array[Any]) -> pa.Array[Any]:
        """The label of each value."""
        above: pa.Array[Any] = pa.repeat(pa.scalar(0, pa.int32()), len(values))
        for bound in _typed(self.bounds, values.type):
            above = pc.add(above, pc.greater_equal(values, bound).cast(pa.int32()))
        labels = pa.array(self.labels()).take(above)
        if pa.types.is_floating(values.type):
            labels = pc.if_else(pc.is_nan(values), "NaN", labels)
        return labels


def to_property(derived_id: int, source_id: int, bounds: Sequence[str]) -> dict[str, str]:
    """The table property that keeps a range's bounds; by field ids, so that it outlives every renaming."""
    return {f"{_PROPERTY}{derived_id}": json.dumps({"source": source_id, "bounds": list(bounds)})}


def from_properties(metadata: TableMetadata) -> dict[int, Range]:
    """The ranges of a table by the field id of their column; one whose source was dropped is left out."""
    schema = metadata.schema()
    found = {}
    for key, value in metadata.properties.items():
        if key.startswith(_PROPERTY):
            derived_id, kept = int(key.removeprefix(_PROPERTY)), json.loads(value)
            derived, source = schema.find_column_name(derived_id), schema.find_column_name(kept["source"])
            if derived is not None and source is not None:
                found[derived_id] = Range(derived, source, tuple(kept["bounds"]))
    return found


def check_bounds(where: str, schema: Schema, column: str, bounds: Sequence[str]) -> None:
    """Refuse bounds that are no values of the column, or not in ascending order.

    Raises:
        ConfigurationError: naming the bound.
    """
    (field,) = schema_to_pyarrow(Schema(schema.find_field(column)))
    kept: list[Any] = []
    for bound in bounds:
        try:
            (value,) = _typed([bound], field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise ConfigurationError(
                f"{where}: bound {bound!r} is no value of the column's type {field.type}"
            ) from None
        if pc.equal(value, value).as_py() is not True:
            raise ConfigurationError(f"{where}: bound {bound!r} has no place in an order")
        if kept and not pc.less(kept[-1], value).as_py():
            raise ConfigurationError(f"{where}: bound {bound!r} is not above the one before it; put them in order")
        kept.append(value)


def _typed(bounds: Sequence[str], kind: pa.DataType) -> list[Any]:
    """The bounds as scalars; an instant without a zone is UTC."""
    if pa.types.is_time(kind):
        return list(pa.array([time.fromisoformat(bound) for bound in bounds], kind))
    texts = pa.array(bounds, pa.string())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        zoned = [bound if bound[-1:] == "Z" or "+" in bound else f"{bound}Z" for bound in bounds]
        spelled = [bound if len(bound) > len("2024-01-01Z") else bound.replace("Z", "T00:00:00Z") for bound in zoned]
        texts = pa.array(spelled, pa.string())
    return list(texts.cast(kind))
