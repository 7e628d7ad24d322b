"""The lake API on a TCP port: one process, its endpoints in threads.

Without TLS: on anything but a loopback address it belongs behind a proxy that has it.
"""

from __future__ import annotations

import gc
import logging
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import uvicorn

from des_platform.lake.tables import Lake
from des_platform.services.lake_api.app import create_app
from des_platform.services.lake_api.context import Context
from des_platform.services.listening import is_loopback
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog
    from des_platform.settings import Settings

CONNECTIONS: Final = 16
"""Connections to the catalogue that a server keeps: making one costs more than most requests."""

_BACKLOG: Final = 256
_MOST_CONNECTIONS: Final = 1000
_DRAIN_SECONDS: Final = 10


class LakeServer:
    """A server whose port is open already.

    Args:
        context: what it works with.
        listener: a listening socket.
        host: the address as it was asked for.

    Attributes:
        url: where it is.
    """

    def __init__(self, context: Context, listener: socket.socket, host: str) -> None:
        self._listener = listener
        config = uvicorn.Config(
            create_app(context),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            h11_max_incomplete_event_size=16 << 10,
        )
        self._server = uvicorn.Server(config)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{listener.getsockname()[1]}/"

    def run(self) -> None:
        """Answer until `stop`, or until a signal ends the process; requests under way are finished first."""
        gc.collect()
        gc.freeze()  # what was imported stays: a full collection would hold every request up
        with suppress(KeyboardInterrupt):
            self._server.run([self._listener])

    def stop(self) -> None:
        """Let `run` end; from any thread."""
        self._server.should_exit = True


def lake_server(
    catalog: Catalog, settings: Settings, host: str, port: int, *, unlocked: bool = False, verbose: bool = False
) -> LakeServer:
    """A server that waits for `run`.

    Args:
        catalog: the catalogue; its owner closes it.
        settings: where the tables are.
        host: address to listen on.
        port: TCP port; 0 lets the system choose.
        unlocked: whether it asks for no key.
        verbose: whether each request is a line on standard error.

    Raises:
        ConfigurationError: it should ask for no key on an address that is not a loopback one, or cannot have the port.
    """
    if unlocked and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached from other machines: leave out --open and make keys (`des keys create`), or listen"
            " on 127.0.0.1"
        )
    listener = _listen(host, port)
    _log(verbose=verbose)
    return LakeServer(Context(catalog, lambda: Lake(settings), unlocked=unlocked), listener, host)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def _log(*, verbose: bool) -> None:
    lines = logging.getLogger(__package__)
    if not lines.handlers:
        lines.addHandler(logging.StreamHandler(sys.stderr))
    lines.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # else each malformed request of a stranger is a line
