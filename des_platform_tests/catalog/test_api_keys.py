from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog import api_keys
from des_platform.catalog.tables import api_keys as table
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.database import Catalog


@pytest.fixture
def connection(catalog: Catalog) -> Iterator[sa.Connection]:
    with catalog.begin() as opened:
        yield opened


def test_a_key_is_found_by_itself_and_kept_nowhere(connection: sa.Connection) -> None:
    key = api_keys.create(connection, "me", ["lake:write", "lake:write"])

    found = api_keys.authenticate(connection, key)

    assert found is not None
    assert (found.name, found.scopes) == ("me", ["lake:write"])
    assert found.allowed == {"lake:read", "lake:write"}
    [row] = connection.execute(sa.select(sa.cast(table.c.key_hash, sa.Text), table.c.name, table.c.scopes))
    assert key not in str(row)
    assert key.encode().hex() not in str(row)


def test_keys_are_long_and_never_the_same(connection: sa.Connection) -> None:
    keys = {api_keys.create(connection, f"key {number}", ["lake:read"]) for number in range(20)}

    assert len(keys) == 20
    assert all(len(key) >= 43 for key in keys)


@pytest.mark.parametrize("key", ["", "des_", "des_wrong", "\0", "\ud800", "x" * 100_000])
def test_another_key_is_not_found(connection: sa.Connection, key: str) -> None:
    api_keys.create(connection, "me", ["lake:read"])

    assert api_keys.authenticate(connection, key) is None


def test_a_revoked_key_is_not_found_and_stays_listed(connection: sa.Connection) -> None:
    key = api_keys.create(connection, "me", ["lake:read"])

    api_keys.revoke(connection, "me")
    [before] = api_keys.listing(connection)
    api_keys.revoke(connection, "me")

    assert api_keys.authenticate(connection, key) is None
    assert before.revoked_at is not None
    assert api_keys.listing(connection) == [before]
    with pytest.raises(ConfigurationError, match="made before"):
        api_keys.create(connection, "me", ["lake:read"])


def test_nobody_is_revoked_by_a_name_that_no_key_has(connection: sa.Connection) -> None:
    with pytest.raises(ConfigurationError, match="no key is called 'you'"):
        api_keys.revoke(connection, "you")


@pytest.mark.parametrize(
    ("name", "scopes", "said"),
    [
        ("", ["lake:read"], "name"),
        ("a\nb", ["lake:read"], "name"),
        ("a" * 101, ["lake:read"], "name"),
        ("me", [], "found none"),
        ("me", ["lake:read", "lake:root"], "'lake:root'"),
    ],
)
def test_what_no_key_can_be_is_refused(connection: sa.Connection, name: str, scopes: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        api_keys.create(connection, name, scopes)

    assert api_keys.listing(connection) == []


def test_a_use_is_noted_at_most_once_a_minute(connection: sa.Connection) -> None:
    key = api_keys.create(connection, "me", ["lake:read"])

    def used() -> object:
        api_keys.authenticate(connection, key)
        return connection.scalar(sa.select(table.c.last_used_at))

    def age(seconds: int) -> object:
        ago = sa.func.now() - sa.text(f"interval '{seconds} seconds'")
        connection.execute(sa.update(table).values(last_used_at=ago))
        return connection.scalar(sa.select(table.c.last_used_at))

    assert used() is not None
    recent = age(30)
    assert used() == recent
    old = age(90)
    assert used() != old
