"""Schema versions: what a table's columns are, what they were, and the way from one to the other.

The first version makes the table. A later one is checked at once, and its changes wait until they are applied; 409 says
that the table's compatibility mode, its rows or its present columns do not permit a change, and then nothing has
changed. What `compare` answers is what `apply` takes.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime  # noqa: TC003 - pydantic reads it at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from des_platform.catalog import schema_versions
from des_platform.lake import versioning
from des_platform.lake.evolution import Change, diff, parse_definition, violations
from des_platform.lake.types import CommitUnknown, SchemaConflict
from des_platform.lake.validating import FIELD_TYPES
from des_platform.services.lake_api import tables
from des_platform.services.lake_api.context import ContextOf  # noqa: TC001 - FastAPI reads it at run time
from des_platform.services.lake_api.keys import READ, WRITE, needs
from des_platform.services.lake_api.models import Answer, Body, Id, Name, PathId, Text
from des_platform.services.lake_api.pages import PAGED, PageOf
from des_platform.services.lake_api.problems import ALWAYS, Problem, documented
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from des_platform.catalog.lake_tables import LakeTable
    from des_platform.catalog.schema_versions import SchemaVersion

Definition = Annotated[
    dict[str, Any],
    Field(
        description="Columns as `fields`, each with `name`, `type`, and perhaps `required`, `description` and"
        " `renamed_from`, the name that it had in the version before. Types: string, int, long, float, double,"
        f" boolean, date, time, timestamp, timestamp_ntz, binary, json, decimal(P,S); and {', '.join(FIELD_TYPES)}.",
        examples=[{"fields": [{"name": "user_id", "type": "string"}, {"name": "seen", "type": "timestamp"}]}],
    ),
]
ChangeWord = Literal["add_column", "drop_column", "rename_column", "change_type", "add_constraint", "drop_constraint"]
AllowLoss = Annotated[bool, Query(description="Whether columns may be dropped, which hides their values.")]
By = Annotated[Name, Query()]

router = APIRouter(prefix="/api/v1/schema", tags=["schema"], dependencies=[needs(READ)], responses=ALWAYS)


class VersionCreate(Body):
    """A version to be recorded."""

    table_id: Id
    schema_definition: Definition
    description: Text | None = None
    created_by: Name = "api"
    allow_loss: Annotated[bool, Field(description="Whether columns may be dropped, which hides their values.")] = False


class SchemaVersionResponse(Answer):
    """A version of a table's schema."""

    id: Annotated[Id, Field(validation_alias="schema_version_id")]
    table_id: Id
    version_number: int
    schema_definition: dict[str, Any]
    is_current: bool
    created_at: datetime
    created_by: str
    description: str | None
    iceberg_schema_id: Annotated[int | None, Field(description="null until the table has these columns")]


class SchemaChange(Body):
    """One change of one column."""

    type: ChangeWord
    column: Annotated[str, Field(description="The column's name before the change.", min_length=1, max_length=128)]
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None
    description: Text = ""


class SchemaChangeResponse(Answer):
    """A change that a version brought, or is to bring."""

    id: Annotated[Id, Field(validation_alias="schema_change_id")]
    schema_version_id: Id
    change_type: ChangeWord
    status: Literal["pending", "applied", "failed", "rolled_back"]
    column_name: str
    old_value: dict[str, Any] | None
    new_value: dict[str, Any] | None
    change_description: str | None
    applied_at: datetime | None
    applied_by: str | None
    error_message: str | None
    rolled_back_at: datetime | None
    rolled_back_by: str | None
    created_at: datetime


class Comparison(Body):
    """Two schemas."""

    old_schema: Definition
    new_schema: Definition


class ComparisonResponse(BaseModel):
    """What leads from one schema to the other.

    Attributes:
        changes: in the form in which `apply` takes them.
        change_count: how many.
        violations: by compatibility mode, why it does not permit them; drops count as permitted.
    """

    changes: list[SchemaChange]
    change_count: int
    violations: dict[Literal["backward", "forward", "full"], list[str]]


@router.post("/versions", dependencies=[needs(WRITE)], responses=documented(400, 404, 409))
def create_version(context: ContextOf, body: VersionCreate) -> SchemaVersionResponse:
    """Record a version as the current one; the first one makes the table, the changes of another wait for `apply`."""
    with context.catalog.begin() as connection, _refusals():
        made = versioning.post(
            connection,
            context.lake(),
            _changeable(connection, body.table_id),
            body.schema_definition,
            created_by=body.created_by,
            description=body.description,
            allow_loss=body.allow_loss,
        )
    return SchemaVersionResponse.of(made)


@router.get("/versions/table/{table_id}/current", responses=documented(404))
def current_version(context: ContextOf, table_id: PathId) -> SchemaVersionResponse:
    """Return a table's current version."""
    with context.reading() as connection:
        found = schema_versions.current(connection, table_id)
        table = tables.existing(connection, table_id) if found is None else None
    if table is not None:
        raise Problem(404, f"table {table.name} has no schema version yet: POST /api/v1/schema/versions")
    return SchemaVersionResponse.of(found)


@router.get("/versions/table/{table_id}", responses=PAGED | documented(404))
def list_versions(context: ContextOf, page: PageOf, table_id: PathId) -> list[SchemaVersionResponse]:
    """List a table's versions, the newest first."""
    with context.reading() as connection:
        found, total = schema_versions.listing(connection, table_id, page.limit, page.offset)
        if not total:
            tables.existing(connection, table_id)
    return page.of([SchemaVersionResponse.of(version) for version in found], total)


@router.post("/compare", responses=documented(400))
def compare(body: Comparison) -> ComparisonResponse:
    """Say which changes lead from one schema to the other; a rename is one where `renamed_from` declares it."""
    with _refusals():
        changes = diff(parse_definition(body.old_schema), parse_definition(body.new_schema))
    return ComparisonResponse(
        changes=[SchemaChange.model_validate(change.to_json()) for change in changes],
        change_count=len(changes),
        violations={mode: violations(changes, mode, allow_loss=True) for mode in ("backward", "forward", "full")},
    )


@router.post("/versions/{version_id}/apply", dependencies=[needs(WRITE)], responses=documented(400, 404, 409))
def apply_changes(
    context: ContextOf,
    version_id: PathId,
    body: Annotated[list[SchemaChange], Field(max_length=1000)],
    *,
    applied_by: By = "api",
    allow_loss: AllowLoss = False,
) -> list[SchemaChangeResponse]:
    """Change the table, in one step or not at all: the changes that the version waits for, or some; `[]` for all.

    Where it waits for none, other changes may be applied, which makes a version of them.
    """
    with context.catalog.begin() as connection, _refusals():
        version = _version(connection, version_id)
        table = _changeable(connection, version.table_id)
        version = _version(connection, version_id)  # whoever held the table may have made a newer one
        changes = [Change.from_json(change.model_dump()) for change in body]
        made, conflict = versioning.apply(
            connection, context.lake(), table, version, changes, applied_by=applied_by, allow_loss=allow_loss
        )
    if conflict is not None:
        raise Problem(409, str(conflict))
    return [SchemaChangeResponse.of(change) for change in made]


@router.post("/changes/{change_id}/rollback", dependencies=[needs(WRITE)], responses=documented(400, 404, 409))
def roll_back(context: ContextOf, change_id: PathId, rolled_back_by: By = "api") -> SchemaChangeResponse:
    """Take an applied change back, which makes a version of the table as it is then."""
    with context.catalog.begin() as connection, _refusals():
        change = schema_versions.change(connection, change_id)
        if change is None:
            raise Problem(404, f"there is no schema change {change_id}")
        table = _changeable(connection, _version(connection, change.schema_version_id).table_id)
        change = schema_versions.change(connection, change_id) or change  # as whoever held the table left it
        made = versioning.undo(connection, context.lake(), table, change, rolled_back_by=rolled_back_by)
    return SchemaChangeResponse.of(made)


@router.get("/changes/version/{version_id}", responses=documented(404))
def list_changes(context: ContextOf, version_id: PathId) -> list[SchemaChangeResponse]:
    """List the changes that a version brought, or waits for."""
    with context.reading() as connection:
        _version(connection, version_id)
        return [SchemaChangeResponse.of(change) for change in schema_versions.changes_of(connection, version_id)]


def _version(connection: sa.Connection, version_id: int) -> SchemaVersion:
    found = schema_versions.get(connection, version_id)
    if found is None:
        raise Problem(404, f"there is no schema version {version_id}")
    return found


def _changeable(connection: sa.Connection, table_id: int) -> LakeTable:
    tables.owned(connection, table_id)
    return tables.active(connection, table_id)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, versioning.VersionState) as error:
        raise Problem(400, str(error)) from None
    except (SchemaConflict, versioning.Incompatible) as error:
        raise Problem(409, str(error)) from None
    except CommitUnknown as error:
        raise Problem(503, str(error)) from None
    except LookupError as error:
        if type(error) is not LookupError:  # a KeyError is a defect of ours
            raise
        raise Problem(409, f"the catalogue knows the table, the lake does not: {error}") from None
