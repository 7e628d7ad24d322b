"""What is told of the server itself: health, readiness, metrics, what it offers, and its documentation.

Only the metrics need a key. `/health/live` says that the process answers; `/health/ready` that what it needs answers
too, and names what does not.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, JSONResponse, Response

from des_platform.lake.formatting import format_duration
from des_platform.services.lake_api.context import Context, ContextOf  # noqa: TC001 - FastAPI reads it at run time
from des_platform.services.lake_api.documentation import page
from des_platform.services.lake_api.keys import READ, needs
from des_platform.services.lake_api.problems import ALWAYS, documented

_LOG = logging.getLogger(__name__)
SERVICE: Final = "data-lake-ingestion"
VERSION: Final = "1.0.0"
_FEATURES: Final = [
    "Tables in Apache Iceberg, partitioned by date, hash, range and list",
    "Schema versions: compared, checked for compatibility, applied and rolled back",
    "Partitions with statistics, found by days",
    "Ingestion jobs: batches with true counts, retries, priorities, cron",
    "Data sources",
    "Keys with scopes",
]
_ENDPOINTS: Final = {
    "tables": "/api/v1/tables",
    "partitions": "/api/v1/partitions",
    "schema": "/api/v1/schema",
    "ingestion": "/api/v1/ingestion",
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "metrics": "/metrics",
}

router = APIRouter(tags=["system"], responses=documented(403, 413, 415))


class Health(BaseModel):
    """The server answers."""

    status: Literal["ok"] = "ok"
    service: str = SERVICE
    version: str = VERSION


class Ready(BaseModel):
    """Whether everything that the server needs answers.

    Attributes:
        status: `ready` or `unavailable`.
        missing: what does not answer.
    """

    status: Literal["ready", "unavailable"]
    missing: list[Literal["database", "lake catalogue"]]


class Info(Health):
    """What the server offers."""

    uptime: str
    features: list[str]
    endpoints: dict[str, str]


@router.get("/")
async def root(context: ContextOf) -> Info:
    """Say what the server offers."""
    return _info(context)


@router.get("/info")
async def info(context: ContextOf) -> Info:
    """Say what the server offers."""
    return _info(context)


@router.get("/health")
async def health() -> Health:
    """Answer."""
    return Health()


@router.get("/health/live")
async def live() -> Health:
    """Answer."""
    return Health()


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Something that the server needs does not answer."}},
)
def ready(context: ContextOf) -> Response:
    """Say whether the server can do its work; 503 names what is missing."""
    missing = [
        name
        for name, probe in (("database", _probe_database), ("lake catalogue", _probe_lake))
        if not _answers(probe, context)
    ]
    body: dict[str, Any] = {"status": "unavailable" if missing else "ready", "missing": missing}
    return JSONResponse(body, status_code=503 if missing else 200)


@router.get(
    "/metrics",
    dependencies=[needs(READ)],
    response_class=Response,
    responses=ALWAYS | {200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
)
def metrics(request: Request) -> Response:
    """Return what Prometheus scrapes: the platform's counters, and this server's own."""
    body: bytes = request.app.state.measures.exposition()
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
def documentation(request: Request) -> HTMLResponse:
    """Return the API's description as a page that needs nothing else."""
    return HTMLResponse(page(request.app.openapi()))


def _info(context: Context) -> Info:
    uptime = format_duration(time.monotonic() - context.started)
    return Info(uptime=uptime, features=_FEATURES, endpoints=_ENDPOINTS)


def _answers(probe: Any, context: Context) -> bool:  # noqa: ANN401 - one of the two below
    try:
        probe(context)
    except Exception as error:  # noqa: BLE001 - whatever it is, the server is not ready
        _LOG.warning("not ready: %s: %s", probe.__name__, type(error).__name__)
        return False
    return True


def _probe_database(context: Context) -> None:
    with context.reading() as connection:
        connection.execute(sa.select(1))


def _probe_lake(context: Context) -> None:
    context.lake().exists("ready")
