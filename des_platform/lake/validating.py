"""What a table may be called, be partitioned by and be written as, for those who ask for one from outside.

The words are those that clients of data lakes know; which of them the lake cannot do is told when it is asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from des_platform.catalog.table_spec import PartitionRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FIELD_TYPES: Final = (
    "string",
    "integer",
    "long",
    "float",
    "double",
    "boolean",
    "bytes",
    "record",
    "array",
    "map",
    "union",
    "null",
)
TABLE_NAME: Final = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]*$")
LAKE_NAME: Final = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
REJECTS: Final = "_rejected"
STRATEGIES: Final = ("date", "hash", "range", "list")
FORMATS: Final = ("parquet", "avro", "json", "csv", "orc")
COMPRESSIONS: Final = ("none", "snappy", "gzip", "lz4", "zstd")
_BUCKETS: Final = 16
_PARTS_OF_A_DATE: Final = {"year", "month", "day"}


def validate_field_type(kind: str) -> str:
    """Return the type.

    Raises:
        ValueError: it is not among `FIELD_TYPES`.
    """
    return _one_of("field type", kind, FIELD_TYPES)


def validate_table_name(name: str) -> str:
    """Return the name.

    Raises:
        ValueError: it is no table's name, or one that the lake cannot have: an Iceberg table's name is the same to
            every engine only in lower case and without '-'.
    """
    if not TABLE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no table's name: expected a letter, then letters, digits, _ and -")
    if not LAKE_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a table of the lake: expected a letter a-z, then a-z, 0-9 and _, at most 63 characters"
        )
    if name.endswith(REJECTS):
        raise ValueError(f"{name!r}: names that end in {REJECTS} are for the rows that a table could not take")
    return name


def validate_strategy(strategy: str) -> str:
    """Return the partition strategy.

    Raises:
        ValueError: it is not among `STRATEGIES`.
    """
    return _one_of("partition strategy", strategy, STRATEGIES)


def validate_format(storage_format: str) -> str:
    """Return the storage format.

    Raises:
        ValueError: it is not among `FORMATS`.
    """
    return _one_of("storage format", storage_format, FORMATS)


def validate_writable(storage_format: str) -> str:
    """Return the storage format.

    Raises:
        ValueError: it is not what the lake's tables are written in.
    """
    if validate_format(storage_format) != "parquet":
        raise ValueError(
            f"tables are written as parquet alone, not as {storage_format}: files of other formats are what jobs read"
        )
    return storage_format


def validate_compression(compression: str) -> str:
    """Return the compression.

    Raises:
        ValueError: it is not among `COMPRESSIONS`.
    """
    return _one_of("compression", compression, COMPRESSIONS)


def partition_rules(strategy: str, columns: Sequence[str], rules: Iterable[str] = ()) -> tuple[PartitionRule, ...]:
    """Return what a strategy and its columns mean, beside the day that every table is partitioned by.

    Args:
        strategy: `date`: `year`, `month` and `day` are that very day; any other column is a date or a timestamp,
            partitioned by its day. `hash`: `account` (16 buckets) or `account:32`. `list`: one partition a value.
            `range`: `price:0,100,1000`, a partition between two bounds each.
        columns: as the strategy wants them; none for the day alone.
        rules: further rules, as `PartitionRule.parse` reads them.

    Raises:
        ValueError: a column is written otherwise, or two rules are the same.
    """
    validate_strategy(strategy)
    wanted = columns
    if strategy == "date":
        wanted = [column for column in columns if column not in _PARTS_OF_A_DATE]
    found = [_rule(strategy, column) for column in wanted] + [PartitionRule.parse(rule) for rule in rules]
    for rule in found:
        if found.count(rule) > 1:
            raise ValueError(f"the partition rule {rule} stands there twice")
    return tuple(found)


def _rule(strategy: str, text: str) -> PartitionRule:
    column, _, rest = text.partition(":")
    match strategy:
        case "hash":
            return PartitionRule.parse(f"hash({column}, {rest or _BUCKETS})")
        case "range" if not rest:
            raise ValueError(f"a range needs bounds: write {column}:0,100,1000 for partitions between these")
        case "range":
            return PartitionRule.parse(f"range({column}, {rest})")
    return PartitionRule.parse(f"{'day' if strategy == 'date' else strategy}({text})")


def _one_of(what: str, found: str, known: Sequence[str]) -> str:
    if found not in known:
        raise ValueError(f"{found!r} is no {what}: expected one of {', '.join(known)}")
    return found
