"""Files to take apart, small and large, kind and hostile."""

from __future__ import annotations

import json
import random

from des_platform.codecs.records import NotRecords, compress_records, decode_records


def round_trip(data: bytes, *, threads: int = 1, piece: int = 1 << 16) -> bytes | None:
    """What comes back of a file; None if it is no file of records."""
    try:
        packed = b"".join(compress_records(cut(data, piece), threads=threads))
    except NotRecords:
        return None
    return b"".join(decode_records(cut(packed, piece)))


def pack(data: bytes, *, threads: int = 1) -> bytes:
    """A file as Parquet."""
    return b"".join(compress_records([data], threads=threads))


def unpack(packed: bytes) -> bytes:
    """The original of a Parquet file."""
    return b"".join(decode_records([packed]))


def cut(data: bytes, piece: int) -> list[bytes]:
    """A file in pieces."""
    return [data[start : start + piece] for start in range(0, len(data), piece)]


def trades(rows: int, seed: int = 1) -> list[dict[str, object]]:
    """Records with all kinds of values, absent keys and nulls among them."""
    draw = random.Random(seed)  # noqa: S311 - the same each time
    sectors = {"AAPL": "Tech", "XOM": "Energy", "Ünï": "Other", "KO": "Food"}
    price = dict.fromkeys(sectors, 10_000)
    found: list[dict[str, object]] = []
    for number in range(rows):
        symbol = draw.choice(list(sectors))
        price[symbol] += draw.randint(-30, 30)
        record: dict[str, object] = {
            "id": 10_000 + number,
            "at": f"2026-01-05T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number % 997:03d}Z",
            "symbol": symbol,
            "sector": sectors[symbol],
            "price": price[symbol] / 100,
            "bid": price[symbol] / 100 - 0.25,
            "volume": draw.choice([None, 10 * draw.randint(1, 900)]),
            "open": draw.random() < 0.5,
            "where": {"host": f"h{draw.randint(1, 9)}", "port": draw.randint(1, 65535)},
            "tags": [draw.randint(0, 9)] * draw.randint(0, 3),
            "day": f"2026-01-{draw.randint(1, 28):02d}",
        }
        if draw.random() < 0.1:
            del record["volume"]
        found.append(record)
    return found


def json_lines(rows: int, seed: int = 1) -> bytes:
    """The same as JSON lines."""
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in trades(rows, seed))
