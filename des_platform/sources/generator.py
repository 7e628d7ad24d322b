"""Stock-market files that look like a feed's, from a seed alone: the same arguments give the same bytes, anywhere.

Repeatability rests on three choices: the only random call is `Random.random()`, which Python promises to keep; seeds
are texts, hashed with SHA-512 inside `Random`, not with the process's own hash; prices are walked in integer cents, so
no platform's `exp` or `log` takes part beyond a table that is rounded to integers at once.

The files of one day share their opening prices; each spans the trading session, its timestamps strictly increasing.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    _Row = tuple[str, int, int, int, int]  # time of day, listing, price and half spread in cents, shares

STOCK_COLUMNS: dict[str, str] = {
    "symbol": "string",
    "ts": "timestamp",
    "price": "double",
    "bid": "double",
    "ask": "double",
    "volume": "long",
    "exchange": "string",
    "sector": "string",
}
"""Columns of a stock file in order, with their types."""

MAX_ROWS = 1_000_000
"""Most rows in one file: beyond, the session has too few milliseconds for timestamps that increase."""

_SESSION_START = 14 * 3600 + 30 * 60  # 09:30 in New York, winter time, as seconds of the UTC day
_SESSION_SECONDS = 23_400

# Symbol, exchange, sector, price in cents around which a day opens; the most traded first.
_LISTINGS = (
    ("AAPL", "NASDAQ", "Technology", 18_950),
    ("NVDA", "NASDAQ", "Technology", 49_520),
    ("TSLA", "NASDAQ", "Consumer Discretionary", 24_840),
    ("MSFT", "NASDAQ", "Technology", 37_600),
    ("AMZN", "NASDAQ", "Consumer Discretionary", 15_190),
    ("AMD", "NASDAQ", "Technology", 14_740),
    ("META", "NASDAQ", "Communication Services", 35_400),
    ("F", "NYSE", "Consumer Discretionary", 1_219),
    ("BAC", "NYSE", "Financials", 3_367),
    ("GOOGL", "NASDAQ", "Communication Services", 13_970),
    ("INTC", "NASDAQ", "Technology", 5_025),
    ("PFE", "NYSE", "Health Care", 2_879),
    ("T", "NYSE", "Communication Services", 1_678),
    ("XOM", "NYSE", "Energy", 9_998),
    ("C", "NYSE", "Financials", 5_144),
    ("JPM", "NYSE", "Financials", 17_010),
    ("WMT", "NYSE", "Consumer Staples", 15_765),
    ("KO", "NYSE", "Consumer Staples", 5_893),
    ("CSCO", "NASDAQ", "Technology", 5_052),
    ("DIS", "NYSE", "Communication Services", 9_029),
    ("NKE", "NYSE", "Consumer Discretionary", 10_857),
    ("CVX", "NYSE", "Energy", 14_916),
    ("JNJ", "NYSE", "Health Care", 15_674),
    ("PG", "NYSE", "Consumer Staples", 14_654),
    ("V", "NYSE", "Financials", 26_035),
    ("MRK", "NYSE", "Health Care", 10_902),
    ("BA", "NYSE", "Industrials", 26_066),
    ("GE", "NYSE", "Industrials", 12_763),
    ("CAT", "NYSE", "Industrials", 29_567),
    ("NEE", "NYSE", "Utilities", 6_074),
    ("HON", "NASDAQ", "Industrials", 20_971),
    ("FCX", "NYSE", "Materials", 4_257),
    ("LIN", "NASDAQ", "Materials", 41_071),
    ("DUK", "NYSE", "Utilities", 9_704),
    ("AMT", "NYSE", "Real Estate", 21_588),
    ("PLD", "NYSE", "Real Estate", 13_330),
)


def stock_file(day: date, index: int, file_format: Literal["csv", "jsonl"], *, rows: int, seed: int = 0) -> bytes:
    """Generate one file of trades, UTF-8, lines ended by a line feed.

    Args:
        day: trading day; all timestamps lie in its session, 14:30 to 21:00 UTC.
        index: number of the file within its day; it makes files of a day differ.
        file_format: `csv` with a header line (about 75 bytes a row), or `jsonl`, one object a line (about 145).
        rows: trades in the file, 0 to 1,000,000.
        seed: another seed, another market.

    Raises:
        ValueError: `rows` or `file_format` is out of range.
    """
    if not 0 <= rows <= MAX_ROWS:
        raise ValueError(f"rows is {rows}, expected 0 to {MAX_ROWS}")
    if file_format not in ("csv", "jsonl"):
        raise ValueError(f"file_format is {file_format!r}, expected 'csv' or 'jsonl'")
    rng = Random(f"stock:{seed}:{day.isoformat()}:{index}")  # noqa: S311 - repeatable data, not a secret
    columns = zip(_timestamps(rng, rows), *_trades(rng, _opening_prices(day, seed), rows), strict=True)
    lines = _csv_lines(day, columns) if file_format == "csv" else _jsonl_lines(day, columns)
    return "".join(lines).encode("ascii")


def _opening_prices(day: date, seed: int) -> list[int]:
    draw = Random(f"open:{seed}:{day.isoformat()}").random  # noqa: S311 - repeatable data, not a secret
    return [base * (900 + int(draw() * 201)) // 1000 for _, _, _, base in _LISTINGS]


def _draws(rng: Random, table: list[int], rows: int) -> list[int]:
    draw, size = rng.random, len(table)
    return [table[int(draw() * size)] for _ in range(rows)]


def _timestamps(rng: Random, rows: int) -> list[str]:
    """Times of day as `HH:MM:SS.mmmZ`: exponential gaps, as of independent arrivals, stretched over the session."""
    arrivals = list(accumulate(_draws(rng, _tables()["gap"], rows)))
    total = arrivals[-1] + 1 if arrivals else 1
    seconds, milliseconds = _clock()
    span = _SESSION_SECONDS * 1000
    moments = (arrival * span // total for arrival in arrivals)
    return [seconds[moment // 1000] + milliseconds[moment % 1000] for moment in moments]


def _trades(rng: Random, prices: list[int], rows: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Walk every symbol's price from `prices`: the listing's number, price and half spread in cents, and shares."""
    tables = _tables()
    listings = _draws(rng, tables["symbol"], rows)
    walk = []
    for listing, step in zip(listings, _draws(rng, tables["move"], rows), strict=True):
        price = prices[listing]
        # Half a unit is added before the floor, or rounding down would drag every price towards zero.
        price = max(price + (price * step + 500_000) // 1_000_000, 100)
        prices[listing] = price
        walk.append(price)
    return listings, walk, _draws(rng, tables["spread"], rows), _draws(rng, tables["volume"], rows)


def _csv_lines(day: date, columns: Iterable[_Row]) -> Iterator[str]:
    heads = [f"{symbol},{day.isoformat()}T" for symbol, _, _, _ in _LISTINGS]
    tails = [f",{exchange},{sector}\n" for _, exchange, sector, _ in _LISTINGS]
    yield ",".join(STOCK_COLUMNS) + "\n"
    for time, n, price, half, shares in columns:
        bid, ask = (price - half) / 100, (price + half) / 100
        yield f"{heads[n]}{time},{price / 100:.2f},{bid:.2f},{ask:.2f},{shares}{tails[n]}"


def _jsonl_lines(day: date, columns: Iterable[_Row]) -> Iterator[str]:
    heads = [f'{{"symbol":"{symbol}","ts":"{day.isoformat()}T' for symbol, _, _, _ in _LISTINGS]
    tails = [f',"exchange":"{exchange}","sector":"{sector}"}}\n' for _, exchange, sector, _ in _LISTINGS]
    for time, n, price, half, shares in columns:
        bid, ask = (price - half) / 100, (price + half) / 100
        yield f'{heads[n]}{time}","price":{price / 100:.2f},"bid":{bid:.2f},"ask":{ask:.2f},"volume":{shares}{tails[n]}'


@cache
def _clock() -> tuple[list[str], list[str]]:
    """Every second of the session as `HH:MM:SS`, and every millisecond of a second as `.mmmZ`."""
    seconds = range(_SESSION_START, _SESSION_START + _SESSION_SECONDS)
    return [f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in seconds], [f".{ms:03d}Z" for ms in range(1000)]


@cache
def _tables() -> dict[str, list[int]]:
    """Distributions as tables: a uniform draw over a table is a draw from the distribution.

    `gap`: exponential, mean about 1,000, never under 50. `symbol`: Zipf-like over the listings. `move`: bell-shaped, in
    millionths of the price, standard deviation about 290. `spread`: half the spread in cents. `volume`: mostly round
    lots with a long tail, some odd lots.
    """
    bell = [a + b + c for a in range(-7, 8) for b in range(-7, 8) for c in range(-7, 8)]
    round_lots = [100 * round(100 / rank) for rank in range(1, 101)]
    return {
        "gap": [50 + round(-950 * math.log((slot + 0.5) / 1024)) for slot in range(1024)],
        "symbol": [n for n in range(len(_LISTINGS)) for _ in range(400 // (n + 4))],
        "move": [39 * total for total in bell],
        "spread": [1, 1, 1, 1, 1, 2, 2, 3],
        "volume": [*round_lots, *range(1, 100, 3)],
    }
