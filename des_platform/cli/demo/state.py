"""Small files that remember something between two starts, and the ports and locks of a start."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from des_platform.cli.demo.processes import DemoError

LOOPBACK = "127.0.0.1"


def hold(path: Path, what: str) -> IO[str]:
    """Take a lock until the file that is returned is closed, or its holder dies.

    Args:
        path: the lock file; made if it does not exist.
        what: what it guards, for the message.

    Raises:
        DemoError: another process holds it.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(32).strip()
        file.close()
        raise DemoError(f"Process {holder} is using {what}. Stop it first, or choose another state folder.") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def replace_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; after a crash it holds the old text or the new one, whole."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).rename(path)
    synchronize(path.parent)


def synchronize(folder: Path) -> None:
    """Make the renames inside a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_port(wanted: int = 0) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on: the wanted one if that is free. Another process may be quicker.

    Raises:
        DemoError: there is none.
    """
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            # As servers do, or a port that was closed a moment ago counts as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return int(probe.getsockname()[1])
    raise DemoError(f"No TCP port is free on {LOOPBACK}.")


ENVIRONMENT_FILE = "environment.json"
DEFAULT_STATE = Path(".des")


def state_folder() -> Path:
    """The demo's state folder: `DES_STATE`, else `.des` in the working folder."""
    return Path(os.environ.get("DES_STATE", DEFAULT_STATE))


def demo_environment() -> None:
    """Let a command find the running demo, where the environment names no platform of its own."""
    file = state_folder() / ENVIRONMENT_FILE
    if "DES_PG_HOST" not in os.environ and file.is_file():
        os.environ.update(json.loads(file.read_text()))
