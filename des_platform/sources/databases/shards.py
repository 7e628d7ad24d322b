"""The shard of a row, computed by its server: the top bits of the SHA-256 of its shard key's text in UTF-8.

The same number on every kind of server, and the same as the platform's own `naming.shard_of` for up to 8 bits. It has
to stand in the statement: whoever filters behind the limit starves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import CHAR

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.sources.databases.config import DatabaseType

_HASH_BITS = 16
_BYTE_BITS = 8
_word = sa.literal_column
# A row without a key belongs to somebody, too: it has to become a dead letter.
_NO_KEY: sa.ColumnElement[str] = _word("'-'")


def shard_expression(kind: DatabaseType, key: sa.ColumnElement[Any], bits: int) -> sa.ColumnElement[int]:
    """The shard of a row.

    Args:
        kind: the kind of server.
        key: the column to hash.
        bits: 1 to 16.
    """
    if kind == "postgres":
        return _postgres(key, bits)
    return _EXPRESSIONS[kind](key, _word(str(1 << (_HASH_BITS - bits))))


def _postgres(key: sa.ColumnElement[Any], bits: int) -> sa.ColumnElement[int]:
    text = sa.func.coalesce(sa.cast(key, sa.Text), _NO_KEY)
    digest = sa.func.sha256(sa.func.convert_to(text, _word("'UTF8'")))
    first = sa.func.get_byte(digest, _word("0"))
    if bits <= _BYTE_BITS:  # the second byte would be a second hash of the same key
        return _divided(first, "/", _word(str(1 << (_BYTE_BITS - bits))))
    leading = first * _word("256") + sa.func.get_byte(digest, _word("1"))
    return _divided(leading, "/", _word(str(1 << (_HASH_BITS - bits))))


def _mysql(key: sa.ColumnElement[Any], divisor: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    # SHA2 hashes the bytes of the column's own character set.
    text = sa.func.coalesce(sa.cast(key, CHAR(charset="utf8mb4")), _NO_KEY)
    start = sa.func.left(sa.func.sha2(text, _word("256")), _word("4"))
    return _divided(sa.func.conv(start, _word("16"), _word("10")), "DIV", divisor)


def _mssql(key: sa.ColumnElement[Any], divisor: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    # A collation in UTF-8 makes VARCHAR hold it; without one the hash would be of UTF-16 or of a code page.
    text = sa.func.coalesce(sa.cast(key, sa.Unicode(4000)), _NO_KEY)
    utf8 = sa.cast(sa.collate(text, "Latin1_General_100_BIN2_UTF8"), sa.String(8000))
    start = sa.func.substring(sa.func.hashbytes(_word("'SHA2_256'"), utf8), _word("1"), _word("2"))
    return _divided(sa.cast(start, sa.Integer), "/", divisor)


def _oracle(key: sa.ColumnElement[Any], divisor: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    text = sa.func.convert(sa.func.coalesce(sa.func.to_char(key), _NO_KEY), _word("'AL32UTF8'"))
    digest = sa.func.rawtohex(sa.func.standard_hash(text, _word("'SHA256'")))
    leading = sa.func.to_number(sa.func.substr(digest, _word("1"), _word("4")), _word("'XXXX'"))
    return sa.func.floor(_divided(leading, "/", divisor))


def _divided(value: sa.ColumnElement[Any], operator: str, divisor: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    # SQLAlchemy's own division would turn integers into fractions on some servers.
    return sa.type_coerce(value.self_group().op(operator, precedence=8)(divisor), sa.Integer)


_EXPRESSIONS: dict[DatabaseType, Callable[[sa.ColumnElement[Any], sa.ColumnElement[Any]], sa.ColumnElement[int]]] = {
    "mysql": _mysql,
    "mariadb": _mysql,
    "mssql": _mssql,
    "oracle": _oracle,
}
