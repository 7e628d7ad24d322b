"""The PostgreSQL server of the demo and of the tests: real, private to a state folder, and as durable as any.

`STATE/postgres` keeps the password (0600), the port of the last start, the log, and the data (unless root starts it:
see `placement`). The server listens on 127.0.0.1 alone, on a free port, asks for a random password that is never on a
command line, and ends with the process that started it. Yesterday's data is found again, after any kill at any moment:
a data directory appears by one rename, when it is whole; a server left over from a killed demo is stopped first; a
stale pid file is removed once provably nobody works on the data, and waited for where that cannot be proven. One
starter at a time, by a lock that dies with its holder. Every failure is a `DemoError`.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from des_platform.cli.demo.placement import Placement, claim, place
from des_platform.cli.demo.processes import Child, DemoError, command_line, end_orphan, exists, spawn, wait_until
from des_platform.cli.demo.server import Server
from des_platform.cli.demo.state import LOOPBACK, free_port, hold, replace_private, synchronize

_log = logging.getLogger(__name__)

_NAME = "des"
_START_SECONDS = 60.0  # recovery after a crash included
_STOP_SECONDS = 20.0
_STALE_SECONDS = 10.0
_READY_LINE = 7  # of postmaster.pid: LOCK_FILE_LINE_PM_STATUS in PostgreSQL's pidfile.h
_UNDURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class PostgresAddress:
    """How to reach a database."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str

    def environment(self) -> dict[str, str]:
        """The address as the `DES_PG_*` variables."""
        return {
            "DES_PG_HOST": self.host,
            "DES_PG_PORT": str(self.port),
            "DES_PG_USER": self.user,
            "DES_PG_PASSWORD": self.password,
            "DES_PG_DB": self.database,
        }

    def url(self, scheme: str = "postgresql") -> str:
        """The address as a URL; it holds the password, so never print it."""
        user, password, database = (quote(part, safe="") for part in (self.user, self.password, self.database))
        return f"{scheme}://{user}:{password}@{self.host}:{self.port}/{database}"


class EmbeddedPostgres(Server[PostgresAddress]):
    """A PostgreSQL server in a child process.

    Args:
        state: the state folder; made if it does not exist.
        durable: False switches the synchronisation with the disk off; for tests.
    """

    def __init__(self, state: Path, *, durable: bool = True) -> None:
        self._state = state.resolve()
        super().__init__("PostgreSQL", self._state, _STOP_SECONDS)
        self._folder = self._state / "postgres"
        self._durable = durable

    def _start(self) -> PostgresAddress:
        placement = place(self._state)
        self._lock = hold(placement.home / "lock", f"the state folder {self._state}")
        _end_leftover(placement.data)
        claim(placement, self._state)
        self._initialize(placement)
        self._child, port = self._serve(placement)
        address = PostgresAddress(LOOPBACK, port, _NAME, self._password(), _NAME)
        _create_database(address)
        return address

    def _password(self) -> str:
        path = self._folder / "password"
        with suppress(FileNotFoundError):
            return path.read_text().strip()
        password = secrets.token_urlsafe(24)
        replace_private(path, password)
        return password

    def _initialize(self, placement: Placement) -> None:
        for unfinished in placement.home.glob("unfinished-*"):
            gone = functools.partial(_remove, unfinished)
            wait_until(gone, _STALE_SECONDS, f"{unfinished} of a killed start could be removed")
        if placement.data.exists():
            if not (self._folder / "password").exists():
                raise DemoError(
                    f"{self._folder / 'password'} is gone, so the data in {placement.data} cannot be opened."
                    " Restore it, or delete the data to start anew."
                )
            return
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=placement.home))
        password_file = unfinished / "password"
        password_file.touch(0o600)
        password_file.write_text(self._password())
        if placement.user is not None:
            for path in (password_file, unfinished):
                os.chown(path, *placement.user)
        self._run_initdb(placement, unfinished / "data", password_file)
        (unfinished / "data").rename(placement.data)
        synchronize(placement.home)
        shutil.rmtree(unfinished)

    def _run_initdb(self, placement: Placement, data: Path, password_file: Path) -> None:
        arguments = [f"--pgdata={data}", f"--username={_NAME}", f"--pwfile={password_file}"]
        arguments += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        if not self._durable:
            arguments.append("--no-sync")
        child = self._spawn("initdb", placement, arguments)
        try:
            wait_until(lambda: child.exit_code == 0, _START_SECONDS, "it made PostgreSQL's data directory", child)
        finally:
            child.stop(0)

    def _serve(self, placement: Placement) -> tuple[Child, int]:
        deadline = time.monotonic() + _STALE_SECONDS
        port = free_port(self._last_port())
        while True:
            child = self._spawn("postgres", placement, ["-D", str(placement.data), *self._options(port)])
            try:
                ready = functools.partial(_ready, placement.data, child.pid)
                wait_until(ready, _START_SECONDS, "PostgreSQL accepted connections", child)
            except BaseException as error:
                child.stop(_STOP_SECONDS)
                output = child.output()
                port_taken = "could not bind" in output  # between our look and the server's
                pid_file_stale = "lock file" in output  # its process is dead, but nobody has reaped it yet
                hopeless = time.monotonic() > deadline or not (port_taken or pid_file_stale)
                if hopeless or not isinstance(error, DemoError):
                    raise
                if port_taken:
                    port = free_port()
                time.sleep(0.1)
            else:
                replace_private(self._folder / "port", str(port))
                return child, port

    def _options(self, port: int) -> list[str]:
        options = [f"listen_addresses={LOOPBACK}", f"port={port}", "unix_socket_directories=", "max_connections=100"]
        options += ["timezone=UTC", "log_timezone=UTC"]
        if not self._durable:
            options += _UNDURABLE
        return [word for option in options for word in ("-c", option)]

    def _last_port(self) -> int:
        with suppress(FileNotFoundError, ValueError):
            port = int((self._folder / "port").read_text())
            return port if 1024 <= port <= 65535 else 0  # noqa: PLR2004 - the unprivileged ports
        return 0

    def _spawn(self, program: str, placement: Placement, arguments: list[str]) -> Child:
        # The caller's environment stays here: its PG* variables would steer the server, its secrets are none of its
        # business. Under the locale C the messages are the ones we know.
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return spawn(
            program,
            [placement.programs / program, *arguments],
            env=environment | {"LC_ALL": "C", "TZ": "UTC"},
            cwd=Path("/"),
            log=self._folder / "log",
            user=placement.user,
            stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, then writes a checkpoint
        )


def _remove(unfinished: Path) -> bool:
    shutil.rmtree(unfinished, ignore_errors=True)  # an initdb whose starter was killed may still write or tidy up
    return not unfinished.exists()


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _ready(data: Path, pid: int) -> bool:
    lines = _pid_file(data)
    return len(lines) > _READY_LINE and lines[0].strip() == str(pid) and lines[_READY_LINE].strip() == "ready"


def _workers(data: Path) -> set[int] | None:
    """Processes whose working directory is the data directory: all of a server's. None: this system does not tell."""
    if not Path("/proc/self/cwd").exists():
        return None
    data = data.resolve()
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # ended meanwhile, a zombie, or another user's
            if entry.name.isdigit() and (entry / "cwd").readlink() == data:
                found.add(int(entry.name))
    return found


def _end_leftover(data: Path) -> None:
    """Stop a killed starter's server; remove a pid file that names a zombie or a stranger, if nobody uses the data."""
    lines = _pid_file(data)
    if not lines or not lines[0].strip().isdigit():
        return
    pid = int(lines[0])
    if str(data) in command_line(pid):
        _log.info("stopping PostgreSQL %d, left over from an earlier run", pid)
        end_orphan(pid, signal.SIGINT, _STOP_SECONDS)
    # The workers of a killed server end by themselves; until then their pid file is what protects the data.
    wait_until(lambda: not _workers(data), _STALE_SECONDS, f"the processes of an earlier PostgreSQL left {data}")
    # Where nothing has that number PostgreSQL tidies up by itself, shared memory included, for which it needs the file.
    if _workers(data) is not None and exists(pid):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _create_database(address: PostgresAddress) -> None:
    import psycopg
    from psycopg.sql import SQL, Identifier

    url = replace(address, database="postgres").url()
    exists = "SELECT 1 FROM pg_database WHERE datname = %s"
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            if connection.execute(exists, [address.database]).fetchone() is None:
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(address.database)))
    except psycopg.Error as error:
        raise DemoError(f"PostgreSQL started on port {address.port}, but refused its own user: {error}") from error
