"""The connection to the catalogue, and its migrations.

`Catalog.open` brings the schema to the newest revision before it hands anything out; an advisory lock lets one process
do it while others wait, and a database that is newer than this code is refused. The pool checks a connection before it
lends it, so a restarted server costs one reconnect, not an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa

from des_platform.catalog.tables import SCHEMA
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from alembic.config import Config

    from des_platform.settings import Settings

_MIGRATION_LOCK = 0x0DE5_0001


class Catalog:
    """The catalogue: a pool of connections to a migrated database."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, settings: Settings, *, connections: int = 4) -> Catalog:
        """Connect and migrate.

        Args:
            settings: where the database is.
            connections: how many stay open for whoever needs one; `threads` more are made at need, and closed again.

        Raises:
            ConfigurationError: the server cannot be reached, or the database is newer than this code.
        """
        engine = sa.create_engine(
            settings.catalog_url,
            pool_pre_ping=True,
            pool_size=connections,
            max_overflow=settings.threads,
            connect_args={"connect_timeout": 10},
        )
        try:
            migrate(engine)
        except sa.exc.OperationalError as error:
            engine.dispose()
            said = " ".join(str(error.orig).split())  # libpq's words stand on several lines
            where = f"{settings.pg_host}:{settings.pg_port}/{settings.pg_db}"
            raise ConfigurationError(
                f"the catalogue at {where} cannot be reached as user {settings.pg_user}: {said}. "
                "Check DES_PG_HOST, DES_PG_PORT, DES_PG_USER, DES_PG_PASSWORD and DES_PG_DB"
            ) from None
        return cls(engine)

    def begin(self) -> AbstractContextManager[sa.Connection]:
        """A connection inside a transaction: committed at the end of `with`, rolled back on an exception."""
        return self.engine.begin()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def alembic_config() -> Config:
    """Alembic's configuration for the migrations beside this module."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to the newest revision; does nothing but one query when it is there already.

    Raises:
        ConfigurationError: the database's revision is unknown to this code.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config()
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    with engine.connect() as connection:
        if _revision(connection) == newest:
            return
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        found = _revision(connection)
        if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
            raise ConfigurationError(
                f"the catalogue is at revision {found}, which this version does not know: install the newer version"
            )
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version", schema=SCHEMA):
        return None
    version = sa.table("alembic_version", sa.column("version_num", sa.Text), schema=SCHEMA)
    return connection.scalar(sa.select(version.c.version_num))
