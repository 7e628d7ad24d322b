"""Parquet and Arrow files: every value arrives as it is, or is told as a misfit."""

from __future__ import annotations

import io
import json
import math
import random
import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from des_platform.parquet import read_rows
from des_platform_tests.parquet.support import arrow_bytes, collect, parquet_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.parquet import FileFormat

WRITERS: dict[str, Callable[[pa.Table], bytes]] = {"parquet": parquet_bytes, "arrow": arrow_bytes}
NANOSECONDS = pa.timestamp("ns")


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def read(values: Any, kind: str, file_format: FileFormat = "arrow", **options: Any) -> Any:
    return collect(WRITERS[file_format](pa.table({"c": values})), file_format, {"c": kind}, **options)


def cell(values: pa.Array[Any], kind: str) -> object:
    """The one value, or why it was rejected."""
    rows, rejected, _ = read(values, kind)
    return rows[0]["c"] if rows else rejected[0].reason


FITTING = [
    (pa.array([7], pa.int8()), "long", 7),
    (pa.array([7], pa.int32()), "long", 7),
    (pa.array([2**31 - 1], pa.int64()), "int", 2**31 - 1),
    (pa.array([2**63 - 1], pa.uint64()), "long", 2**63 - 1),
    (pa.array([2**64 - 1], pa.uint64()), "decimal(20,0)", Decimal(2**64 - 1)),
    (pa.array([-5.0]), "long", -5),
    (pa.array([Decimal("12.00")]), "int", 12),
    (pa.array([2**53]), "double", 2.0**53),
    (pa.array([1.5], pa.float32()), "double", 1.5),
    (pa.array([1.5], pa.float16()), "float", 1.5),
    (pa.array([1.5]), "float", 1.5),
    (pa.array([Decimal("4512.35")], pa.decimal128(19, 9)), "double", 4512.35),
    (pa.array([12]), "decimal(10,2)", Decimal(12)),
    (pa.array([Decimal("1.50")]), "decimal(10,1)", Decimal("1.5")),
    (pa.array([Decimal("1.5")], pa.decimal256(50, 5)), "decimal(10,1)", Decimal("1.5")),
    (pa.array(["x"]).dictionary_encode(), "string", "x"),
    (pa.array(["x"], pa.large_string()), "string", "x"),
    (pa.array(["x"], pa.string_view()), "string", "x"),
    (pa.array([b"\xc3\xa4"]), "string", "\u00e4"),
    (pa.array([b"\x00\xff"], pa.binary(2)), "binary", b"\x00\xff"),
    (pa.array([date(2024, 2, 29)], pa.date64()), "date", date(2024, 2, 29)),
    (pa.array([date(1, 1, 1)]), "timestamp", moment(1, 1, 1)),
    (pa.array([datetime(2024, 1, 1, 1)]), "timestamp", moment(2024, 1, 1, 1)),  # noqa: DTZ001
    (pa.array([datetime(2024, 1, 1, 1)]), "timestamp_ntz", datetime(2024, 1, 1, 1)),  # noqa: DTZ001
    (pa.array([moment(2024, 1, 1)], pa.timestamp("s", "America/New_York")), "timestamp", moment(2024, 1, 1)),
    (pa.array([1_000], NANOSECONDS), "timestamp", moment(1970, 1, 1, 0, 0, 0, 1)),
    (pa.array([-1_000], NANOSECONDS), "timestamp", moment(1969, 12, 31, 23, 59, 59, 999_999)),
    (pa.array([1_700_000_000_000_000_001], NANOSECONDS), "long", 1_700_000_000_000_000_001),
    (pa.array([time(1, 2, 3, 4000)], pa.time32("ms")), "time", time(1, 2, 3, 4000)),
    (pa.array([3_000], pa.time64("ns")), "time", time(0, 0, 0, 3)),
    (pa.array([5], pa.duration("ms")), "long", 5),
    (pa.array([True]), "boolean", True),
    (pa.array([[1, None]]), "json", "[1, null]"),
    (pa.array([{"a": 1.5, "b": ["x"]}]), "json", '{"a": 1.5, "b": ["x"]}'),
    (pa.array(['{"a": 1.10}']), "json", '{"a": 1.10}'),
    (pa.array([5]), "json", "5"),
    (pa.array([None], pa.null()), "date", None),
]


@pytest.mark.parametrize(("values", "kind", "expected"), FITTING, ids=lambda value: str(getattr(value, "type", value)))
def test_a_value_that_fits_arrives_as_it_is(values: pa.Array[Any], kind: str, expected: object) -> None:
    assert cell(values, kind) == expected


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1.7]), "long"),
        (pa.array([2.0**53]), "long"),
        (pa.array([math.nan]), "long"),
        (pa.array([1e300]), "int"),
        (pa.array([2**31]), "int"),
        (pa.array([2**63], pa.uint64()), "long"),
        (pa.array([Decimal("1.5")]), "long"),
        (pa.array([Decimal(10**30)]), "long"),
        (pa.array(["7.25"]), "double"),
        (pa.array(["7"]), "long"),
        (pa.array([2**53 + 1]), "double"),
        (pa.array([0.1]), "float"),
        (pa.array([Decimal("0.1234567890123456789")]), "double"),
        (pa.array([Decimal("1.05")]), "decimal(10,1)"),
        (pa.array([100]), "decimal(3,1)"),
        (pa.array([0.5]), "decimal(3,1)"),
        (pa.array([5]), "string"),
        (pa.array([b"\xff"]), "string"),
        (pa.array(["x"]), "binary"),
        (pa.array([1]), "boolean"),
        (pa.array(["true"]), "boolean"),
        (pa.array([datetime(2024, 1, 1)]), "date"),  # noqa: DTZ001
        (pa.array([-800_000], pa.int32()).view(pa.date32()), "date"),
        (pa.array([2**31 - 1], pa.int32()).view(pa.date32()), "timestamp"),
        (pa.array([1], pa.int64()).view(pa.date64()), "date"),
        (pa.array([1], NANOSECONDS), "timestamp"),
        (pa.array([2**62], pa.timestamp("s")), "timestamp"),
        (pa.array([2**62], pa.timestamp("us", "UTC")), "timestamp"),
        (pa.array([moment(2024, 1, 1)]), "timestamp_ntz"),
        (pa.array([moment(2024, 1, 1)]), "long"),
        (pa.array([1_700_000_000]), "timestamp"),
        (pa.array([86_400_000_000], pa.int64()).view(pa.time64("us")), "time"),
        (pa.array([1], pa.time64("ns")), "time"),
        (pa.array(["{broken"]), "json"),
        (pa.array([[1]]), "long"),
        (pa.array([{"a": 1}]), "string"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_a_value_that_does_not_fit_is_told_and_rescued(values: pa.Array[Any], kind: str) -> None:
    rows, [rejected], _ = read(values, kind)
    assert rows == []
    assert rejected.line == 1
    assert rejected.reason.startswith("column 'c': ")
    assert f" is not a{'n' * (kind == 'int')} {kind}" in rejected.reason
    assert json.loads(rejected.text).keys() == {"c"}

    [row], nothing, _ = read(values, kind, misfits="rescue")
    assert nothing == []
    assert row["c"] is None
    assert json.loads(row["_rescued"]).keys() == {"c"}


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_misfits_leave_their_neighbours_alone(file_format: FileFormat) -> None:
    rows, rejected, _ = read(pa.array([1.0, 1.7, None, 3.0]), "long", file_format)
    assert [row["c"] for row in rows] == [1, None, 3]
    assert [(row.line, row.reason, row.text) for row in rejected] == [
        (2, "column 'c': 1.7 is not a long (a whole number of at most 64 bits)", '{"c": 1.7}')
    ]


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_columns_are_found_by_name_and_others_reported_or_rescued(file_format: FileFormat) -> None:
    table = pa.table({"more": [[1], None], "Trade Price": [1.5, 2.5], "ID": [1, 2]})
    columns = {"id": "long", "Trade_Price": "double", "missing": "date"}
    data = WRITERS[file_format](table)
    rows, rejected, extra = collect(data, file_format, columns)
    assert rows == [
        {"id": 1, "Trade_Price": 1.5, "missing": None},
        {"id": 2, "Trade_Price": 2.5, "missing": None},
    ]
    assert (rejected, extra) == ([], {"more"})
    rows, _, _ = collect(data, file_format, columns, misfits="rescue")
    assert [row["_rescued"] for row in rows] == ['{"more": [1]}', None]


def test_names_that_stand_for_one_column_reject_the_file() -> None:
    rows, [rejected], _ = collect(parquet_bytes(pa.table({"a b": [1], "a-b": [2]})), "parquet", {"a_b": "long"})
    assert rows == []
    assert "'a b' and 'a-b' both stand for column 'a_b'" in rejected.reason


def test_many_rows_keep_their_order_and_number() -> None:
    data = parquet_bytes(pa.table({"c": range(50_000)}), row_group_size=20_001)
    rows, rejected, _ = collect(data, "parquet", {"c": "int"})
    assert [row["c"] for row in rows] == list(range(50_000))
    assert rejected == []


def test_a_record_is_named_by_its_number() -> None:
    values = pa.array([*range(40_000), 2**40])
    _, rejected, _ = collect(arrow_bytes(pa.table({"c": values}), rows=30_000), "arrow", {"c": "int"})
    assert [row.line for row in rejected] == [40_001]


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_a_file_without_rows_has_its_columns(file_format: FileFormat) -> None:
    data = WRITERS[file_format](pa.table({"c": pa.array([], pa.int64()), "d": pa.array([], pa.int64())}))
    assert collect(data, file_format, {"c": "long"}) == ([], [], {"d"})


@pytest.mark.parametrize("file_format", ["parquet", "arrow", "avro", "dbn"])
@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"hello, world: this is no table", b"\0" * 100, b"Obj\x01\x80", b"DBN\3"]
)
def test_what_is_no_such_file_is_one_rejected_row(file_format: FileFormat, data: bytes) -> None:
    rows, [rejected], _ = collect(data, file_format, {"c": "long"})
    assert rows == []
    assert rejected.reason.startswith("the whole file is rejected")


@pytest.mark.parametrize("as_file", [True, False])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_a_truncated_arrow_file_keeps_the_batches_before(as_file: bool, compression: str | None) -> None:
    data = arrow_bytes(pa.table({"c": range(3_000)}), as_file=as_file, compression=compression, rows=1_000)
    rows, rejected, _ = collect(data, "arrow", {"c": "long"})
    assert (len(rows), rejected) == (3_000, [])
    rows, [rejected_row], _ = collect(data[: len(data) * 3 // 5], "arrow", {"c": "long"})
    assert [row["c"] for row in rows] == list(range(1_000))
    assert rejected_row.line == 1_001
    assert "the file is damaged from here on" in rejected_row.reason


def test_a_truncated_parquet_file_is_rejected_as_a_whole() -> None:
    data = parquet_bytes(pa.table({"c": range(1_000)}))
    rows, [rejected], _ = collect(data[:-100], "parquet", {"c": "long"})
    assert (rows, rejected.line) == ([], 1)


def test_damaged_pages_are_told_and_nothing_is_made_up() -> None:
    table = pa.table({"c": range(100_000)})
    data = bytearray(parquet_bytes(table, use_dictionary=False, row_group_size=10_000, write_page_checksum=True))
    data[200_000:200_100] = bytes(100)
    rows, [rejected], _ = collect(bytes(data), "parquet", {"c": "long"})
    assert [row["c"] for row in rows] == list(range(len(rows)))
    assert (rejected.line, len(rows) > 10_000) == (len(rows) + 1, True)


def test_a_footer_that_lies_about_its_size_is_refused() -> None:
    data = parquet_bytes(pa.table({"c": [1]}))
    _, [rejected], _ = collect(data[:-8] + struct.pack("<I", 2**31) + b"PAR1", "parquet", {"c": "long"})
    assert "claims a footer of 2147483648 bytes" in rejected.reason


def test_a_column_chunk_outside_the_file_is_refused() -> None:
    data = parquet_bytes(
        pa.table(
            {"c": range(10_000)},
        ),
        use_dictionary=False,
        compression="none",
    )
    footer = int.from_bytes(data[-8:-4], "little")
    short = data[:1_000] + data[-8 - footer :]
    rows, [rejected], _ = collect(short, "parquet", {"c": "long"})
    assert rows == []
    assert "and the file has" in rejected.reason or "more than its column chunk has" in rejected.reason


def test_a_page_that_claims_gigabytes_is_refused() -> None:
    data = parquet_bytes(pa.table({"c": ["x" * 100] * 10}), use_dictionary=False, compression="zstd")
    zigzag = bytearray()
    value = (2**31 - 1) << 1
    while value > 127:
        zigzag.append(value & 127 | 128)
        value >>= 7
    zigzag.append(value)
    # The page's header begins with its type (15 00), then its size (15 and a number).
    end = 7
    while data[end] > 127:
        end += 1
    lying = data[:7] + bytes(zigzag) + data[end + 1 :]
    _, [rejected], _ = collect(lying, "parquet", {"c": "string"})
    assert "2147483647 bytes" in rejected.reason


def test_an_arrow_buffer_that_claims_gigabytes_is_refused() -> None:
    data = arrow_bytes(pa.table({"c": pa.array(["x" * 1_000] * 100)}), as_file=False, compression="zstd")
    packed = struct.pack("<q", 100_000)
    assert data.count(packed) == 1
    _, [rejected], _ = collect(data.replace(packed, struct.pack("<q", 2**40)), "arrow", {"c": "string"})
    assert f"claims {2**40}" in rejected.reason or "bytes, and at most" in rejected.reason


def test_a_small_dictionary_of_large_values_comes_in_small_batches() -> None:
    table = pa.table({"c": pa.array(["x" * (1 << 20), "y"]).take(pa.array([0] * 200 + [1] * 200))})
    largest = rows = 0
    for batch in read_rows(io.BytesIO(parquet_bytes(table)), "parquet", {"c": "string"}):
        largest = max(largest, batch.rows.nbytes)
        rows += batch.rows.num_rows
    assert rows == 400
    assert largest <= 65 << 20


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_escapes(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - damage
    table = pa.table(
        {"c": range(500), "s": ["text"] * 500, "l": [[1, 2]] * 500, "d": pa.array(["x"] * 500).dictionary_encode()}
    )
    columns = {"c": "long", "s": "string", "l": "json", "d": "string"}
    for file_format, writer in WRITERS.items():
        data = bytearray(writer(table))
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        rows, _, _ = collect(bytes(data), file_format, columns)  # type: ignore[arg-type]  # names of formats
        assert len(rows) <= 1 << 24


def test_lists_that_claim_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = parquet_bytes(pa.table({"c": [[7] * 100_000]}))
    assert len(collect(data, "parquet", {"c": "json"})[0][0]["c"]) == 300_000
    monkeypatch.setattr("des_platform.parquet.parquet_rows._MAX_VALUES", 50_000)
    rows, [rejected], _ = collect(data, "parquet", {"c": "json"})
    assert (rows, "at most 50000 are read" in rejected.reason) == ([], True)


def test_a_column_of_another_type_costs_every_row_and_none_is_lost() -> None:
    data = parquet_bytes(pa.table({"c": [str(i) for i in range(20_000)], "d": range(20_000)}))
    rows, rejected, _ = collect(data, "parquet", {"c": "long", "d": "long"})
    assert rows == []
    assert [(row.line, row.text) for row in rejected][12_345] == (12_346, '{"c": "12345", "d": 12345}')


def test_timestamps_of_96_bits_do_not_wrap() -> None:
    moments = pa.array([moment(9999, 12, 31, 23), moment(2024, 1, 1), None], pa.timestamp("us", "UTC"))
    data = parquet_bytes(pa.table({"c": moments}), use_deprecated_int96_timestamps=True)
    assert [row["c"] for row in collect(data, "parquet", {"c": "timestamp"})[0]] == moments.to_pylist()
    digits = pa.array([1, 1_700_000_000_000_000_001], NANOSECONDS)
    data = parquet_bytes(pa.table({"c": digits}), use_deprecated_int96_timestamps=True)
    assert [row["c"] for row in collect(data, "parquet", {"c": "long"})[0]] == [1, 1_700_000_000_000_000_001]


def test_a_union_is_json_or_a_misfit() -> None:
    union = pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([5]), pa.array(["x"])]
    )
    data = arrow_bytes(pa.table({"c": union}))
    assert [row["c"] for row in collect(data, "arrow", {"c": "json"})[0]] == ["5", '"x"']
    assert len(collect(data, "arrow", {"c": "long"})[1]) == 2


def test_a_column_that_stands_twice_rejects_the_file() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["c", "c"])
    _, [rejected], _ = collect(arrow_bytes(pa.Table.from_batches([batch])), "arrow", {"c": "long"})
    assert "column 'c' twice" in rejected.reason


def test_text_within_parts_that_is_no_unicode_is_rejected() -> None:
    bad = pa.array([b"ok", b"\xff"]).cast(pa.string(), safe=False)
    table = pa.table({"c": pa.StructArray.from_arrays([bad], ["s"]), "n": [1, 2]})
    rows, rejected, _ = collect(parquet_bytes(table), "parquet", {"c": "json", "n": "long"})
    assert rows == [{"c": '{"s": "ok"}', "n": 1}]
    assert [row.line for row in rejected] == [2]
    assert "Invalid UTF8" in rejected[0].reason
