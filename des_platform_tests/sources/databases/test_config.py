from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from des_platform.sources.databases.config import Connection, DatabaseSource

SECRET = "very-secret"
ENTRY: dict[str, Any] = {
    "name": "erp",
    "enabled": True,
    "connection": {
        "type": "oracle",
        "host": "db.example.com",
        "port": 1521,
        "database": "ERP",
        "username": "des",
        "password": SECRET,
        "schema": "APP",
        "charset": "utf8",
        "pool_size": 5,
        "pool_recycle": 3600,
        "pool_pre_ping": True,
        "driver_options": {"retry_count": 2},
    },
    "table": {
        "name": "FILES",
        "schema": "ARCHIVE",
        "columns": {
            "id": "FILE_ID",
            "s3_bucket": "BUCKET",
            "s3_key": "OBJECT_KEY",
            "size_bytes": "SIZE_BYTES",
            "status": "STATE",
            "created_at": "CREATED",
            "metadata_columns": ["OWNER", "KIND"],
        },
        "where_clause": "ARCHIVED = 1",
        "status_pending_value": "NEW",
        "status_claimed_value": "TAKEN",
        "shard_key_column": "FILE_ID",
    },
    "batch_size": 500,
    "claim_timeout_seconds": 60,
    "shard_bits": 12,
}


def changed(path: str, value: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {**ENTRY, "connection": dict(ENTRY["connection"]), "table": dict(ENTRY["table"])}
    entry["table"]["columns"] = dict(ENTRY["table"]["columns"])
    *sections, name = path.split(".")
    section = entry
    for part in sections:
        section = section[part]
    section[name] = value
    return entry


def test_every_word_of_an_entry_is_understood() -> None:
    source = DatabaseSource.model_validate(ENTRY)

    assert source.connection.schema_name == "APP"
    assert source.table.schema_name == "ARCHIVE"
    assert source.table.columns.metadata_columns == ("OWNER", "KIND")
    assert source.table.status_packed_value == "packed"


def test_little_is_needed() -> None:
    connection = {"type": "mysql", "host": "h", "database": "d", "username": "u"}
    source = DatabaseSource.model_validate({"name": "erp", "connection": connection, "table": {"name": "files"}})

    assert (source.batch_size, source.claim_timeout_seconds, source.shard_bits) == (100, 300, 8)
    assert (source.connection.pool_size, source.connection.pool_recycle) == (5, 3600)
    assert source.connection.pool_pre_ping
    assert source.marker is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "Not a name"),
        ("batch_size", 0),
        ("batch_size", 10_001),
        ("shard_bits", 17),
        ("claim_timeout_seconds", 0),
        ("connection.type", "sqlite"),
        ("connection.port", 70_000),
        ("connection.pasword", "misspelt"),
        ("table.name", 'files"; DROP TABLE files; --'),
        ("table.columns.id", "id]"),
        ("table.columns.size", "size"),
        ("table.status_claimed_value", "NEW"),
        ("marker", {"batch_size": 0}),
    ],
)
def test_a_mistake_is_named_and_no_secret_is_shown(path: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        DatabaseSource.model_validate(changed(path, value))

    named = {".".join(map(str, error["loc"])) for error in caught.value.errors()}
    assert any(path.startswith(name) or name.startswith(path) for name in named)
    assert SECRET not in str(caught.value)


def test_a_marker_needs_the_column_that_it_writes() -> None:
    entry = changed("table.columns.des_name", None) | {"marker": {}}

    with pytest.raises(ValidationError, match="des_name"):
        DatabaseSource.model_validate(entry)


def test_a_configuration_that_is_printed_holds_no_password() -> None:
    source = DatabaseSource.model_validate(ENTRY)

    assert SECRET not in repr(source) + str(source) + source.model_dump_json()
    assert SECRET not in repr(Connection.model_validate(ENTRY["connection"]))
