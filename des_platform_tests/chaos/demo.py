"""A demo in a process of its own, looked at from outside through its PostgreSQL, and killed at a chosen moment.

A moment is chosen by what has happened, never by time. Where the moment is inside a transaction, the test holds a lock
that the demo needs there, and kills it while it waits for it.
"""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from psycopg.sql import SQL, Identifier

from des_platform.cli.demo.processes import wait_until
from des_platform.cli.demo.state import ENVIRONMENT_FILE
from des_platform_tests.cli.commands import PATIENCE_SECONDS, bare_environment, des, des_running, totals

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform_tests.cli.commands import Totals

SHARE = "SHARE"  # waits for writers, and keeps them out
ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"  # keeps readers out, too


@dataclass(frozen=True)
class Demo:
    """Demos on one state folder, one after the other."""

    state: Path
    arguments: tuple[object, ...]

    def finish(self) -> Totals:
        """Run one to its end; gives its totals, which do not depend on how long it took."""
        result = totals(des(*self._command(), env=self._environment()))
        del result["seconds"]
        return result

    @contextmanager
    def running(self) -> Iterator[RunningDemo]:
        """Start one; it is killed at the end of `with` at the latest."""
        file = self.state / ENVIRONMENT_FILE
        file.unlink(missing_ok=True)  # a killed demo leaves the addresses of its servers behind
        errors = self.state.parent / "errors"
        with des_running(*self._command(), env=self._environment(), errors=errors) as process:
            yield RunningDemo(self.state, process, errors)

    def killed_when(self, moment: Callable[[RunningDemo], object]) -> None:
        """Start one and kill it with SIGKILL at a moment, its children not asked."""
        with self.running() as demo:
            moment(demo)
            demo.process.kill()
            assert demo.process.wait(PATIENCE_SECONDS) == -signal.SIGKILL, demo.errors.read_text()

    def processes(self) -> list[str]:
        """Command lines that name the state folder."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if str(self.state) in line:
                found.append(line)
        return found

    def _command(self) -> tuple[object, ...]:
        return ("demo", "--once", "--json", "--state", self.state, *self.arguments)

    def _environment(self) -> dict[str, str]:
        # Short leases: what a killed packer held is free again soon.
        return bare_environment(self.state.parent) | {"DES_LEASE_SECONDS": "2"}


@dataclass(frozen=True)
class RunningDemo:
    """A demo at work."""

    state: Path
    process: subprocess.Popen[str]
    errors: Path

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; a demo that ends before is an error."""
        wait_until(lambda: condition() or self.process.poll() is not None, PATIENCE_SECONDS, what)
        assert self.process.poll() is None, f"the demo ended before {what}: {self.errors.read_text()}"

    def until_file(self, pattern: str, count: int = 1) -> None:
        """Wait until so many files or folders of the state folder match a pattern."""
        self.until(lambda: len(list(self.state.glob(pattern))) >= count, f"{count} x {pattern} were there")

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection to the demo's database; it may die with the demo."""
        self.until_file(ENVIRONMENT_FILE)
        address = json.loads((self.state / ENVIRONMENT_FILE).read_text())
        connection = psycopg.connect(
            host=address["DES_PG_HOST"],
            port=address["DES_PG_PORT"],
            user=address["DES_PG_USER"],
            password=address["DES_PG_PASSWORD"],
            dbname=address["DES_PG_DB"],
            autocommit=True,
        )
        try:
            yield connection
        finally:
            connection.close()

    def until_true(self, connection: psycopg.Connection[Any], sql: str) -> None:
        """Wait until a query gives true."""

        def condition() -> bool:
            try:
                row = connection.execute(sql.encode()).fetchone()
            except psycopg.OperationalError:
                self.process.wait(PATIENCE_SECONDS)  # its servers end with it
                return False
            return row is not None and bool(row[0])

        self.until(condition, sql)

    def until_table(self, connection: psycopg.Connection[Any], table: str) -> None:
        """Wait until a table is there."""
        self.until_true(connection, f"SELECT to_regclass('{table}') IS NOT NULL")

    def kill_waiting_for(self, table: str, mode: str = SHARE, when: str = "SELECT true") -> None:
        """Lock a table, wait until the demo waits for it, and kill it then.

        Args:
            table: what to lock, with its schema.
            mode: which lock.
            when: query that gives true when it is time to lock.
        """
        with self.database() as connection:
            self.until_table(connection, table)
            self.until_true(connection, when)
            connection.autocommit = False
            connection.execute(SQL("LOCK TABLE {} IN {} MODE").format(Identifier(*table.split(".")), SQL(mode)))
            self.until_true(connection, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
            self.process.kill()

    def postgres(self) -> psutil.Process:
        """The demo's PostgreSQL."""
        return self._child("postgres")

    def queue(self) -> psutil.Process:
        """The demo's queue server."""
        return self._child("des_platform.cli.demo.queue")

    def _child(self, word: str) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if any(word in argument for argument in child.cmdline()))
