from __future__ import annotations

import io
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from des_platform.parquet import optimizing
from des_platform.parquet.inspecting import inspect
from des_platform.parquet.optimizing import NotParquet, NotTheSame, Optimized, Wanted, optimize
from des_platform.parquet.sameness import same_values, side_by_side


def _table(rows: int = 30_000) -> pa.Table:
    draw = np.random.default_rng(7)
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "1"}),
            pa.field("big", pa.int64()),
            pa.field("price", pa.float64()),
            pa.field("half", pa.float64()),
            pa.field("name", pa.dictionary(pa.int32(), pa.string())),
            pa.field("tags", pa.list_(pa.field("item", pa.string()))),
            pa.field("pairs", pa.map_(pa.string(), pa.float64())),
            pa.field("paid", pa.decimal128(9, 2)),
            pa.field("none", pa.int64()),
        ],
        metadata={"made by": "us"},
    )
    price = draw.random(rows)
    price[::7] = -0.0
    price[::11] = np.array([0x7FF8000000000123], np.uint64).view(np.float64)[0]
    columns: list[Any] = [
        np.arange(rows),
        np.arange(rows) << 40,
        price,
        np.arange(rows) / 2,
        pa.array([f"name {number % 9}" for number in range(rows)]).dictionary_encode(),
        [None if number % 5 == 0 else ["a"] * (number % 3) for number in range(rows)],
        [[("k", float(number))] for number in range(rows)],
        [Decimal(number) / 100 for number in range(rows)],
        pa.nulls(rows, pa.int64()),
    ]
    return pa.table([pa.array(values, item.type) for values, item in zip(columns, schema, strict=True)], schema=schema)


def _file(table: pa.Table, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file


def _optimized(source: io.BytesIO, wanted: Wanted | None = None) -> tuple[Optimized, pa.Table]:
    target = io.BytesIO()
    done = optimize(source, target, wanted or Wanted())
    assert done.after == len(target.getvalue())
    return done, pq.read_table(io.BytesIO(target.getvalue()))


def _check_same(one: pa.Table, other: pa.Table) -> None:
    assert one.num_rows == other.num_rows
    for name in one.column_names:
        assert same_values(*(some[name].unify_dictionaries().combine_chunks() for some in (one, other))), name


@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 999}, {"use_compliant_nested_type": False}, {"version": "1.0"}]
)
def test_rows_schema_and_metadata_come_back_in_fewer_bytes(options: dict[str, Any]) -> None:
    source = _file(_table(), **options)

    done, found = _optimized(source)

    assert done.after < done.before
    assert (done.narrowed, done.lost, done.row_groups) == ({}, {}, 1)
    before = pq.read_table(io.BytesIO(source.getvalue()))
    assert found.schema.equals(before.schema, check_metadata=True)
    _check_same(before, found)


def test_types_are_narrowed_only_where_every_value_fits_bit_for_bit() -> None:
    table = _table()

    done, found = _optimized(_file(table), Wanted(narrow=True))

    assert done.narrowed == {"id": "int64 to int32", "half": "double to float"}
    assert found.schema.field("id").equals(table.schema.field("id").with_type(pa.int32()), check_metadata=True)
    _check_same(table.select(["id", "half"]), found.select(["id", "half"]).cast(table.select(["id", "half"]).schema))


def test_one_value_that_does_not_fit_in_the_last_row_group_keeps_the_type() -> None:
    table = pa.table({"a": pa.array([1] * 5000 + [2**31]), "b": pa.array([0.5] * 5000 + [0.1])})

    done, found = _optimized(_file(table, row_group_size=500), Wanted(narrow=True))

    assert done.narrowed == {}
    _check_same(table, found)


def test_a_declared_tolerance_is_kept_and_what_was_lost_is_told() -> None:
    table = _table()

    done, found = _optimized(_file(table), Wanted(tolerance={"price": 1e-4}))
    exact, _ = _optimized(_file(table))

    assert done.after < exact.after
    assert 0 < done.lost["price"] <= 1e-4
    assert found.schema.field("price").type == pa.float64()
    _check_same(table.drop_columns(["price"]), found.drop_columns(["price"]))


def test_a_tolerance_for_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="'cost', and there is no such column"):
        _optimized(_file(_table(10)), Wanted(tolerance={"cost": 1e-4}))


@pytest.mark.parametrize("columns", [{}, {"a": pa.array([], pa.int64())}, {"a": pa.nulls(5)}])
def test_files_without_rows_or_values_pass(columns: dict[str, Any]) -> None:
    table = pa.table(columns)

    done, found = _optimized(_file(table))

    assert done.rows == table.num_rows
    assert found.schema.equals(table.schema)


def test_row_groups_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizing, "_GROUP_BYTES", 1 << 20)
    monkeypatch.setattr(optimizing, "_BATCH_BYTES", 1 << 17)
    table = pa.table({"text": [f"{number:0200d}" for number in range(30_000)]})

    done, found = _optimized(_file(table))

    assert done.row_groups > 4
    _check_same(table, found)


def test_progress_ends_at_all() -> None:
    told: list[tuple[int, int]] = []

    optimize(_file(_table()), io.BytesIO(), Wanted(narrow=True), lambda done, rows: told.append((done, rows)))

    assert told[-1] == (90_000, 90_000)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_reads_otherwise_is_never_reported_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizing, "convert", lambda batch, _schema: batch.slice(1))
    with pytest.raises(NotTheSame, match="reads otherwise in the new file"):
        _optimized(_file(_table(100)))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"hello, this is no table at all", b"PAR1" + b"\xff" * 40 + b"PAR1"])
def test_what_is_no_parquet_file_is_named(data: bytes) -> None:
    for read in (inspect, lambda file: optimize(file, io.BytesIO(), Wanted())):
        with pytest.raises(NotParquet):
            read(io.BytesIO(data))


def test_a_file_cut_short_or_damaged_within_is_named() -> None:
    whole = _file(_table()).getvalue()
    footer = struct.unpack("<I", whole[-8:-4])[0]
    without_half = whole[: len(whole) // 3] + whole[-footer - 8 :]

    with pytest.raises(NotParquet, match="claims bytes that the file does not have"):
        _optimized(io.BytesIO(without_half))


def test_inspection_tells_encodings_codecs_and_sizes() -> None:
    file = _file(_table(5000), row_group_size=2000, compression="zstd")

    found = inspect(file)

    assert (found.rows, [rows for rows, _ in found.row_groups]) == (5000, [2000, 2000, 1000])
    assert found.size == len(file.getvalue())
    assert found.schema[0] == ("id", "int64 not null")
    column = found.columns[0]
    assert (column.path, column.physical, column.encodings, column.codecs) == (
        "id",
        "INT64",
        ("RLE_DICTIONARY",),
        ("zstd",),
    )
    assert column.values == 5000
    assert sum(each.packed for each in found.columns) == sum(size for _, size in found.row_groups)


def test_streams_are_compared_however_they_are_cut() -> None:
    table = pa.table({"a": range(10)})
    some, others = table.to_batches(max_chunksize=3), table.to_batches(max_chunksize=4)

    assert all(one.equals(other) for one, other in side_by_side(some, others))
    with pytest.raises(ValueError, match="more rows"):
        list(side_by_side(some, others[:-1]))


def test_zeros_of_either_sign_and_nan_payloads_differ() -> None:
    payload = pa.array(np.array([0x7FF8000000000001], np.uint64).view(np.float64))
    nested = [pa.array([{"v": [value]}]) for value in (0.0, -0.0)]

    assert not same_values(pa.array([0.0]), pa.array([-0.0]))
    assert not same_values(pa.array([float("nan")]), payload)
    assert same_values(payload, payload)
    assert not same_values(*nested)
    assert same_values(nested[1], nested[1])
