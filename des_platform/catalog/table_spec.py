"""How a dataset's files become rows of a table: columns, partitioning, and what may change.

Importing this costs nothing; the readers (`parquet`) and the tables (`lake`) give the words their meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

COLUMN_TYPES = (
    *("string", "int", "long", "float", "double", "boolean", "date", "time", "timestamp", "timestamp_ntz", "binary"),
    "json",
)
"""Types a column may have, beside `decimal(P,S)`. `timestamp` is an instant (microseconds, UTC), `timestamp_ntz` a wall
clock without a zone (microseconds), `time` a time of day (microseconds), `json` text that holds one JSON value."""

COLUMN_TYPE = rf"^({'|'.join(COLUMN_TYPES)}|decimal\(([1-9]|[12][0-9]|3[0-8]), ?([0-9]|[12][0-9]|3[0-8])\))$"
"""The same as a pattern; it does not say that a decimal has no more digits after the point than in all."""


def is_column_type(text: str) -> bool:
    """Whether a column may have this type."""
    found = re.fullmatch(COLUMN_TYPE, text)
    return bool(found and (found[2] is None or int(found[3]) <= int(found[2])))


def _known_type(value: str) -> str:
    if is_column_type(value):
        return value
    raise ValueError(f"unknown type {value!r}, expected one of {', '.join(map(repr, COLUMN_TYPES))}, 'decimal(P,S)'")


ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
ColumnType = Annotated[str, AfterValidator(_known_type)]
Compatibility = Literal["backward", "forward", "full", "none"]
Strategy = Literal["year", "month", "day", "hour", "hash", "list", "range"]
_RULE = re.compile(r"(year|month|day|hour|hash|list|range)\(\s*([A-Za-z_][A-Za-z0-9_]{0,62})\s*((?:,[^,()]+)*)\)")
_MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class PartitionRule:
    """One part of a table's partitioning, beside the day that every table is partitioned by.

    Attributes:
        strategy: `year`, `month`, `day`, `hour` of a date or timestamp column; `hash` into buckets; `list`, one
            partition for each value; `range`, one for each span between two bounds.
        column: the column it looks at.
        buckets: number of buckets of a hash.
        bounds: bounds of a range, in order, as they were written: a value belongs to the span that begins with the
            largest bound not above it.
    """

    strategy: Strategy
    column: str
    buckets: int | None = None
    bounds: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> PartitionRule:
        """Read `month(ts)`, `hash(account, 16)`, `list(symbol)` or `range(price, 0, 100, 1000)`.

        Raises:
            ValueError: it is none of these.
        """
        found = _RULE.fullmatch(text.strip())
        if found is None:
            raise ValueError(
                f"{text!r} is no partition rule: expected year(c), month(c), day(c), hour(c), hash(c, N), list(c)"
                " or range(c, BOUND, ...)"
            )
        strategy, column, rest = found.groups()
        arguments = tuple(argument.strip() for argument in rest.split(",")[1:])
        if strategy == "hash":
            if len(arguments) != 1 or not arguments[0].isdigit() or not 1 <= int(arguments[0]) <= _MAX_BUCKETS:
                raise ValueError(f"{text!r}: hash takes a column and a number of buckets, 1 to {_MAX_BUCKETS}")
            return cls("hash", column, buckets=int(arguments[0]))
        if strategy == "range":
            if not arguments or not all(arguments):
                raise ValueError(f"{text!r}: range takes a column and one bound or more")
            return cls("range", column, bounds=arguments)
        if arguments:
            raise ValueError(f"{text!r}: {strategy} takes a column and nothing else")
        return cls(strategy, column)  # type: ignore[arg-type]  # the pattern lists the strategies

    def __str__(self) -> str:
        """The rule as it is written in a definition."""
        arguments = [str(self.buckets)] if self.buckets else list(self.bounds)
        return f"{self.strategy}({', '.join([self.column, *arguments])})"


class TableSpec(BaseModel):
    """How a dataset's files become rows.

    Attributes:
        columns: column name to type (`COLUMN_TYPES`); empty: inferred from the first day's files, then pinned as the
            table's first schema version.
        partition_by: rules such as `month(traded)` or `hash(account, 16)`, beside the day that every table is
            partitioned by. A change holds for the days written from then on; the others stay readable as they are.
        misfits: what becomes of a row with a value that its column cannot hold: `reject` keeps the whole row in the
            table of rejected rows, `rescue` keeps the row with that value in the column `_rescued`.
        compatibility: which changes of the columns are applied: `backward` (readers of the new schema read old
            files), `forward` (readers of the old schema read new files), `full` (both), `none` (anything).
        renames: new name to old name, of columns that were renamed; anything else is an addition and a drop.
        drops: columns that are given up: their values are no longer read from files nor shown, which no change does
            unasked.
        tolerance: column of type double to the largest relative error that its values may take for smaller files;
            a column that is not named is kept to the bit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[ColumnName, ColumnType] = Field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    misfits: Literal["reject", "rescue"] = "reject"
    compatibility: Compatibility = "backward"
    renames: dict[ColumnName, ColumnName] = Field(default_factory=dict)
    drops: tuple[ColumnName, ...] = ()
    tolerance: dict[ColumnName, Annotated[float, Field(gt=0, le=0.1)]] = Field(default_factory=dict)

    @field_validator("partition_by")
    @classmethod
    def _known_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(PartitionRule.parse(rule)) for rule in value)

    @model_validator(mode="after")
    def _of_declared_columns(self) -> TableSpec:
        if not self.columns:
            return self
        named = {
            "partition_by": [rule.column for rule in self.partitioning],
            "renames": list(self.renames),
            "tolerance": list(self.tolerance),
        }
        for field, columns in named.items():
            for column in columns:
                if column not in self.columns:
                    raise ValueError(f"{field} names column {column!r}, which is not among the columns")
        for column in self.tolerance:
            if self.columns[column] not in {"double", "float"}:
                raise ValueError(f"tolerance is for doubles, and column {column!r} is a {self.columns[column]}")
        for column in self.drops:
            if column in self.columns:
                raise ValueError(f"column {column!r} is declared and dropped at once")
        return self

    @property
    def partitioning(self) -> tuple[PartitionRule, ...]:
        """The rules, read."""
        return tuple(PartitionRule.parse(rule) for rule in self.partition_by)
