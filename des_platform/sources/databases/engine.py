"""Engines of source databases, and what goes wrong between the platform and them.

Secrets: the URL is put together when a connection is made and never printed; what a driver says passes through
`scrubbed`; statements and their values never reach a message. A driver that is not installed, a variable that is not
set, a table or column that is not there are `ConfigurationError`; a server that is away or refuses is
`SourceUnavailable`; deadlocks, lock time-outs, failed serialisations and lost connections are `TransientFailure`,
after which the whole transaction may be repeated.

Sessions are in UTC, whatever the machine's zone: naive times that one worker wrote are read right by another.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from des_platform.settings import ConfigurationError
from des_platform.sources.databases.config import DEFAULT_PORTS
from des_platform.sources.source import SourceUnavailable
from des_platform.sources.variables import expand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.sources.databases.config import Connection, DatabaseType

CONNECT_SECONDS = 10
_MAX_PORT = 65535
_ODBC_DRIVER = "ODBC Driver 18 for SQL Server"
_SAID_CHARS = 300
# PostgreSQL: deadlock, lock not available, serialisation failure.
_TRANSIENT_STATES = frozenset({"40P01", "55P03", "40001"})
# MySQL and MariaDB: lock wait time-out, deadlock; Oracle: resource busy, deadlock, cannot serialise; SQL Server:
# deadlock, lock request time-out.
_TRANSIENT_NUMBERS: dict[str, frozenset[int]] = {
    "mysql": frozenset({1205, 1213}),
    "mariadb": frozenset({1205, 1213}),
    "oracle": frozenset({54, 60, 8177}),
    "mssql": frozenset({1205, 1222}),
}
# Disk full, server shuts down, read-only server, connection killed.
_MYSQL_AWAY = frozenset({1021, 1053, 1290, 1836, 1927})
_DRIVERS: dict[DatabaseType, tuple[tuple[str, str], ...]] = {
    "postgres": (("psycopg", "postgresql+psycopg"),),
    "mysql": (("pymysql", "mysql+pymysql"),),
    "mariadb": (("pymysql", "mariadb+pymysql"),),
    "oracle": (("oracledb", "oracle+oracledb"),),
    "mssql": (("pyodbc", "mssql+pyodbc"), ("pymssql", "mssql+pymssql")),
}


class TransientFailure(SourceUnavailable):
    """A transaction that failed for a reason that passes: it was rolled back, and may be done again."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open engine, how errors call it, and the secret that no message may hold."""

    engine: sa.Engine
    what: str
    where: str
    secret: str = field(repr=False)

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A connection in a transaction: committed at the end, rolled back on an exception.

        Raises:
            SourceUnavailable: the server cannot be reached, or refuses.
            TransientFailure: worth repeating.
            ConfigurationError: the server does not understand the statement: a table or column is not as configured.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise self.translated(error) from None

    def translated(self, error: Exception) -> Exception:
        """What to raise for an error of SQLAlchemy; from `None`, since its text holds values."""
        said = scrubbed(str(getattr(error, "orig", None) or error), self.secret)
        if isinstance(error, sa.exc.DBAPIError):
            if is_transient(error, self.engine.dialect.name):
                return TransientFailure(f"{self.what} at {self.where}: {said}")
            if _is_refusal(error):
                return ConfigurationError(
                    f"{self.what} at {self.where} refuses a statement: {said}. "
                    "Compare table, columns, status values and where_clause with the database"
                )
        return SourceUnavailable(
            f"{self.what} at {self.where} cannot be used: {said}. "
            "Check the server, and host, port, database, username and password of its connection"
        )

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_engine(connection: Connection, what: str) -> Database:
    """An engine for a configured connection; nothing is connected yet.

    Args:
        connection: as configured; its variables are expanded here.
        what: how errors call it, such as `source database 'orders'`.

    Raises:
        ConfigurationError: a variable is not set, a port is none, or the driver is not installed.
    """
    drivername = _drivername(connection.type, what)

    def text(value: str, field: str) -> str:
        return expand(value, f"connection.{field} of {what}")

    secret = text(connection.password.get_secret_value(), "password")
    host, port = text(connection.host, "host"), _port(connection, what)
    database, user = text(connection.database, "database"), text(connection.username, "username")
    options = {
        name: text(value, f"driver_options.{name}") if isinstance(value, str) else value
        for name, value in connection.driver_options.items()
    }
    url = sa.URL.create(drivername, username=user, password=secret, host=host, port=port, database=database)
    if connection.type == "oracle":
        url = url.set(database="", query={"service_name": database})
    if drivername == "mssql+pyodbc":  # which looks for it in the URL alone
        url = url.update_query_dict({"driver": str(options.pop("driver", _ODBC_DRIVER))})
    charset = text(connection.charset, "charset") if connection.charset else None
    engine = sa.create_engine(
        url,
        pool_size=connection.pool_size,
        pool_recycle=connection.pool_recycle,
        pool_pre_ping=connection.pool_pre_ping,
        pool_timeout=CONNECT_SECONDS,
        hide_parameters=True,
        # Under MySQL's own REPEATABLE READ a claim would lock the gaps between rows as well, and workers each other.
        isolation_level="READ COMMITTED",
        connect_args=_connect_args(drivername, charset, options),
    )
    if connection.type == "oracle":
        _in_utc(engine)
    return Database(engine, what, f"{host}:{port}/{database} as user {user}", secret)


def schema_of(connection: Connection, table_schema: str | None, what: str) -> str | None:
    """The schema of a table: its own or the connection's, with its variables expanded."""
    name = table_schema or connection.schema_name
    return expand(name, f"schema of {what}") if name else None


def is_transient(error: sa.exc.DBAPIError, dialect: str) -> bool:
    """Whether the same transaction may succeed when it is done again at once."""
    if error.connection_invalidated:
        return True
    if getattr(error.orig, "sqlstate", None) in _TRANSIENT_STATES:
        return True
    return _number(error) in _TRANSIENT_NUMBERS.get(dialect, frozenset())


def _is_refusal(error: sa.exc.DBAPIError) -> bool:
    """Whether the server was there, and did not take what it was told."""
    if isinstance(error, sa.exc.ProgrammingError | sa.exc.DataError | sa.exc.IntegrityError):
        return True
    if error.statement is None:
        return False
    if type(error.orig).__module__.startswith("pymysql"):  # which calls a violated constraint operational, too
        return _number(error) not in _MYSQL_AWAY
    return not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)


def _number(error: sa.exc.DBAPIError) -> int:
    found = next(iter(getattr(error.orig, "args", ())), None)
    number = getattr(found, "code", found)  # oracledb wraps it
    return number if isinstance(number, int) else 0


def scrubbed(said: str, secret: str) -> str:
    """A driver's words on one line, without the password in any spelling, and not endless."""
    from urllib.parse import quote, quote_plus

    line = " ".join(said.split())
    for spelling in {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]} - {""}:
        line = line.replace(spelling, "***")
    return line[:_SAID_CHARS].rstrip(". ")


def _drivername(kind: DatabaseType, what: str) -> str:
    for module, drivername in _DRIVERS[kind]:
        if find_spec(module) is not None:
            return drivername
    wanted = " or ".join(module for module, _ in _DRIVERS[kind])
    raise ConfigurationError(f"{what} is of type {kind}, whose driver is not installed: install {wanted}")


def _port(connection: Connection, what: str) -> int:
    if connection.port is None:
        return DEFAULT_PORTS[connection.type]
    if isinstance(connection.port, int):
        return connection.port
    found = expand(connection.port, f"connection.port of {what}")
    if not (found.isascii() and found.isdigit() and 1 <= int(found[:6]) <= _MAX_PORT):
        raise ConfigurationError(f"connection.port of {what} is {found!r}, expected a number from 1 to {_MAX_PORT}")
    return int(found)


def _connect_args(drivername: str, charset: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What `connect` is told: the operator's options, a time-out where they set none, and the session's zone."""
    named = {"charset": charset} if charset else {}
    if drivername == "postgresql+psycopg":
        encoding = {"client_encoding": charset} if charset else {}
        zone = {"options": f"{options.get('options', '')} -c timezone=UTC".strip()}
        return {"connect_timeout": CONNECT_SECONDS} | encoding | options | zone
    if drivername == "oracle+oracledb":
        return {"tcp_connect_timeout": float(CONNECT_SECONDS)} | options
    if drivername == "mssql+pyodbc":
        return {"timeout": CONNECT_SECONDS} | options
    if drivername == "mssql+pymssql":
        return {"login_timeout": CONNECT_SECONDS} | named | options
    named = {"charset": charset or "utf8mb4"}
    return {"connect_timeout": CONNECT_SECONDS} | named | options | {"init_command": "SET time_zone = '+00:00'"}


def _in_utc(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def set_zone(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own class
        with connection.cursor() as cursor:
            cursor.execute("ALTER SESSION SET TIME_ZONE = 'UTC'")
