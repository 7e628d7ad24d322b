"""Partitions with their statistics.

Those of a table of the lake follow the table by themselves: each load and each batch brings their rows up to date. What
is posted here stands until then. A path is made of the values, its keys in order, both escaped.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field

from des_platform.catalog import lake_partitions
from des_platform.lake.formatting import format_partition_path
from des_platform.lake.merging import MergePlan, merge_plans
from des_platform.lake.spans import days_of
from des_platform.services.lake_api import tables
from des_platform.services.lake_api.context import ContextOf  # noqa: TC001 - FastAPI reads it at run time
from des_platform.services.lake_api.keys import READ, WRITE, needs
from des_platform.services.lake_api.models import BIGGEST, Amount, Answer, Body, Id, PathId
from des_platform.services.lake_api.pages import PAGED, PageOf
from des_platform.services.lake_api.problems import ALWAYS, Problem, documented

if TYPE_CHECKING:
    from des_platform.catalog.lake_partitions import LakePartition

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOST_MEGABYTES: Final = 1 << 20

router = APIRouter(prefix="/api/v1/partitions", tags=["partitions"], dependencies=[needs(READ)], responses=ALWAYS)


def _day(text: object) -> object:
    if isinstance(text, str) and not _DAY.fullmatch(text):
        raise ValueError("expected a day such as 2024-01-15")
    return text


Day = Annotated[date, BeforeValidator(_day), Query()]
Key = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
Value = Annotated[str, Field(max_length=512, pattern=r"^[^\x00]*$")] | Annotated[int, Field(ge=-BIGGEST, le=BIGGEST)]


class PartitionStatistics(Body):
    """What a partition holds; what is left out stays, or is 0 for a new one."""

    record_count: Amount = 0
    size_bytes: Amount = 0
    file_count: Amount = 0


class PartitionCreate(PartitionStatistics):
    """A partition to be registered."""

    table_id: Id
    partition_values: Annotated[
        dict[Key, Value | None], Field(min_length=1, max_length=16, examples=[{"year": "2024", "month": "01"}])
    ]


class PartitionResponse(Answer):
    """A partition as it is registered."""

    id: Annotated[Id, Field(validation_alias="partition_id")]
    table_id: int
    partition_path: str
    partition_values: dict[str, str | int | None]
    record_count: int
    size_bytes: int
    file_count: int
    is_active: bool
    created_at: datetime
    last_updated: datetime
    first_day: date | None
    last_day: date | None


@router.post("/", dependencies=[needs(WRITE)], responses=documented(400, 404))
def register_partition(context: ContextOf, body: PartitionCreate) -> PartitionResponse:
    """Register a partition, or, where its path is known, what it holds now."""
    first_day, last_day = days_of(body.partition_values) or (None, None)
    found = lake_partitions.Statistics(
        format_partition_path(body.partition_values),
        body.partition_values,
        first_day,
        last_day,
        body.record_count,
        body.size_bytes,
        body.file_count,
    )
    with context.catalog.begin() as connection:
        tables.active(connection, body.table_id)
        return PartitionResponse.of(lake_partitions.upsert(connection, body.table_id, found))


@router.get("/{partition_id}", responses=documented(404))
def get_partition(context: ContextOf, partition_id: PathId) -> PartitionResponse:
    """Return a partition, active or not."""
    with context.reading() as connection:
        return _answer(lake_partitions.get(connection, partition_id), partition_id)


@router.put("/{partition_id}/stats", dependencies=[needs(WRITE)], responses=documented(400, 404))
def change_statistics(context: ContextOf, partition_id: PathId, body: PartitionStatistics) -> PartitionResponse:
    """Tell what a partition holds now."""
    with context.catalog.begin() as connection:
        changed = body.model_dump(exclude_unset=True)
        return _answer(lake_partitions.update(connection, partition_id, **changed), partition_id)


@router.delete("/{partition_id}", dependencies=[needs(WRITE)], responses=documented(404))
def give_up_partition(context: ContextOf, partition_id: PathId) -> PartitionResponse:
    """Leave a partition out of all lists; its data stays."""
    with context.catalog.begin() as connection:
        return _answer(lake_partitions.update(connection, partition_id, is_active=False), partition_id)


@router.get("/table/{table_id}", responses=PAGED | documented(404))
def list_partitions(context: ContextOf, page: PageOf, table_id: PathId) -> list[PartitionResponse]:
    """List a table's active partitions by their paths."""
    with context.reading() as connection:
        found, total = lake_partitions.of_table(connection, table_id, page.limit, page.offset)
        if not total:
            tables.existing(connection, table_id)
    return page.of([PartitionResponse.of(partition) for partition in found], total)


@router.get("/table/{table_id}/date-range", responses=PAGED | documented(400, 404))
def list_partitions_of_days(
    context: ContextOf, page: PageOf, table_id: PathId, start_date: Day, end_date: Day
) -> list[PartitionResponse]:
    """List a table's active partitions that share a day with the range, both ends included.

    A partition's days follow from its values, however they are spelled: `year=2024/month=01/day=15`, `dt=20240115`,
    `_month_traded=2024-01`.
    """
    if start_date > end_date:
        raise Problem(400, f"the range begins on {start_date}, after its end on {end_date}")
    with context.reading() as connection:
        days = start_date, end_date
        found, total = lake_partitions.of_table(connection, table_id, page.limit, page.offset, days=days)
        if not total:
            tables.existing(connection, table_id)
    return page.of([PartitionResponse.of(partition) for partition in found], total)


@router.post("/table/{table_id}/optimize", responses=documented(404))
def plan_merges(
    context: ContextOf, table_id: PathId, min_size_mb: Annotated[int, Query(ge=1, le=_MOST_MEGABYTES)] = 128
) -> list[MergePlan]:
    """Say which partitions below a size would be better off as one; never of different dates. Nothing is changed."""
    with context.catalog.begin() as connection:
        tables.existing(connection, table_id)
        found, _ = lake_partitions.of_table(connection, table_id)
    return merge_plans(found, min_size_mb << 20)


def _answer(found: LakePartition | None, partition_id: int) -> PartitionResponse:
    if found is None:
        raise Problem(404, f"there is no partition {partition_id}; GET /api/v1/partitions/table/ID lists a table's")
    return PartitionResponse.of(found)
