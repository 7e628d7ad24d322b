"""How the columns of a table are written: an encoding and a codec for each leaf, chosen once and kept as JSON.

A plan is chosen from two contiguous slices of the rows and is the same for the same rows, whatever the machine does
meanwhile: time comes from a table, never from a clock. It says what it expects a row to take, so that a file that turns
out otherwise tells that the data have changed. Text that is no plan is a `ValueError`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, cast

from des_platform.parquet.encodings import MAX_LEVEL, Codec, Encoding

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    import pyarrow.parquet as pq

DICTIONARY_LIMIT = 16 << 20
"""Bytes that a dictionary may have before the rest of its row group is written without: 1 MiB, Parquet's usual, cuts
off 40,000 names of 32 letters, and the column takes ten times the bytes."""

JUDGED_ROWS = 32_768
"""A file of fewer rows is too small to tell whether the data have changed: what it takes depends on luck."""

_DRIFT = 0.10
_VERSION = 1


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """How one leaf column is written.

    Attributes:
        encoding: of its values.
        codec: what its pages go through.
        level: of zstd; 0 for none.
        bytes_per_row: what a row of the table is expected to take here; None if nobody knows.
    """

    encoding: Encoding
    codec: Codec
    level: int
    bytes_per_row: float | None = None


@dataclass(frozen=True, slots=True)
class WritePlan:
    """How the columns of a table are written.

    Attributes:
        columns: by path, as Parquet writes it: `name`, or `name.list.element` for what is within another column. A
            column that is not here gets what suits most of its type.
        rows: of what the expectations stand on; a file of far fewer rows is not judged by them.
        dictionary_limit: most bytes of a dictionary.
    """

    columns: Mapping[str, ColumnPlan] = field(default_factory=dict)
    rows: int = 0
    dictionary_limit: int = DICTIONARY_LIMIT

    def to_json(self) -> str:
        """The plan as short JSON, to be kept with the table."""
        columns = {
            path: [column.encoding.value, column.codec.value, column.level, column.bytes_per_row]
            for path, column in self.columns.items()
        }
        known = {"version": _VERSION, "rows": self.rows, "dictionary_limit": self.dictionary_limit, "columns": columns}
        return json.dumps(known, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a plan.

        Args:
            text: what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            found = json.loads(text)
            if found["version"] != _VERSION:
                raise ValueError(f"version {found['version']!r}")  # noqa: TRY301 - told below, as all else
            columns = {str(path): _column(values) for path, values in found["columns"].items()}
            return cls(columns, _natural(found["rows"]), _natural(found["dictionary_limit"]))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f"this is no plan of a table: {text[:100]!r} ({error}); leave it out to choose anew"
            ) from None

    def has_drifted(self, metadata: pq.FileMetaData) -> bool:
        """Whether a file that was written by this plan shows that the data have become others.

        Args:
            metadata: of the file.

        Returns:
            Whether a row takes 10 % more or less than expected, or there are columns that the plan does not know. A
            file of few rows tells nothing.
        """
        if metadata.num_rows < max(JUDGED_ROWS, self.rows // 4):
            return False
        taken = bytes_per_row(metadata)
        if taken.keys() - self.columns.keys():
            return True
        expected = sum(self.columns[path].bytes_per_row or 0.0 for path in taken)
        return abs(sum(taken.values()) - expected) > _DRIFT * expected

    def confirmed(self, metadata: pq.FileMetaData) -> WritePlan:
        """The same plan, with what a file of it really took as what is expected.

        Two slices tell which way of writing is the best, and not to 10 % what a whole file takes. So the first large
        file that a plan has written is what later ones are held against.

        Args:
            metadata: of the file.
        """
        if metadata.num_rows < JUDGED_ROWS:
            return self
        taken = bytes_per_row(metadata)
        columns = {
            path: replace(column, bytes_per_row=taken.get(path, column.bytes_per_row))
            for path, column in self.columns.items()
        }
        return replace(self, columns=columns, rows=metadata.num_rows)


def bytes_per_row(metadata: pq.FileMetaData) -> dict[str, float]:
    """What each leaf column of a file takes, in bytes for a row of the table.

    Args:
        metadata: of the file, which has at least one row.
    """
    taken: dict[str, float] = {}
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            size = column.total_compressed_size / metadata.num_rows
            taken[column.path_in_schema] = taken.get(column.path_in_schema, 0.0) + size
    return taken


def choose_plan(rows: pa.Table | pa.RecordBatch, *, cold: bool = False) -> WritePlan:
    """Choose how to write rows that are like these.

    Args:
        rows: some or all of the table; two slices of 16,384 rows are looked at. How many there are says how often a
            dictionary will be used.
        cold: whether the file is written once and kept for long: it may take ten times as long, for fewer bytes.
    """
    import pyarrow as pa

    from des_platform.parquet.choosing import Aim, choose_columns

    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    if cold:
        aim = Aim(price=1e6, levels=(3, 9, 15), finalists=4, dictionary_limit=DICTIONARY_LIMIT)
    else:
        aim = Aim(price=20e6, levels=(3,), finalists=2, dictionary_limit=DICTIONARY_LIMIT)
    return WritePlan(choose_columns(table, aim) if table.num_rows else {}, table.num_rows)


def _column(values: Any) -> ColumnPlan:  # noqa: ANN401 - whatever stood in the JSON
    encoding, codec, level, taken = values
    if not isinstance(level, int) or not 0 <= level <= MAX_LEVEL:
        raise ValueError(f"level {level!r}")
    if taken is not None and not (isinstance(taken, int | float) and math.isfinite(taken) and taken >= 0):
        raise ValueError(f"{taken!r} bytes per row")
    return ColumnPlan(Encoding(encoding), Codec(codec), level, cast("float | None", taken))


def _natural(value: Any) -> int:  # noqa: ANN401 - whatever stood in the JSON
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
