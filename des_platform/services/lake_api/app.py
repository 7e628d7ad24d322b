"""The application: every router behind one wall.

A request passes `Requests` (its id, its measure, what the unexpected becomes), `Bodies` (size and kind),
`Authentication`, and then reaches its endpoint, which runs in a thread of its own. Reads are answered from PostgreSQL
alone.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware import Middleware

from des_platform.services.lake_api import jobs, partitions, problems, schema, sources, system, tables
from des_platform.services.lake_api.describing import described
from des_platform.services.lake_api.guards import Bodies, Requests
from des_platform.services.lake_api.keys import Authentication
from des_platform.services.lake_api.measuring import Measures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from des_platform.services.lake_api.context import Context

_DESCRIPTION = (
    "Tables, partitions, schema versions, data sources and ingestion jobs of the lake. Errors are "
    "application/problem+json. Lists are pages: limit, offset, the header X-Total-Count, and Link to the next page."
)


def create_app(context: Context) -> FastAPI:
    """Return the lake API over a context, which it closes when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        context.close()

    measures = Measures(context.catalog)
    app = FastAPI(
        title="Lake API",
        version=system.VERSION,
        description=_DESCRIPTION,
        docs_url=None,  # the framework's page loads its script from elsewhere; ours needs no network
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(Requests, measures=measures),
            Middleware(Bodies),
            Middleware(Authentication, context=context),
        ],
    )
    app.state.context = context
    app.state.measures = measures
    problems.install(app)
    for module in (system, tables, partitions, schema, sources, jobs):
        app.include_router(module.router)
    app.openapi = partial(described, app)  # type: ignore[method-assign] # the framework's own way
    return app
