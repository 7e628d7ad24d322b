from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from des_platform.settings import ConfigurationError
from des_platform.sources.databases.claims import SourceTable
from des_platform.sources.databases.config import Connection
from des_platform.sources.databases.dialects import Worker
from des_platform.sources.databases.engine import TransientFailure, open_engine, scrubbed
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.sources.databases.door import door_to
from des_platform_tests.sources.databases.support import FILES, announced, drain_of
from des_platform_tests.sources.support import pending

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.databases.support import SourceFiles

HARD_PASSWORD = "p@s:s/w%ord #1?&${}"


def connection(**changes: Any) -> Connection:
    entry = {"type": "postgres", "host": "127.0.0.1", "port": 1, "database": "d", "username": "u"}
    return Connection.model_validate(entry | {"password": HARD_PASSWORD.replace("${}", "")} | changes)


def test_a_password_of_any_characters_comes_from_the_environment(
    postgres_files: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = sa.text(f"CREATE ROLE odd_one LOGIN PASSWORD '{HARD_PASSWORD}'")
    grant = sa.text("GRANT ALL ON source_files TO odd_one")
    for statement in (role, grant):
        postgres_files.execute(statement)
    monkeypatch.setenv("ODD_PASSWORD", HARD_PASSWORD)
    monkeypatch.setenv("ODD_PORT", str(postgres_files.connection["port"]))
    postgres_files.connection |= {"username": "odd_one", "password": "${ODD_PASSWORD}", "port": "${ODD_PORT}"}

    table = SourceTable.open(postgres_files.source(), Worker())

    assert table.claim(10).rows == []
    table.close()
    postgres_files.execute(sa.text("DROP OWNED BY odd_one"))
    postgres_files.execute(sa.text("DROP ROLE odd_one"))


def test_a_wrong_password_is_an_error_with_the_place_and_without_the_password(source_files: SourceFiles) -> None:
    source_files.connection |= {"password": HARD_PASSWORD.replace("${}", "")}

    with pytest.raises(SourceUnavailable) as caught:
        SourceTable.open(source_files.source(), Worker())

    said = str(caught.value)
    for part in ("'erp'", "127.0.0.1", str(source_files.connection["port"]), source_files.connection["username"]):
        assert part in said
    assert "p@s:s" not in said
    assert "p%40s" not in said


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)

    with pytest.raises(ConfigurationError, match=r"connection\.password of the archive needs .* NOT_SET"):
        open_engine(connection(password="${NOT_SET}"), "the archive")


def test_a_port_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "postgres")

    with pytest.raises(ConfigurationError, match=r"connection\.port of the archive is 'postgres'"):
        open_engine(connection(port="${PORT}"), "the archive")


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("des_platform.sources.databases.engine.find_spec", lambda _name: None)

    with pytest.raises(ConfigurationError, match="install pyodbc or pymssql"):
        open_engine(connection(type="mssql"), "the archive")
    with pytest.raises(ConfigurationError, match="install oracledb"):
        open_engine(connection(type="oracle"), "the archive")


@pytest.mark.parametrize("spelling", [HARD_PASSWORD, "p%40s%3As%2Fw%25ord%20%231%3F%26%24%7B%7D"])
def test_what_a_driver_says_is_shown_without_the_password(spelling: str) -> None:
    assert scrubbed(f"cannot log in with\n {spelling}!", HARD_PASSWORD) == "cannot log in with ***!"


def test_statements_that_the_server_refuses_are_the_configuration_s_fault(source_files: SourceFiles) -> None:
    table = SourceTable.open(source_files.source(where_clause="no_such_column = 1"), Worker())

    with pytest.raises(ConfigurationError, match="no_such_column"):
        table.claim(10)


def test_a_table_or_column_that_is_not_there_is_named(source_files: SourceFiles) -> None:
    with pytest.raises(ConfigurationError, match="no table 'nothing'"):
        SourceTable.open(source_files.source(table={"name": "nothing"}), Worker())
    with pytest.raises(ConfigurationError, match=r"lacks columns \(des_container_id: box; etag: tag\)"):
        SourceTable.open(source_files.source(columns={"etag": "tag", "des_container_id": "box"}), Worker())


def test_sessions_are_in_utc(source_files: SourceFiles) -> None:
    clock = {"postgres": "localtimestamp = now() AT TIME ZONE 'UTC'", "mariadb": "now() = utc_timestamp()"}
    with source_files.engine.begin() as opened:
        assert opened.scalar(sa.text(f"SELECT {clock[source_files.connection['type']]}"))


def test_a_database_that_goes_away_is_an_error_and_the_next_draining_goes_on(
    platform: Platform, source_files: SourceFiles
) -> None:
    source_files.add([announced("before")])
    with door_to("127.0.0.1", source_files.connection["port"]) as door:
        source_files.connection["port"] = door.port
        drain = drain_of(platform, source_files.source())
        assert drain.drain(seconds=30).received == 1
        source_files.add([announced("meanwhile")])
        door.shut()

        for _ in range(2):
            with pytest.raises(SourceUnavailable, match=f"'erp' at 127.0.0.1:{door.port}"):
                drain.drain(seconds=30)

        door.open()
        assert drain.drain(seconds=30).received == 1
        drain.close()
    assert pending(platform) == ["before", "meanwhile"]


def test_a_connection_that_is_lost_in_the_middle_is_made_anew(platform: Platform, source_files: SourceFiles) -> None:
    source_files.add([announced("a")])
    with door_to("127.0.0.1", source_files.connection["port"]) as door:
        source_files.connection |= {"port": door.port, "pool_pre_ping": False}
        drain = drain_of(platform, source_files.source())
        assert drain.drain(seconds=30).received == 1
        source_files.add([announced("b")])
        door.shut()
        door.open()

        assert drain.drain(seconds=30).received == 1
        drain.close()


def test_a_transaction_that_waited_for_a_lock_too_long_is_done_again(
    platform: Platform, postgres_files: SourceFiles
) -> None:
    postgres_files.add([announced("a")])
    postgres_files.connection["driver_options"] = {"options": "-c lock_timeout=50"}
    drain = drain_of(platform, postgres_files.source())
    assert drain.backlog() == {"waiting": 1, "in_flight": 0}
    owner = postgres_files.engine.connect()
    owner.execute(sa.text("LOCK TABLE source_files"))
    refused: list[str] = []

    @sa.event.listens_for(drain._opened()._database.engine, "handle_error")
    def unlock(context: sa.engine.ExceptionContext) -> None:
        refused.append(getattr(context.original_exception, "sqlstate", ""))
        owner.close()

    assert drain.drain(seconds=30).received == 1
    assert refused == ["55P03"]


def test_locks_that_others_hold_are_failures_that_pass(source_files: SourceFiles) -> None:
    source_files.add([announced("a")])
    database = open_engine(source_files.source().connection, "the archive")
    locking = sa.select(FILES.c.id).with_for_update(nowait=True)
    with source_files.engine.begin() as owner:
        owner.execute(locking)
        with pytest.raises(TransientFailure, match="the archive at 127.0.0.1"), database.begin() as other:
            other.execute(locking)
    database.close()
