"""What the platform's small HTTP servers share: where they listen, who may ask, and how they bear bad clients.

A server listens on a loopback address unless told otherwise; any other address needs a key, which a program sends as
`Authorization: Bearer`, and a browser as the password of the window that it opens, under any name. Each connection has
a thread of its own, so one that says nothing, as browsers keep them in reserve, keeps nobody waiting.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment


def listening_server(application: WSGIApplication, host: str, port: int, *, key: str, variable: str) -> WSGIServer:
    """A server that waits for `serve_forever`.

    Args:
        application: what answers; it asks `is_allowed` itself.
        host: address to listen on.
        port: TCP port; 0 lets the system choose.
        key: what a client must send; needed for every address but the loopback ones.
        variable: where the key is set, for the message.

    Raises:
        ConfigurationError: the address is not a loopback one and there is no key, or the port cannot be had.
    """
    if not key and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached from other machines: set a key in {variable}, or listen on 127.0.0.1"
        )
    try:
        return make_server(host, port, application, server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def is_allowed(environment: WSGIEnvironment, key: str) -> bool:
    """Whether a request bears the key, or none is needed."""
    sent = _key_in(environment.get("HTTP_AUTHORIZATION", ""))
    return not key or hmac.compare_digest(sent.encode("utf-8", "replace"), key.encode())


def _key_in(authorization: str) -> str:
    scheme, _, sent = authorization.partition(" ")
    if scheme.lower() != "basic":
        return sent if scheme.lower() == "bearer" else ""
    try:
        return base64.b64decode(sent, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = 10  # a client that says nothing must not keep its thread for ever

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a request is no event."""
