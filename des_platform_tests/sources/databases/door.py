"""A door in front of a server: while it is shut, nobody gets through, and who was inside is thrown out."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Door:
    """Passes bytes between its own port and a server's."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._inside: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # close alone would leave the accepting thread in its call
            self._listener.close()
        self._listener = None
        for side in self._inside:
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
        self._inside.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                self._inside += [client, server]
                threading.Thread(target=_pass, args=(client, server), daemon=True).start()
                threading.Thread(target=_pass, args=(server, client), daemon=True).start()


@contextmanager
def door_to(host: str, port: int) -> Iterator[Door]:
    """A door that is open."""
    door = Door(host, port)
    yield door
    door.shut()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
