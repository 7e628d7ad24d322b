"""Who asks, and what they may do.

A key comes as `Authorization: Bearer`. It is looked at before anything else of a request, its body included; only
`PUBLIC` answers without one. Its SHA-256 is looked up, so no comparison runs over the key itself: how long a look takes
tells of a digest that nobody can steer. A key's scopes are words; `lake:write` includes `lake:read`, and `lake:admin`
includes both.

Without keys (`des serve lake --open`, loopback alone) a web page in somebody's browser must not ask in their name:
such a request names its own host or origin, and is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes
from sqlalchemy.exc import OperationalError, TimeoutError  # noqa: A004 - waiting for a connection took too long
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from des_platform.catalog import api_keys
from des_platform.services.lake_api.problems import Problem
from des_platform.services.listening import is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from des_platform.services.lake_api.context import Context

READ: Final = "lake:read"
WRITE: Final = "lake:write"
ADMIN: Final = "lake:admin"
PUBLIC: Final = frozenset({"/", "/health", "/health/live", "/health/ready", "/info", "/docs", "/openapi.json"})
_bearer = HTTPBearer(scheme_name="key", description="A key that `des keys create` printed.", auto_error=False)


class Authentication:
    """ASGI middleware: puts the caller's name and scopes beside the request, or answers 401."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app, self._context = app, context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out who asks, then pass the request on."""
        if scope["type"] == "http":
            try:
                state = scope.setdefault("state", {})
                state["caller"], state["scopes"] = await self._caller(scope)
            except Problem as problem:
                await problem.response(scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> tuple[str | None, frozenset[str]]:
        headers = Headers(scope=scope)
        if self._context.unlocked:
            _refuse_other_sites(headers)
            return None, frozenset(api_keys.SCOPES)
        if scope["path"] in PUBLIC:
            return None, frozenset()
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        found = await run_in_threadpool(self._found, sent.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            detail = "send a key as Authorization: Bearer KEY; `des keys create` makes one"
            raise Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="lake"'})
        return found.name, found.allowed

    def _found(self, key: str) -> api_keys.ApiKey | None:
        try:
            with self._context.reading() as connection:
                return api_keys.authenticate(connection, key)
        except (OperationalError, TimeoutError):
            detail = "the catalogue, which knows the keys, cannot be reached; try again later"
            raise Problem(503, detail, headers={"Retry-After": "5"}) from None


def _refuse_other_sites(headers: Headers) -> None:
    host = urlsplit(f"//{headers.get('host', '')}")
    origin = headers.get("origin")
    if not is_loopback(host.hostname or "") or (origin is not None and urlsplit(origin).netloc != host.netloc):
        raise Problem(403, "a server without keys answers programs on this machine alone, no other site's page")


async def _authorize(request: Request, needed: SecurityScopes, _shown: Annotated[object, Depends(_bearer)]) -> None:
    for scope in needed.scopes:
        if scope not in request.state.scopes:
            detail = f"the key lacks the scope {scope}; `des keys create NAME --scope {scope}` makes one that has it"
            challenge = f'Bearer realm="lake", error="insufficient_scope", scope="{scope}"'
            raise Problem(403, detail, headers={"WWW-Authenticate": challenge})


def needs(scope: str) -> Any:  # noqa: ANN401 - what FastAPI's `Security` is declared to return
    """A dependency for routers and endpoints: 403 unless the caller has the scope."""
    return Security(_authorize, scopes=[scope])
