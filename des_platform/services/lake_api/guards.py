"""What stands before every endpoint: the size and kind of bodies, and one look at each request as a whole.

The outer guard gives each request an id, measures it, writes one line of log about it, and turns what nobody expected
into an answer; it adds the headers with which no browser guesses at an answer or keeps it.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders

from des_platform.services.lake_api.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from des_platform.services.lake_api.measuring import Measures

_LOG = logging.getLogger(__name__)
MOST_BYTES: Final = 1 << 20
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


class Bodies:
    """ASGI middleware: refuses a body above 1 MiB, announced or not, and one that is not JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, then pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check(Headers(scope=scope))
        except Problem as problem:
            await problem.response(scope["path"])(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BYTES:
                raise _too_large()
            return message

        await self._app(scope, limited, send)


def _check(headers: Headers) -> None:
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > MOST_BYTES:
        raise _too_large()
    if length == "0" and "transfer-encoding" not in headers:
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, f"a body is JSON: send it with Content-Type: application/json, not {kind or 'without any'}")


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {MOST_BYTES:,} bytes", headers={"Connection": "close"})


class Requests:
    """ASGI middleware: the outermost one; see the module."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and look at what becomes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _ID.fullmatch(sent) else uuid.uuid4().hex
        status = 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception:
            _LOG.exception("request %s: %s %s failed", request_id, scope["method"], json.dumps(scope["path"]))
            if status:
                raise
            detail = f"the server failed; its log says why, under the request id {request_id}"
            await Problem(500, detail).response(scope["path"])(scope, receive, with_headers)
        finally:
            seconds = time.perf_counter() - started
            self._measures.add(scope, status, seconds)
            _log(scope, request_id, status, seconds)


def _log(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    if _LOG.isEnabledFor(logging.INFO):
        line = {
            "request_id": request_id,
            "caller": scope.get("state", {}).get("caller"),
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "milliseconds": round(seconds * 1000, 2),
        }
        _LOG.info("%s", json.dumps(line))
