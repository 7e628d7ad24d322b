"""The compression reports over HTTP: an index at `/`, a day's page at `/<dataset>/<day>.html`.

Only reads, and only what lies under `reports/` in the platform's bucket: a path is one of those two, or it is not
found, so none leads anywhere else. Whatever a page in the bucket holds, the browser is told to let it ask for nothing
and to keep it apart from every other page (`_HEADERS`). Who may ask: see `listening`.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from des_platform.compression.report import REPORTS, report_key
from des_platform.compression.report.index_page import index_page
from des_platform.objectstore import ObjectNotFound, ObjectTooLarge, StoreUnavailable
from des_platform.services.listening import is_allowed, listening_server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.simple_server import WSGIServer
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from des_platform.objectstore import ObjectStore

_MAX_PAGE_BYTES = 32 << 20
_PAGE = re.compile(r"([a-z][a-z0-9_]{0,62})/([0-9]{4}-[0-9]{2}-[0-9]{2})\.html")
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
_HEADERS = [
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
]


def reports_server(store: ObjectStore, host: str, port: int, key: str = "") -> WSGIServer:
    """A server that waits for `serve_forever`.

    Args:
        store: the platform's own bucket.
        host: address to listen on.
        port: TCP port; 0 lets the system choose.
        key: what a client must send; needed for every address but the loopback ones.

    Raises:
        ConfigurationError: the address is not a loopback one and there is no key, or the port cannot be had.
    """
    return listening_server(_application(store, key), host, port, key=key, variable="DES_REPORTS_KEY")


def _application(store: ObjectStore, key: str) -> WSGIApplication:
    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        status, body = _answer(store, environment, key)
        kind = "text/html" if status == _OK else "text/plain"
        headers = [*_HEADERS, ("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))]
        if status == _UNAUTHORIZED:
            headers.append(("WWW-Authenticate", 'Basic realm="compression reports", charset="UTF-8"'))
        if status == _NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        start(status, headers)
        return [b"" if environment["REQUEST_METHOD"] == "HEAD" else body]

    return answer


_OK = "200 OK"
_UNAUTHORIZED = "401 Unauthorized"
_NOT_FOUND = "404 Not Found"
_NOT_ALLOWED = "405 Method Not Allowed"
_UNAVAILABLE = "503 Service Unavailable"


def _answer(store: ObjectStore, environment: WSGIEnvironment, key: str) -> tuple[str, bytes]:
    if not is_allowed(environment, key):
        return _UNAUTHORIZED, b"the key is missing or wrong\n"
    if environment["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return _NOT_ALLOWED, b"reports are only read\n"
    try:
        return _page(store, environment.get("PATH_INFO", ""))
    except (StoreUnavailable, ObjectTooLarge):
        return _UNAVAILABLE, b"the store did not give the report; try again\n"


def _page(store: ObjectStore, path: str) -> tuple[str, bytes]:
    if path in {"", "/"}:
        return _OK, index_page(_reported_days(store)).encode()
    found = _asked(path.removeprefix("/"))
    if found is None:
        return _NOT_FOUND, b"reports are at /DATASET/YYYY-MM-DD.html, and listed at /\n"
    try:
        return _OK, store.get(report_key(*found), max_bytes=_MAX_PAGE_BYTES)
    except ObjectNotFound:
        name, day = found
        return _NOT_FOUND, f"there is no report of {name} on {day}; `des report {name} {day}` writes it\n".encode()


def _reported_days(store: ObjectStore) -> dict[str, list[date]]:
    days: dict[str, list[date]] = {}
    for info in store.list(REPORTS):
        if found := _asked(info.key.removeprefix(REPORTS)):
            days.setdefault(found[0], []).append(found[1])
    return days


def _asked(path: str) -> tuple[str, date] | None:
    found = _PAGE.fullmatch(path)
    try:
        return (found[1], date.fromisoformat(found[2])) if found else None
    except ValueError:
        return None
