"""How a table is partitioned: its rules as an Iceberg partition spec, changed without touching a file.

`_day` comes first in every spec, since a day is what gets replaced; the rules follow it: year, month, day and hour
become Iceberg's transforms, `hash` a bucket, `list` an identity, `range` the identity of a derived column (`ranges`).
Partition fields have names that no declared column can have (`_month_traded`), so columns may come, go and be renamed
as they like; what people see and what paths say is `partition_path`: `_day=2024-01-01/_month_traded=2024-01/symbol=A`.

A changed partitioning is metadata only: files keep the spec under which they were written, and readers plan by each
file's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
    YearTransform,
)
from pyiceberg.types import DateType, StringType, TimestampType, TimestamptzType

from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake import ranges
from des_platform.lake.types import DAY, JSON_DOC
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.typedef import Record
    from pyiceberg.types import NestedField

_TIMES: Final[dict[str, Transform[Any, Any]]] = {
    "year": YearTransform(),
    "month": MonthTransform(),
    "day": DayTransform(),
    "hour": HourTransform(),
}
_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_LIST_NAME: Final = "_list_"
_UNSUITED: Final = {"float", "double", "binary"}


def stage_partitioning(transaction: Transaction, rules: Sequence[PartitionRule], table: str) -> None:
    """Put onto a transaction what gives the table these rules, for rows written from then on.

    Raises:
        ConfigurationError: a rule for a column that there is not, or whose type it does not suit; nothing is staged.
    """
    check_rules(table, transaction.table_metadata.schema(), rules)
    sources = _sources(transaction, rules)
    wanted = {(source, repr(_transform(rule))): rule for rule, source in zip(rules, sources, strict=True)}
    current = {
        (field.source_id, repr(field.transform)): field.name for field in transaction.table_metadata.spec().fields
    }
    dropped = [name for key, name in current.items() if key not in wanted and name != DAY]
    taken = set(current.values())  # those dropped too, whose names pyiceberg does not take for free yet
    schema = transaction.table_metadata.schema()
    if dropped or wanted.keys() - current.keys():
        with transaction.update_spec() as update:
            for name in dropped:
                update.remove_field(name)
            for key, rule in wanted.items():
                if key not in current:
                    column = schema.find_column_name(key[0]) or ""
                    name = column if rule.strategy == "range" else _free(_field_name(rule), taken)
                    update.add_field(column, _transform(rule), name)


def check_rules(table: str, schema: Schema, rules: Sequence[PartitionRule]) -> None:
    """Refuse rules that the table cannot have.

    Raises:
        ConfigurationError: naming the rule, what was found and what to do.
    """
    seen: set[tuple[str, str]] = set()
    for rule in rules:
        where = f"table {table!r}, partition rule {str(rule)!r}"
        if rule.column.startswith("_") or rule.column not in schema.column_names:
            columns = ", ".join(name for name in schema.column_names if not name.startswith("_"))
            raise ConfigurationError(f"{where}: there is no column {rule.column!r}; the columns are {columns}")
        kind = "time" if rule.strategy in _TIMES else rule.strategy
        if (kind, rule.column) in seen:
            raise ConfigurationError(f"{where}: a second rule of its kind for the column; keep the finer one")
        seen.add((kind, rule.column))
        field = schema.find_field(rule.column)
        if not _suits(rule, field):
            kind_found = "json" if field.doc == JSON_DOC else field.field_type
            raise ConfigurationError(f"{where}: {rule.strategy} does not suit a column of type {kind_found}")
        if rule.strategy == "range":
            ranges.check_bounds(where, schema, rule.column, rule.bounds)


def rules_of(metadata: TableMetadata) -> tuple[PartitionRule, ...]:
    """The rules that the table has now, by the names that its columns have now; not `_day`."""
    derived = ranges.from_properties(metadata)
    found = []
    for field in metadata.spec().fields:
        if field.source_id in derived:
            span = derived[field.source_id]
            found.append(PartitionRule("range", span.source, bounds=span.bounds))
        elif field.name != DAY:
            column = metadata.schema().find_column_name(field.source_id) or field.name
            found.append(_rule(field.transform, column))
    return tuple(found)


def partition_key(field: PartitionField, schema: Schema) -> str:
    """What a partition field is called in paths and statistics: a list by its column, any other by its own name."""
    if field.name.startswith(_LIST_NAME):
        return schema.find_column_name(field.source_id) or field.name
    return field.name


def human_values(spec: PartitionSpec, partition: Record, schema: Schema) -> dict[str, str | None]:
    """A file's partition values as people read them, by `partition_key`.

    Args:
        spec: under which the file was written.
        partition: its values as Iceberg keeps them.
        schema: the table's, of any time.
    """
    values: dict[str, str | None] = {}
    for position, field in enumerate(spec.fields):
        value = partition[position]
        source = schema.find_type(field.source_id) if schema.find_column_name(field.source_id) else StringType()
        values[partition_key(field, schema)] = None if value is None else field.transform.to_human_string(source, value)
    return values


def partition_path(values: Mapping[str, str | None]) -> str:
    """Write partition values as `k=v/k=v`, which `parse_partition_path` reads back whatever they hold.

    Keys and values are percent-encoded but for letters, digits and `_.-~`, so that no value adds a folder or leaves
    one. Null is what Hive writes for it.
    """
    return "/".join(f"{_escaped(key)}={_NULL if value is None else _escaped(value)}" for key, value in values.items())


def parse_partition_path(path: str) -> dict[str, str | None]:
    """Read what `partition_path` wrote.

    Raises:
        ValueError: a segment is not `k=v`, or comes twice.
    """
    values: dict[str, str | None] = {}
    for segment in path.split("/") if path else []:
        key, equals, value = segment.partition("=")
        name = unquote(key, errors="surrogatepass")
        if not equals or name in values:
            raise ValueError(f"{path!r} is no partition path: {segment!r} is not KEY=VALUE, or the key comes twice")
        values[name] = None if value == _NULL else unquote(value, errors="surrogatepass")
    return values


def _escaped(text: str) -> str:
    if text == _NULL:
        return "%5F" + text[1:]
    return quote(text, safe="", errors="surrogatepass")


def _sources(transaction: Transaction, rules: Sequence[PartitionRule]) -> list[int]:
    """The field id of the column that each rule's partition is made of; a range's is added where it is missing."""
    found = []
    for rule in rules:
        metadata = transaction.table_metadata
        source = metadata.schema().find_field(rule.column).field_id
        if rule.strategy == "range":
            known = [at for at, span in ranges.from_properties(metadata).items() if span.source == rule.column]
            derived = known[0] if known else _add_derived(transaction, rule)
            kept = ranges.to_property(derived, source, rule.bounds)
            if not kept.items() <= metadata.properties.items():
                transaction.set_properties(kept)
            source = derived
        found.append(source)
    return found


def _add_derived(transaction: Transaction, rule: PartitionRule) -> int:
    name = _free(_field_name(rule), set(transaction.table_metadata.schema().column_names))
    with transaction.update_schema() as update:
        update.add_column(name, StringType(), doc=f"the span of {rule.column!r} that the row lies in")
    return transaction.table_metadata.schema().find_field(name).field_id


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _suits(rule: PartitionRule, field: NestedField) -> bool:
    kind = field.field_type
    if rule.strategy in _TIMES:
        instants = (
            (TimestampType, TimestamptzType) if rule.strategy == "hour" else (DateType, TimestampType, TimestamptzType)
        )
        return isinstance(kind, instants)
    if rule.strategy == "range":
        return str(kind) not in {"boolean", "binary"} and field.doc != JSON_DOC
    if rule.strategy == "list":
        return str(kind) not in _UNSUITED and field.doc != JSON_DOC
    return BucketTransform(rule.buckets or 1).can_transform(kind)


def _transform(rule: PartitionRule) -> Transform[Any, Any]:
    if rule.strategy in _TIMES:
        return _TIMES[rule.strategy]
    return BucketTransform(rule.buckets) if rule.buckets else IdentityTransform()


def _rule(transform: Transform[Any, Any], column: str) -> PartitionRule:
    if isinstance(transform, BucketTransform):
        return PartitionRule("hash", column, buckets=transform.num_buckets)
    if isinstance(transform, IdentityTransform):
        return PartitionRule("list", column)
    return PartitionRule(re.sub(r"\W", "", str(transform)), column)  # type: ignore[arg-type]  # a time's own name


def _field_name(rule: PartitionRule) -> str:
    return f"_{rule.strategy}{rule.buckets or ''}_{rule.column}"
