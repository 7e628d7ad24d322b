"""Keys to the lake API: made, looked up, revoked; never kept.

A key is 256 random bits, so its plain SHA-256 is all that the catalogue needs: nobody can try that many, and a slow
hash, which protects what people think up, would only slow every request down. A revoked key stays in the table, with
its name, and is refused for ever.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import api_keys
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

SCOPES: Final = {
    "lake:read": frozenset({"lake:read"}),
    "lake:write": frozenset({"lake:read", "lake:write"}),
    "lake:admin": frozenset({"lake:read", "lake:write", "lake:admin"}),
}
"""Each scope, and what it allows."""

_COLUMNS: Final = ("name", "scopes", "created_at", "last_used_at", "revoked_at")
_MOST_NAME: Final = 100
_A_MINUTE = sa.text("interval '1 minute'")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key.

    Attributes:
        name: what its owner is called in logs.
        scopes: among `SCOPES`.
        created_at: when it was made.
        last_used_at: when it was last used, to the minute.
        revoked_at: when it was revoked.
    """

    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def allowed(self) -> frozenset[str]:
        """Every scope that the key's scopes include."""
        return frozenset().union(*(SCOPES.get(scope, ()) for scope in self.scopes))


def create(connection: sa.Connection, name: str, scopes: Collection[str]) -> str:
    """Make a key and return it: the only time that anybody sees it.

    Raises:
        ConfigurationError: the name is none or is taken, or a scope is unknown or missing.
    """
    if not name.isprintable() or not 1 <= len(name) <= _MOST_NAME:
        raise ConfigurationError(f"key {name!r}: expected a name of 1 to {_MOST_NAME} printable characters")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        found = f"found {', '.join(map(repr, unknown))}" if unknown else "found none"
        raise ConfigurationError(f"key {name!r}: expected scopes among {', '.join(SCOPES)}; {found}")
    key = f"des_{secrets.token_urlsafe(32)}"
    values = {"name": name, "key_hash": _hash(key), "scopes": sorted(set(scopes))}
    statement = insert(api_keys).values(values).on_conflict_do_nothing(index_elements=["name"])
    if connection.scalar(statement.returning(api_keys.c.key_id)) is None:
        raise ConfigurationError(f"a key called {name!r} was made before: names are never given twice, take another")
    return key


def authenticate(connection: sa.Connection, key: str) -> ApiKey | None:
    """Return what is known of a key; None for one that was never made, or was revoked."""
    statement = sa.select(
        *(api_keys.c[column] for column in _COLUMNS),
        sa.func.coalesce(api_keys.c.last_used_at < sa.func.now() - _A_MINUTE, sa.true()),
    ).where(api_keys.c.key_hash == _hash(key), api_keys.c.revoked_at.is_(None))
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    *known, due = row
    if due:  # once a minute: a write for each request would cost more than most requests
        used = sa.update(api_keys).where(api_keys.c.name == row.name).values(last_used_at=sa.func.now())
        connection.execute(used)
    return ApiKey(*known)


def listing(connection: sa.Connection) -> list[ApiKey]:
    """Every key that was ever made, by name."""
    statement = sa.select(*(api_keys.c[column] for column in _COLUMNS)).order_by(api_keys.c.name)
    return [ApiKey(*row) for row in connection.execute(statement)]


def revoke(connection: sa.Connection, name: str) -> None:
    """Refuse a key from now on.

    Raises:
        ConfigurationError: no key has that name; revoking one again changes nothing.
    """
    revoked = sa.func.coalesce(api_keys.c.revoked_at, sa.func.now())
    found = connection.execute(sa.update(api_keys).where(api_keys.c.name == name).values(revoked_at=revoked))
    if not found.rowcount:
        raise ConfigurationError(f"no key is called {name!r}; `des keys ls` shows them all")


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
