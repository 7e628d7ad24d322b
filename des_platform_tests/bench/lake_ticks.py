"""What the rows about commits share: a lake with a PostgreSQL as durable as any, and days of market ticks."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import SecretStr

from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_DAY = date(2025, 1, 1)
COLUMNS = {
    "ts": "timestamp",
    "symbol": "string",
    "price": "double",
    "size": "long",
    "side": "string",
    "sequence": "long",
}
_SYMBOLS = 200
_DAY_MICROSECONDS = 86_400_000_000


class Opened(NamedTuple):
    """A new folder, and the settings of a lake whose bucket is in it."""

    folder: Path
    settings: Settings


@contextmanager
def opened() -> Iterator[Opened]:
    """Start a database of its own and name an empty bucket."""
    with tempfile.TemporaryDirectory(prefix="des-bench-") as name, EmbeddedPostgres(Path(name) / "state") as address:
        yield Opened(
            Path(name),
            Settings(
                store_url=f"file://{Path(name).resolve() / 'store'}",
                bucket="des",
                pg_host=address.host,
                pg_port=address.port,
                pg_user=address.user,
                pg_password=SecretStr(address.password),
                pg_db=address.database,
            ),
        )


def day(number: int) -> date:
    """The day of a number, from 0 on."""
    return FIRST_DAY + timedelta(days=number)


def ticks(number: int, rows: int) -> pa.RecordBatch:
    """A day's ticks, in the order in which they came; the same for the same number."""
    source = np.random.default_rng(number)
    midnight = int(datetime.combine(day(number), datetime.min.time(), UTC).timestamp()) * 1_000_000
    symbols = pa.array([f"SYM{symbol:03}" for symbol in range(_SYMBOLS)])
    return pa.RecordBatch.from_pydict(
        {
            "ts": pa.array(np.sort(source.integers(0, _DAY_MICROSECONDS, rows)) + midnight, pa.timestamp("us", "UTC")),
            "symbol": symbols.take(pa.array(source.integers(0, _SYMBOLS, rows))),
            "price": np.round(100 + np.cumsum(source.normal(0, 0.01, rows)), 2),
            "size": source.geometric(0.01, rows) * 100,
            "side": pa.array(["B", "S"]).take(pa.array(source.integers(0, 2, rows))),
            "sequence": np.arange(rows) + number * rows,
        }
    )
