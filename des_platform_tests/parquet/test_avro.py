from __future__ import annotations

import io
import json
import random
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from des_platform_tests.parquet.support import collect

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


def avro(
    fields: list[dict[str, Any]], records: list[dict[str, Any]], codec: str = "null", interval: int = 16_000
) -> bytes:
    sink = io.BytesIO()
    schema = fastavro.parse_schema({"type": "record", "name": "r", "namespace": "n.s", "fields": fields})
    fastavro.writer(sink, schema, records, codec=codec, sync_interval=interval)
    return sink.getvalue()


def one(kind: Any, value: Any, column: str, misfits: Any = "reject") -> Any:
    rows, rejected, _ = collect(
        avro([{"name": "c", "type": kind}], [{"c": value}]), "avro", {"c": column}, misfits=misfits
    )
    return rows[0]["c"] if rows else rejected[0].reason


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


@pytest.mark.parametrize(
    ("kind", "value", "column", "expected"),
    [
        ("int", 5, "long", 5),
        ("long", 2**62, "long", 2**62),
        ("float", 1.5, "double", 1.5),
        ("boolean", True, "boolean", True),
        ("string", "\u00e4", "string", "\u00e4"),
        ("bytes", b"\x00", "binary", b"\x00"),
        (["null", "string"], None, "string", None),
        (["null", "string"], "x", "string", "x"),
        ({"type": "enum", "name": "e", "symbols": ["A", "B"]}, "B", "string", "B"),
        ({"type": "fixed", "name": "f", "size": 2}, b"ab", "binary", b"ab"),
        (logical("int", "date"), date(2024, 2, 29), "date", date(2024, 2, 29)),
        (logical("long", "time-micros"), time(1, 2, 3, 4), "time", time(1, 2, 3, 4)),
        (logical("long", "timestamp-millis"), MOMENT, "timestamp", MOMENT),
        (logical("long", "timestamp-nanos"), 1_700_000_000_000_000_001, "long", 1_700_000_000_000_000_001),
        (logical("bytes", "decimal", precision=10, scale=2), Decimal("-12.34"), "decimal(10,2)", Decimal("-12.34")),
        (["null", logical("bytes", "decimal", precision=9, scale=2)], Decimal("1.10"), "decimal(12,3)", Decimal("1.1")),
        ({"type": "array", "items": logical("int", "date")}, [date(2024, 1, 1)], "json", '["2024-01-01"]'),
        ({"type": "map", "values": "long"}, {"k": 1}, "json", '{"k": 1}'),
        (["null", "int", "string"], "x", "json", '"x"'),
        (["null", "int", "string"], 7, "json", "7"),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_fits_arrives_as_it_is(kind: Any, value: Any, column: str, expected: Any) -> None:
    assert one(kind, value, column) == expected


@pytest.mark.parametrize(
    ("kind", "value", "column"),
    [
        ("double", 1.7, "long"),
        ("string", "7.25", "double"),
        (logical("int", "date"), 2**31 - 1, "date"),
        (logical("long", "timestamp-micros"), 2**62, "timestamp"),
        (logical("long", "timestamp-nanos"), 1_001, "timestamp"),
        ({"type": "array", "items": "int"}, [1], "long"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_told(kind: Any, value: Any, column: str) -> None:
    assert f"is not a {column}" in one(kind, value, column)


def test_a_type_within_itself_is_json() -> None:
    node = {
        "type": "record",
        "name": "node",
        "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "node"]}],
    }
    value = {"v": 1, "next": {"v": 2, "next": None}}
    assert json.loads(one(node, value, "json")) == value


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_every_codec_and_many_blocks_are_read(codec: str) -> None:
    data = avro([{"name": "c", "type": "int"}], [{"c": i} for i in range(40_000)], codec)
    rows, rejected, _ = collect(data, "avro", {"c": "long"})
    assert [row["c"] for row in rows] == list(range(40_000))
    assert rejected == []


def test_a_snappy_block_is_checked() -> None:
    import zlib

    import pyarrow as pa

    from des_platform.parquet.avro_rows import _long

    header = avro([{"name": "c", "type": "int"}], [])
    assert header.count(b"\x08null") == 1
    block = b"".join(_long(2 * i) for i in range(100))
    packed = pa.Codec("snappy").compress(block, asbytes=True) + zlib.crc32(block).to_bytes(4, "big")
    head = header.replace(b"\x08null", b"\x0csnappy")
    data = head + _long(100) + _long(len(packed)) + packed + head[-16:]
    rows, rejected, _ = collect(data, "avro", {"c": "long"})
    assert ([row["c"] for row in rows], rejected) == (list(range(0, 200, 2)), [])
    wrong = bytearray(data)
    wrong[-17] ^= 1
    assert "checksum" in collect(bytes(wrong), "avro", {"c": "long"})[1][0].reason


def test_an_empty_file_has_its_columns() -> None:
    assert collect(avro([{"name": "c", "type": "int"}, {"name": "d", "type": "int"}], []), "avro", {"c": "long"}) == (
        [],
        [],
        {"d"},
    )


def test_a_truncated_file_keeps_the_blocks_before() -> None:
    data = avro([{"name": "c", "type": "long"}], [{"c": i} for i in range(10_000)], interval=2_000)
    rows, [rejected], _ = collect(data[: len(data) // 2], "avro", {"c": "long"})
    assert len(rows) > 1_000
    assert [row["c"] for row in rows] == list(range(len(rows)))
    assert (rejected.line, "damaged from here on" in rejected.reason) == (len(rows) + 1, True)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (b"\x02" + b"\xfe\xff\xff\xff\xff\x7f", "at most"),  # one record in terabytes
        (b"\xfe\xff\xff\xff\xff\x7f" + b"\x02\x00", "records in 1 bytes"),
        (b"\x02\xc8\x01", "ends early"),
    ],
)
def test_a_block_that_claims_what_it_has_not_is_refused(claim: bytes, reason: str) -> None:
    header = avro([{"name": "c", "type": "long"}], [])
    rows, [rejected], _ = collect(header + claim + header[-16:], "avro", {"c": "long"})
    assert rows == []
    assert reason in rejected.reason


def test_a_bomb_in_a_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("des_platform.parquet.avro_rows.MAX_BLOCK_BYTES", 100_000)
    data = avro([{"name": "c", "type": "string"}], [{"c": "x" * 1_000_000}], "deflate")
    rows, [rejected], _ = collect(data, "avro", {"c": "string"})
    assert (rows, "larger than the 100000 bytes" in rejected.reason) == ([], True)


def test_an_array_of_nothing_is_refused() -> None:
    data = avro([{"name": "c", "type": {"type": "array", "items": "null"}}], [{"c": [None] * 10}])
    rows, [rejected], _ = collect(data, "avro", {"c": "json"})
    assert (rows, "without any bytes" in rejected.reason) == ([], True)


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_escapes(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - damage
    fields = [
        {"name": "c", "type": "long"},
        {"name": "s", "type": ["null", "string"]},
        {"name": "l", "type": {"type": "array", "items": "int"}},
    ]
    data = bytearray(avro(fields, [{"c": i, "s": "x", "l": [1, 2]} for i in range(500)], interval=500))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    rows, _, _ = collect(bytes(data), "avro", {"c": "long", "s": "string", "l": "json"})
    assert len(rows) <= 100_000
