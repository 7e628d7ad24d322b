"""A DataHub with its files, and the few verbs that tests of it begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from des_platform.catalog import dead_letters, inbox, partitions, source_rows
from des_platform.catalog.metrics import samples
from des_platform.sources.datahub.config import DataHubConfig
from des_platform.sources.datahub.source import DataHubSource
from des_platform.sources.recording import Recorder
from des_platform_tests.datahub_server import KEY, DataHubFile, DataHubServer, insert_files
from des_platform_tests.platform import LANDING, Platform

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg
    import pytest

    from des_platform.catalog.dead_letters import DeadLetterRow
    from des_platform.cli.demo.postgres import PostgresAddress

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - the table's column has no time zone
SIZE = 2000


def config_of(server: DataHubServer, address: PostgresAddress | None = None, **changes: Any) -> DataHubConfig:
    """A DataHub as its users configure it, but impatient."""
    fields: dict[str, Any] = {
        "name": "hub",
        "url": server.url,
        "api_key": KEY,
        "connection": {
            "type": "postgres",
            "host": address.host if address else "127.0.0.1",
            "port": address.port if address else 5432,
            "username": address.user if address else "des",
            "password": address.password if address else "",
            "database": address.database if address else "des",
        },
        "landing": {"bucket": LANDING, "prefix": "things/hub/"},
        "start": "2026-01-01",
        "size_threshold": 1000,
        "retries": {"total": 3, "base": 0.001},
        "timeout": 10,
    }
    return DataHubConfig.model_validate(fields | changes)


@dataclass
class DataHub:
    """A DataHub beside a platform whose dataset takes what lands under `things/hub/`."""

    platform: Platform
    server: DataHubServer
    database: psycopg.Connection[Any]
    address: PostgresAddress

    def add(self, file_id: Any, content: bytes | None = None, uploaded_at: datetime = NOON, **row: Any) -> bytes:
        """Upload a file to the DataHub; returns its bytes."""
        found = content if content is not None else str(file_id).encode().ljust(SIZE, b".")
        self.server.files[str(file_id)] = found
        insert_files(self.database, [DataHubFile(file_id, row.pop("size", len(found)), uploaded_at, **row)])
        return found

    def source(self, **changes: Any) -> DataHubSource:
        platform = self.platform
        with platform.catalog.begin() as connection:
            partitions.register_datasets(connection, [platform.dataset])
        recorder = Recorder(platform.catalog, platform.buckets, [platform.dataset])
        return DataHubSource(config_of(self.server, self.address, **changes), recorder)

    @cached_property
    def store(self) -> Any:
        return self.platform.buckets.bucket(LANDING)

    def landed(self) -> dict[str, bytes]:
        """What lies in the landing bucket, by key."""
        found = self.store.list("things/hub/")
        return {info.key.removeprefix("things/hub/"): self.store.get(info.key, max_bytes=1 << 30) for info in found}

    def counters(self) -> dict[str, float]:
        with self.platform.catalog.begin() as connection:
            return {"-".join([sample.metric, *sample.labels.values()]): sample.value for sample in samples(connection)}

    def letters(self) -> list[DeadLetterRow]:
        with self.platform.catalog.begin() as connection:
            return dead_letters.newest(connection, 1000)

    def tally(self) -> dict[str, int]:
        """Inbox rows by state."""
        with self.platform.catalog.begin() as connection:
            return inbox.tally(connection)

    def forget(self, file_id: str) -> bool:
        """What `dead-letters retry` does."""
        with self.platform.catalog.begin() as connection:
            return source_rows.forget(connection, "hub", file_id)


def write_sources(hub: DataHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the sources file of an installation, whose secrets stand in the environment."""
    config = config_of(hub.server, hub.address).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    config["api_key"] = "${HUB_KEY}"
    config["connection"]["password"] = "${HUB_PASSWORD}"
    path = folder / "sources.yaml"
    path.write_text(json.dumps({"datahubs": [config]}))
    monkeypatch.setenv("HUB_KEY", KEY)
    monkeypatch.setenv("HUB_PASSWORD", hub.address.password)
    monkeypatch.setenv("DES_SOURCES", str(path))
