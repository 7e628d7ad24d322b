"""A lake on a real PostgreSQL, its bucket a folder."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pydantic import SecretStr

from des_platform.lake.tables import Lake
from des_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.cli.demo.postgres import PostgresAddress

COLUMNS = {"id": "long", "price": "double", "symbol": "string"}


def rows(count: int, symbol: str = "AAA") -> pa.RecordBatch:
    """Rows as a parser hands them over: declared columns and lineage, not the day."""
    return pa.RecordBatch.from_pydict(
        {
            "id": list(range(count)),
            "price": [number / 4 for number in range(count)],
            "symbol": [symbol] * count,
            "_file": ["DES-1"] * count,
            "_line": list(range(1, count + 1)),
        }
    )


def settings_for(address: PostgresAddress, store_url: str, **others: str) -> Settings:
    return Settings(
        store_url=store_url,
        bucket="des",
        pg_host=address.host,
        pg_port=address.port,
        pg_user=address.user,
        pg_password=SecretStr(address.password),
        pg_db=address.database,
        **others,
    )


@pytest.fixture
def settings(postgres_address: PostgresAddress, tmp_path: Path) -> Settings:
    return settings_for(postgres_address, f"file://{tmp_path}")


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    with closing(Lake(settings)) as opened:
        yield opened


@pytest.fixture
def ticks(lake: Lake) -> Lake:
    """A lake with an empty table `ticks`."""
    lake.ensure_table("ticks", COLUMNS)
    return lake
