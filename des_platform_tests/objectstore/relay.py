"""A relay in front of the S3 server that counts what passes."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its line, its headers in lower case, the bytes of both bodies, the answer's status."""

    method: str
    path: str
    headers: dict[str, str]
    sent: int
    received: int
    status: int


@dataclass(slots=True)
class Relay:
    """The requests that passed, and the relay's address. `before` may answer a request itself, with a status."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    before: Callable[[str, str, dict[str, str]], int | None] | None = None
    lock: Any = field(default_factory=threading.Lock)

    def lines(self) -> list[str]:
        """`METHOD path?first-parameter` of each request, in the order of their answers."""
        return [f"{request.method} {request.path.partition('&')[0]}" for request in self.requests]


def start(relay: Relay, target: str) -> ThreadingHTTPServer:
    """Start a relay to a server; its url is in `relay` afterwards."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = relay.before(self.command, self.path, headers) if relay.before else None
            answer = b""
            found: list[tuple[str, str]] = []
            if status is None:
                connection = http.client.HTTPConnection(urlsplit(target).netloc)
                passed = {name: value for name, value in headers.items() if name not in {*_HOP_BY_HOP, "expect"}}
                connection.request(self.command, self.path, body, passed)
                reply = connection.getresponse()
                status, answer, found = reply.status, reply.read(), reply.getheaders()
                connection.close()
            with relay.lock:
                relay.requests.append(Request(self.command, self.path, headers, len(body), len(answer), status))
            self.send_response(status)
            for name, value in found:
                if name.lower() not in {*_HOP_BY_HOP, "server", "date"}:
                    self.send_header(name, value)
            if not any(name.lower() == "content-length" for name, _ in found):
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    relay.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server
