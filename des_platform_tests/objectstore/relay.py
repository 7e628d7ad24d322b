"""A relay in front of a server of AWS's protocols that counts what passes, and can spoil it."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

Fault = Literal["error", "silence", "cut"]
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
    """The requests that passed, and the relay's address.

    `before` may answer a request itself, with a status. `fault` is asked once the server has done what it was asked,
    and may spoil the answer: `error` is a status of 500, `silence` none within `silence_seconds`, `cut` half of it.
    `sent` and `received` may change a body on its way, the request's and the answer's; headers of the answer that start
    with `hidden`, in lower case, are left out.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    before: Callable[[str, str, dict[str, str]], int | None] = lambda *_: None
    fault: Callable[[], Fault | None] = lambda: None
    hidden: str = "nothing is hidden"
    sent: Callable[[str, str, bytes], bytes] = lambda _method, _path, body: body
    received: Callable[[str, str, bytes], bytes] = lambda _method, _path, body: body
    silence_seconds: float = 1.0
    lock: Any = field(default_factory=threading.Lock)

    def lines(self) -> list[str]:
        """`METHOD path?first-parameter` of each request, in the order of their answers."""
        return [f"{request.method} {request.path.partition('&')[0]}" for request in self.requests]


def _forward(
    target: str, command: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, bytes, list[tuple[str, str]]]:
    connection = http.client.HTTPConnection(urlsplit(target).netloc)
    passed = {name: value for name, value in headers.items() if name not in {*_HOP_BY_HOP, "expect"}}
    connection.request(command, path, body, passed)
    reply = connection.getresponse()
    answered = reply.status, reply.read(), reply.getheaders()
    connection.close()
    return answered


class _Handler(BaseHTTPRequestHandler):
    relay: Relay
    target: str
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        found: list[tuple[str, str]] = []
        status, answer = self.relay.before(self.command, self.path, headers), b""
        if status is None:
            body = self.relay.sent(self.command, self.path, body)
            status, answer, found = _forward(self.target, self.command, self.path, headers, body)
            answer = self.relay.received(self.command, self.path, answer)
        with self.relay.lock:
            self.relay.requests.append(Request(self.command, self.path, headers, len(body), len(answer), status))
        fault = self.relay.fault()
        if fault == "silence":
            threading.Event().wait(self.relay.silence_seconds)
            self.close_connection = True
            return
        if fault == "error":
            status, answer, found = 500, b"", []
        self._answer(status, found, answer, cut=fault == "cut")

    def _answer(self, status: int, found: list[tuple[str, str]], answer: bytes, *, cut: bool) -> None:
        self.close_connection = self.close_connection or cut
        self.send_response(status)
        for name, value in found:
            if name.lower() not in {*_HOP_BY_HOP, "server", "date"} and not name.lower().startswith(self.relay.hidden):
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in found):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer[: len(answer) // 2] if cut else answer)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


def start(relay: Relay, target: str) -> ThreadingHTTPServer:
    """Start a relay to a server; its url is in `relay` afterwards."""

    handler = type("Handler", (_Handler,), {"relay": relay, "target": target})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    relay.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server
