"""Data sources: where the files of ingestion jobs come from.

A source opens a part of the platform's store to whoever may start jobs, so it takes `lake:admin` to define one. What it
says of credentials are references, and no answer repeats even these.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, ValidationError

from des_platform.catalog import data_sources
from des_platform.catalog.data_sources import (
    AuthType,
    ColumnTypes,
    Connection,
    DataFormat,
    PlainText,
    References,
    SourceDefinition,
    SourceName,
    SourceNameTaken,
    SourceType,
)
from des_platform.services.lake_api.context import ContextOf  # noqa: TC001 - FastAPI reads it at run time
from des_platform.services.lake_api.keys import ADMIN, READ, needs
from des_platform.services.lake_api.models import Answer, Body, Id, Name, PathId
from des_platform.services.lake_api.pages import PAGED, PageOf
from des_platform.services.lake_api.problems import ALWAYS, Problem, documented

if TYPE_CHECKING:
    from des_platform.services.lake_api.context import Context

router = APIRouter(prefix="/api/v1/sources", tags=["sources"], dependencies=[needs(READ)], responses=ALWAYS)


class SourceCreate(Body, SourceDefinition):
    """A data source to be recorded."""

    created_by: Name = "api"


class SourceChange(Body):
    """What may be changed of a data source; what is left out stays."""

    name: SourceName | None = None
    description: PlainText | None = None
    source_type: SourceType | None = None
    connection_config: Connection | None = None
    auth_type: AuthType | None = None
    auth_config: References | None = None
    data_format: DataFormat | None = None
    schema_definition: ColumnTypes | None = None
    is_active: bool = True


class SourceResponse(Answer):
    """A data source as it is recorded, without its references to credentials."""

    id: Annotated[Id, Field(validation_alias="source_id")]
    name: str
    description: str | None
    source_type: SourceType
    connection_config: dict[str, Any]
    auth_type: AuthType
    data_format: DataFormat
    schema_definition: dict[str, str] | None
    is_active: bool
    last_accessed: datetime | None
    last_error: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime


@router.post("/", dependencies=[needs(ADMIN)], responses=documented(400))
def create_source(context: ContextOf, body: SourceCreate) -> SourceResponse:
    """Record a data source; 400 if the name is taken."""
    definition = SourceDefinition.model_validate(body.model_dump(exclude={"created_by"}))
    with context.catalog.begin() as connection:
        try:
            made = data_sources.create(connection, definition, created_by=body.created_by)
        except SourceNameTaken as error:
            raise Problem(400, str(error)) from None
    return SourceResponse.of(made)


@router.get("/", responses=PAGED)
def list_sources(
    context: ContextOf, page: PageOf, *, active_only: Annotated[bool, Query()] = True
) -> list[SourceResponse]:
    """List the data sources in the order in which they were recorded."""
    with context.catalog.begin() as connection:
        found, total = data_sources.page(connection, active_only=active_only, limit=page.limit, offset=page.offset)
    return page.of([SourceResponse.of(source) for source in found], total)


@router.get("/{source_id}", responses=documented(404))
def get_source(context: ContextOf, source_id: PathId) -> SourceResponse:
    """Return a data source, given up or not."""
    with context.catalog.begin() as connection:
        found = data_sources.get(connection, source_id)
    if found is None:
        raise _missing(source_id)
    return SourceResponse.of(found)


@router.put("/{source_id}", dependencies=[needs(ADMIN)], responses=documented(400, 404))
def change_source(context: ContextOf, source_id: PathId, body: SourceChange) -> SourceResponse:
    """Change a data source; 400 if the whole would not be right, or the name is another's."""
    return _changed(context, source_id, body.model_dump(exclude_unset=True))


@router.delete("/{source_id}", dependencies=[needs(ADMIN)], responses=documented(404))
def give_up_source(context: ContextOf, source_id: PathId) -> SourceResponse:
    """Give a data source up: it is no longer listed, and its jobs no longer start; what they brought stays."""
    return _changed(context, source_id, {"is_active": False})


def _changed(context: Context, source_id: int, changes: dict[str, Any]) -> SourceResponse:
    with context.catalog.begin() as connection:
        try:
            found = data_sources.change(connection, source_id, changes)
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise Problem(400, f"the data source would not be right: {said}") from None
        except SourceNameTaken as error:
            raise Problem(400, str(error)) from None
    if found is None:
        raise _missing(source_id)
    return SourceResponse.of(found)


def _missing(source_id: int) -> Problem:
    return Problem(404, f"there is no data source {source_id}; GET /api/v1/sources/ lists them")
