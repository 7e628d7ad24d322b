"""Tables: registered here, made in the lake with their first schema version.

Every table is partitioned by the UTC day that brought its rows; what is asked for here follows that day. A table of a
dataset is shown, and changed by the dataset's definition alone.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it at run time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from des_platform.catalog import lake_tables
from des_platform.catalog.table_spec import Compatibility  # noqa: TC001 - pydantic reads it at run time
from des_platform.lake.validating import (
    COMPRESSIONS,
    FORMATS,
    LAKE_NAME,
    STRATEGIES,
    partition_rules,
    validate_compression,
    validate_format,
    validate_strategy,
    validate_table_name,
    validate_writable,
)
from des_platform.services.lake_api.context import ContextOf  # noqa: TC001 - FastAPI reads it at run time
from des_platform.services.lake_api.keys import ADMIN, READ, WRITE, needs
from des_platform.services.lake_api.models import Answer, Body, Id, PathId, Text
from des_platform.services.lake_api.pages import PAGED, PageOf
from des_platform.services.lake_api.problems import ALWAYS, Problem, documented
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from des_platform.catalog.lake_tables import LakeTable
    from des_platform.catalog.table_spec import PartitionRule
    from des_platform.services.lake_api.context import Context

TableName = Annotated[
    str, AfterValidator(validate_table_name), Field(json_schema_extra={"pattern": LAKE_NAME.pattern}, max_length=63)
]
Strategy = Annotated[
    str,
    AfterValidator(validate_strategy),
    Field(
        description="What the partition columns mean, beside the day that every table is partitioned by.",
        json_schema_extra={"enum": list(STRATEGIES)},
    ),
]
Columns = Annotated[
    list[Annotated[str, Field(max_length=500, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}(:[^()\x00-\x1f]*)?$")]],
    Field(
        max_length=16,
        description="date: a date or timestamp column, by its day; year, month and day are the day itself. "
        "hash: `account` or `account:32`, in 16 or 32 buckets. list: a column. range: `price:0,100`, with its bounds.",
    ),
]
Rules = Annotated[
    list[Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]],
    Field(max_length=16, description="Further rules, such as month(traded), hash(account, 16), range(price, 0, 100)."),
]
Format = Annotated[
    str,
    AfterValidator(validate_format),
    Field(description="Tables are written as parquet alone.", json_schema_extra={"enum": list(FORMATS)}),
]
Compression = Annotated[
    str,
    AfterValidator(validate_compression),
    Field(
        description="Recorded; the writer chooses the codec of each column by a sample of its values.",
        json_schema_extra={"enum": list(COMPRESSIONS)},
    ),
]
_DEFINING = {"partition_strategy", "partition_columns", "partition_by"}

router = APIRouter(prefix="/api/v1/tables", tags=["tables"], dependencies=[needs(READ)], responses=ALWAYS)


class TableChange(Body):
    """What may be changed of a table; what is left out stays."""

    description: Text | None = None
    partition_strategy: Strategy = "date"
    partition_columns: Columns = Field(default_factory=list)
    partition_by: Rules = Field(default_factory=list)
    compatibility: Compatibility = "backward"
    storage_format: Format = "parquet"
    compression: Compression = "snappy"


class TableCreate(TableChange):
    """A table to be registered."""

    name: TableName


class TableResponse(Answer):
    """A table as it is registered."""

    id: Annotated[Id, Field(validation_alias="table_id")]
    name: str
    description: str | None
    schema_version: int
    partition_strategy: str
    partition_columns: list[str]
    partition_by: list[str]
    compatibility: Compatibility
    storage_format: str
    compression: str
    dataset: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


@router.post("/", dependencies=[needs(WRITE)], responses=documented(400))
def create_table(context: ContextOf, body: TableCreate) -> TableResponse:
    """Register a table; 400 if the name is taken, or the lake cannot do what is asked for."""
    values = body.model_dump(exclude={"name", "partition_by"})
    rules = _rules(body.storage_format, body.partition_strategy, body.partition_columns, body.partition_by)
    with context.catalog.begin() as connection:
        made = lake_tables.create(connection, body.name, **values, partition_by=[str(rule) for rule in rules])
    if made is None:
        raise Problem(400, f"a table or a dataset called {body.name!r} exists, or existed: choose another name")
    return TableResponse.of(made)


@router.get("/", responses=PAGED)
def list_tables(
    context: ContextOf, page: PageOf, *, active_only: Annotated[bool, Query()] = True
) -> list[TableResponse]:
    """List the tables in the order in which they were registered."""
    with context.reading() as connection:
        found, total = lake_tables.listing(connection, page.limit, page.offset, active_only=active_only)
    return page.of([TableResponse.of(table) for table in found], total)


@router.get("/{table_id}", responses=documented(404))
def get_table(context: ContextOf, table_id: PathId) -> TableResponse:
    """Return a table, given up or not."""
    with context.reading() as connection:
        return TableResponse.of(existing(connection, table_id))


@router.put("/{table_id}", dependencies=[needs(WRITE)], responses=documented(400, 404))
def change_table(context: ContextOf, table_id: PathId, body: TableChange) -> TableResponse:
    """Change a table; another partitioning holds for the rows written from now on, the others stay as they are."""
    changed = body.model_dump(exclude_unset=True)
    with context.catalog.begin() as connection:
        table = owned(connection, table_id)
        if _DEFINING & changed.keys() or "storage_format" in changed:
            strategy = changed.get("partition_strategy", table.partition_strategy)
            columns = changed.get("partition_columns", table.partition_columns)
            asked = changed.get("partition_by", _beside(table))
            rules = _rules(body.storage_format, strategy, columns, asked)
            changed["partition_by"] = [str(rule) for rule in rules]
            if changed["partition_by"] != table.partition_by:
                _repartition(context, table.name, rules)
        found = lake_tables.update(connection, table_id, **changed) if changed else table
    return TableResponse.of(found)


@router.delete("/{table_id}", dependencies=[needs(ADMIN)], responses=documented(400, 404))
def give_up_table(context: ContextOf, table_id: PathId) -> TableResponse:
    """Give a table up: it is no longer listed and takes no more rows; its data stays."""
    with context.catalog.begin() as connection:
        owned(connection, table_id)
        return TableResponse.of(lake_tables.update(connection, table_id, is_active=False))


def existing(connection: sa.Connection, table_id: int, *, lock: bool = False) -> LakeTable:
    """The table with that number.

    Raises:
        Problem: 404, there is none.
    """
    found = lake_tables.get(connection, table_id, lock=lock)
    if found is None:
        raise Problem(404, f"there is no table {table_id}; GET /api/v1/tables/ lists them")
    return found


def owned(connection: sa.Connection, table_id: int) -> LakeTable:
    """The table with that number, locked, where the API may change it.

    Raises:
        Problem: 404, there is none; 400, it is a dataset's.
    """
    found = existing(connection, table_id, lock=True)
    if found.dataset is not None:
        raise Problem(400, f"{found.name} is the table of the dataset {found.dataset}: its definition says how it is")
    return found


def active(connection: sa.Connection, table_id: int) -> LakeTable:
    """The table with that number, which still takes rows.

    Raises:
        Problem: 404, there is none; 400, it was given up.
    """
    found = existing(connection, table_id)
    if not found.is_active:
        raise Problem(400, f"table {found.name} was given up, and takes nothing any more")
    return found


def _rules(storage_format: str, strategy: str, columns: list[str], rules: list[str]) -> tuple[PartitionRule, ...]:
    try:
        validate_writable(storage_format)
        return partition_rules(strategy, columns, rules)
    except ValueError as error:
        raise Problem(400, str(error)) from None


def _beside(table: LakeTable) -> list[str]:
    of_columns = {str(rule) for rule in partition_rules(table.partition_strategy, table.partition_columns)}
    return [rule for rule in table.partition_by if rule not in of_columns]


def _repartition(context: Context, name: str, rules: tuple[PartitionRule, ...]) -> None:
    lake = context.lake()
    if not lake.exists(name):
        return
    try:
        lake.repartition(name, rules)
    except ConfigurationError as error:
        raise Problem(400, str(error)) from None
