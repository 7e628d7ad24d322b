"""A MariaDB server for the tests: real, on a free port of 127.0.0.1, in a folder that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from des_platform.cli.demo.processes import Child, spawn, wait_until
from des_platform.cli.demo.state import LOOPBACK, free_port
from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "p@s:s/w%ord #1?"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])
_SMALL = (
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--performance-schema=0",
)


@dataclass(frozen=True)
class MariaDbAddress:
    """How to reach a database."""

    host: str
    port: int
    user: str
    password: str
    database: str


def missing() -> str | None:
    """What is not installed, or None."""
    programs = ("mariadbd", "mariadb-install-db")
    return next((name for name in programs if shutil.which(name, path=_PATH) is None), None)


@contextmanager
def mariadb_server() -> Iterator[MariaDbAddress]:
    """A server without durability; it runs as an unprivileged user, since it refuses to be root."""
    with server_folder() as folder:
        data = folder / "data"
        data.mkdir()
        user = None
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            user = (account.pw_uid, account.pw_gid)
            os.chown(data, *user)
        setup = folder / "setup.sql"
        setup.write_text(
            f"CREATE USER des@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO des@'%';\n", encoding="utf-8"
        )
        _install(folder, data, user)
        address = MariaDbAddress(LOOPBACK, free_port(), "des", PASSWORD, "mysql")
        options = ["--no-defaults", f"--datadir={data}", f"--socket={data}/socket", f"--pid-file={data}/pid"]
        options += [f"--bind-address={LOOPBACK}", f"--port={address.port}", "--skip-name-resolve"]
        child = _run("mariadbd", folder, user, [*options, f"--init-file={setup}", *_SMALL])
        try:
            wait_until(lambda: _answers(address), 60, "MariaDB accepted connections", child)
            yield address
        finally:
            child.stop(20)


@contextmanager
def mariadb_database(server: MariaDbAddress, name: str) -> Iterator[MariaDbAddress]:
    """A fresh, empty database."""
    _execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield replace(server, database=name)
    _execute(server, f"DROP DATABASE {name}")


def _install(folder: Path, data: Path, user: tuple[int, int] | None) -> None:
    options = ["--no-defaults", f"--datadir={data}", "--skip-test-db", "--auth-root-authentication-method=normal"]
    child = _run("mariadb-install-db", folder, user, [*options, *_SMALL])
    try:
        wait_until(lambda: child.exit_code == 0, 60, "it made MariaDB's data directory", child)
    finally:
        child.stop(0)


def _run(program: str, folder: Path, user: tuple[int, int] | None, options: list[str]) -> Child:
    return spawn(
        program,
        [program, *options],
        env={"PATH": _PATH, "LC_ALL": "C", "TZ": "America/New_York"},
        cwd=folder,
        log=folder / "log",
        user=user,
        stop_signal=signal.SIGTERM,
    )


def _answers(address: MariaDbAddress) -> bool:
    import pymysql

    with suppress(pymysql.err.OperationalError):
        _execute(address, "SELECT 1")
        return True
    return False


def _execute(address: MariaDbAddress, statement: str) -> None:
    import pymysql

    with pymysql.connect(
        host=address.host, port=address.port, user=address.user, password=address.password, autocommit=True
    ) as connection:
        connection.cursor().execute(statement)
