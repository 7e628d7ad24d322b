"""Every error of the API is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, `instance`.

A request that does not fit its description has `errors` besides, each with a JSON pointer into the body or the name of
a parameter. An endpoint raises `Problem`; whatever else goes wrong is translated here, and what nobody expected is a
500 that says nothing of its cause: that stands in the server's log, under the request's id.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError, TimeoutError  # noqa: A004 - waiting for a connection took too long
from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

_LOG = logging.getLogger(__name__)
MEDIA_TYPE: Final = "application/problem+json"
SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "An error, as RFC 9457 describes it.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "What the status means."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong here, and what to do."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "errors": {
            "type": "array",
            "description": "Each place where the request does not fit its description.",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "parameter": {"type": "string", "description": "Name of a parameter of the path or the query."},
                },
            },
        },
    },
}
_MEANINGS: Final = {
    400: "The request cannot be done: a name that is taken, a state that does not allow it, a value without a meaning.",
    401: "The key is missing, wrong or revoked.",
    403: "The key lacks the scope.",
    404: "There is no such thing.",
    409: "The change would break those who read the table, or somebody else was quicker.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not JSON.",
    422: "The request does not fit its description.",
    503: "The catalogue, or the tables' catalogue, cannot be reached.",
}
_MOST_ERRORS: Final = 50


class Problem(HTTPException):
    """An error with a status and a sentence for the client.

    Args:
        status: HTTP status, 400 or above.
        detail: what is wrong and what to do next.
        headers: further headers of the answer.
        errors: places in the request; see the module.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(status, detail, headers)
        self.errors = errors

    def response(self, path: str) -> Response:
        """The answer to a request for that path."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": self.detail,
            "instance": quote(path, safe="/:@!$&'()*+,;="),
        }
        if self.errors:
            body["errors"] = self.errors
        # ASCII: a field's name may hold a lone surrogate, which no UTF-8 has.
        return Response(json.dumps(body).encode(), self.status_code, self.headers, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a router or an endpoint that has these errors."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


ALWAYS: Final = documented(401, 403, 413, 415, 422, 503)
"""The `responses` of every router whose endpoints need a key."""


def install(app: FastAPI) -> None:
    """Let every error of the application's endpoints be answered as a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        return _problem(request, error).response(request.url.path)

    for kind in (HTTPException, RequestValidationError, OperationalError, TimeoutError, OSError):
        app.add_exception_handler(kind, answer)


def _problem(request: Request, error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException(status_code=404):
            return Problem(404, "nothing is at this path; /docs lists what there is")
        case HTTPException(status_code=405):
            return Problem(405, f"{request.method} is not for this path", headers={"Allow": _allowed(request)})
        case HTTPException():
            return Problem(error.status_code, str(error.detail), headers=error.headers)
    _LOG.warning("%s %s: %s", request.method, json.dumps(request.url.path), type(error).__name__)
    what = "the tables' catalogue or store" if isinstance(error, OSError) else "the catalogue"
    return Problem(503, f"{what} cannot be reached; try again later", headers={"Retry-After": "5"})


def _allowed(request: Request) -> str:
    # The router tells of one endpoint of the path alone, and a path has as many as it has methods.
    from starlette.routing import compile_path

    path = request.scope["path"]
    methods = {
        method.upper()
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    }
    return ", ".join(sorted(methods or {"GET"}))


def _invalid(error: RequestValidationError) -> Problem:
    errors = [_place(found) for found in error.errors()[:_MOST_ERRORS]]
    return Problem(422, f"the request does not fit its description: {errors[0]['detail']}", errors=errors)


def _place(found: Mapping[str, Any]) -> dict[str, str]:
    where, *path = found["loc"]
    detail = str(found["msg"]).removeprefix("Value error, ")
    if where != "body":
        name = ".".join(map(str, path))
        return {"detail": f"{name}: {detail}", "parameter": name}
    if found["type"] == "json_invalid":
        return {"detail": f"no JSON: {found['ctx']['error']} at character {path[0]}", "pointer": "#"}
    pointer = "".join(f"/{_token(part)}" for part in path)
    return {"detail": f"{'.'.join(map(str, path)) or 'the body'}: {detail}", "pointer": f"#{pointer}"}


def _token(part: object) -> str:
    text = str(part).replace("~", "~0").replace("/", "~1")
    return quote(text.encode("utf-8", "backslashreplace"), safe="~!$&'()*+,;=:@")
