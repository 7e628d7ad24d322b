from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.parquet.encodings import Codec, Encoding, leaves_of
from des_platform.parquet.plan import ColumnPlan, WritePlan, bytes_per_row, choose_plan
from des_platform.parquet.sameness import same_values
from des_platform.parquet.writing import open_writer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROWS = 40_000
_LISTS = pa.list_(pa.field("element", pa.float64()))
_STRUCTS = pa.struct([("x", pa.int64()), ("y", pa.list_(pa.field("element", pa.string())))])


def _written(table: pa.Table, plan: WritePlan) -> bytes:
    sink = io.BytesIO()
    with open_writer(sink, table.schema, plan) as writer:
        if table.num_rows:
            writer.write_table(table)
    return sink.getvalue()


def _metadata(table: pa.Table, plan: WritePlan) -> pq.FileMetaData:
    return pq.read_metadata(io.BytesIO(_written(table, plan)))


def _check_comes_back(table: pa.Table, plan: WritePlan) -> None:
    found = pq.read_table(io.BytesIO(_written(table, plan)))
    assert found.schema.equals(table.schema)
    for name in table.column_names:
        one, other = (some[name].unify_dictionaries().combine_chunks() for some in (table, found))
        assert same_values(one, other), name


def _market(seed: int = 7, rows: int = ROWS) -> pa.Table:
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "ts": pa.array(1_700_000_000_000_000 + np.cumsum(draw.integers(1, 9000, rows)), pa.timestamp("us", "UTC")),
            "symbol": pa.array(np.array(["AAA", "BBB", "CCC"])[draw.integers(0, 3, rows)], pa.string()),
            "price": np.round(100 + np.cumsum(draw.choice([-0.01, 0, 0.01], rows)), 2),
            "signal": draw.random(rows),
            "id": pa.array([f"{number:032x}" for number in draw.integers(0, 2**63, rows)]),
        }
    )


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    whole = {pa.int8(): 8, pa.int32(): 32, pa.int64(): 64}
    if kind in whole:
        return st.integers(-(2 ** (whole[kind] - 1)), 2 ** (whole[kind] - 1) - 1)
    days = st.dates(date(1700, 1, 1), date(2200, 1, 1))
    named: dict[pa.DataType, st.SearchStrategy[Any]] = {
        pa.bool_(): st.booleans(),
        pa.uint64(): st.integers(0, 2**64 - 1),
        pa.float32(): st.floats(width=32),
        pa.float64(): st.floats() | st.just(-0.0),
        pa.string(): st.text(st.characters(codec="utf-8"), max_size=8),
        pa.binary(): st.binary(max_size=8),
        pa.binary(3): st.binary(min_size=3, max_size=3),
        pa.date32(): days,
        pa.time64("us"): st.times(),
        pa.timestamp("us", "UTC"): st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        pa.duration("us"): st.timedeltas(timedelta(-1000), timedelta(1000)),
        pa.decimal128(9, 2): st.decimals(-999, 999, places=2),
        pa.decimal128(30, 5): st.decimals(-(10**12), 10**12, places=5),
        pa.null(): st.none(),
        pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["a", "b", ""]),
        _LISTS: st.lists(st.floats(), max_size=3),
        _STRUCTS: st.fixed_dictionaries(
            {"x": st.integers(-5, 5), "y": st.lists(st.text("ab", max_size=2), max_size=2)}
        ),
        pa.map_(pa.string(), pa.int32()): st.dictionaries(st.text("ab", max_size=2), st.integers(0, 9)).map(
            lambda found: list(found.items())
        ),
    }
    return named[kind]


KINDS = (
    pa.bool_(), pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.binary(),
    pa.binary(3), pa.date32(), pa.time64("us"), pa.timestamp("us", "UTC"), pa.duration("us"), pa.decimal128(9, 2),
    pa.decimal128(30, 5), pa.null(), pa.dictionary(pa.int32(), pa.string()), _LISTS,
    _STRUCTS, pa.map_(pa.string(), pa.int32()),
)  # fmt: skip


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 12))
    columns = {}
    for number, kind in enumerate(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))):
        values = draw(st.lists(st.none() | _values(kind), min_size=rows, max_size=rows))
        columns[f"column.{number}"] = pa.array(values, kind)
    return pa.table(columns)


@settings(max_examples=25, deadline=None)
@given(_tables())
def test_any_table_comes_back_bit_for_bit_by_its_own_plan(table: pa.Table) -> None:
    _check_comes_back(table, choose_plan(table))


@settings(max_examples=25, deadline=None)
@given(_tables(), st.data())
def test_any_table_comes_back_by_any_plan_also_one_for_other_columns(table: pa.Table, data: st.DataObject) -> None:
    ways = st.builds(ColumnPlan, st.sampled_from(Encoding), st.just(Codec.ZSTD), st.sampled_from([1, 3]))
    plan = WritePlan({leaf.path: data.draw(ways) for leaf in leaves_of(table.schema)} | {"gone": data.draw(ways)})

    _check_comes_back(table, plan)


def test_nan_payloads_and_signs_of_zero_are_kept() -> None:
    bits = np.array([0x7FF8000000000001, 0xFFF0000000000123, 0x8000000000000000, 0], np.uint64)
    table = pa.table({"value": pa.array(np.tile(bits.view(np.float64), 5000))})

    found = pq.read_table(io.BytesIO(_written(table, choose_plan(table))))["value"].to_numpy()

    assert found.view(np.uint64).tolist() == np.tile(bits, 5000).tolist()


def test_columns_get_what_suits_them_and_beat_the_usual_writer() -> None:
    table = _market()

    plan = choose_plan(table)

    assert plan.columns["ts"].encoding is Encoding.DELTA_BINARY_PACKED
    assert plan.columns["symbol"].encoding is Encoding.DICTIONARY
    assert plan.columns["signal"].encoding is Encoding.BYTE_STREAM_SPLIT
    assert plan.columns["id"].encoding is not Encoding.DICTIONARY
    usual = io.BytesIO()
    pq.write_table(table, usual)
    assert len(_written(table, plan)) < 0.75 * usual.tell()


def test_the_same_rows_get_the_same_plan_and_json_keeps_it() -> None:
    plan = choose_plan(_market())

    assert plan == choose_plan(_market())
    assert WritePlan.from_json(plan.to_json()) == plan
    assert len(plan.to_json()) < 1000


def test_a_dictionary_that_many_rows_share_is_kept_beyond_a_megabyte() -> None:
    draw = np.random.default_rng(1)
    names = np.array([hashlib.sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(20_000)])
    table = pa.table({"session": pa.array(names[draw.integers(0, 20_000, 300_000)], pa.string())})

    plan = choose_plan(table)
    metadata = _metadata(table, plan)

    assert plan.columns["session"].encoding is Encoding.DICTIONARY
    assert bytes_per_row(metadata)["session"] < 6


def test_a_cold_plan_is_not_larger() -> None:
    draw = np.random.default_rng(3)
    words = [
        f"error {number % 97} in module {number % 13} at line {number % 1009}"
        for number in draw.integers(0, 10**6, ROWS)
    ]
    table = pa.table({"message": words})

    assert len(_written(table, choose_plan(table, cold=True))) < len(_written(table, choose_plan(table)))


def test_nested_columns_are_planned_leaf_by_leaf() -> None:
    draw = np.random.default_rng(5)
    kind = pa.struct([("t", pa.int64()), ("v", _LISTS)])
    rows = [{"t": 1000 + number, "v": [float(draw.random())]} for number in range(5000)]
    table = pa.table({"s": pa.array(rows, kind)})

    plan = choose_plan(table)

    assert set(plan.columns) == {"s.t", "s.v.list.element"}
    assert plan.columns["s.t"].encoding is Encoding.DELTA_BINARY_PACKED
    _check_comes_back(table, plan)


def test_decimals_are_whole_numbers_where_iceberg_has_them_so() -> None:
    table = pa.table(
        {
            "a": pa.array([Decimal("1.50")] * 9, pa.decimal128(9, 2)),
            "b": pa.array([Decimal(7)] * 9, pa.decimal128(18, 0)),
        }
    )

    physical = [leaf.physical for leaf in leaves_of(table.schema)]

    assert physical == ["INT32", "INT64"]
    _check_comes_back(table, choose_plan(table))


def test_a_table_without_rows_has_an_empty_plan_that_writes() -> None:
    table = _market(rows=0)

    plan = choose_plan(table)

    assert plan == WritePlan()
    _check_comes_back(table, plan)


def test_a_record_batch_is_planned_as_a_table_is() -> None:
    table = _market().combine_chunks()

    assert choose_plan(table.to_batches()[0]) == choose_plan(table)


def test_field_ids_nullability_and_metadata_are_kept() -> None:
    fields = [
        pa.field("id", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "7"}),
        pa.field(
            "tags",
            pa.list_(pa.field("element", pa.string(), metadata={"PARQUET:field_id": "9"})),
            metadata={"PARQUET:field_id": "8"},
        ),
    ]
    schema = pa.schema(fields, metadata={"who": "we"})
    table = pa.table([[1, 2], [["a"], None]], schema=schema)

    found = pq.read_schema(io.BytesIO(_written(table, choose_plan(table))))

    assert found.equals(schema, check_metadata=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{}", '{"version":1}', '{"version":2,"rows":1,"dictionary_limit":1,"columns":{}}',
        "[" * 100_000,
        '{"version":1,"rows":-1,"dictionary_limit":1,"columns":{}}',
        '{"version":1,"rows":1,"dictionary_limit":1,"columns":{"a":["PLAIN","zstd",99,1.0]}}',
        '{"version":1,"rows":1,"dictionary_limit":1,"columns":{"a":["PLAIN","lz5",1,1.0]}}',
        '{"version":1,"rows":1,"dictionary_limit":1,"columns":{"a":["SECRET","zstd",1,1.0]}}',
        '{"version":1,"rows":1,"dictionary_limit":1,"columns":{"a":["PLAIN","zstd",1,NaN]}}',
        '{"version":1,"rows":1,"dictionary_limit":1,"columns":{"a":["PLAIN","zstd",true,-1]}}',
    ],
)  # fmt: skip
def test_text_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this is no plan"):
        WritePlan.from_json(text)


def test_files_like_the_one_that_confirmed_the_plan_have_not_drifted() -> None:
    first = _market()
    plan = choose_plan(first)
    plan = plan.confirmed(_metadata(first, plan))

    assert not plan.has_drifted(_metadata(first, plan))
    assert not plan.has_drifted(_metadata(_market(seed=8), plan))
    assert WritePlan.from_json(plan.to_json()) == plan


def test_other_data_and_new_columns_are_drift_but_small_files_never() -> None:
    first = _market()
    plan = choose_plan(first)
    plan = plan.confirmed(_metadata(first, plan))
    random_symbols = first.set_column(1, "symbol", first["id"])
    more = first.append_column("more", pa.array(range(ROWS)))

    assert plan.has_drifted(_metadata(random_symbols, plan))
    assert plan.has_drifted(_metadata(more, plan))
    assert not plan.has_drifted(_metadata(random_symbols.slice(0, 500), plan))
    assert not plan.has_drifted(_metadata(first.slice(0, 0), plan))
    assert plan.confirmed(_metadata(first.slice(0, 500), plan)) is plan


def test_a_row_of_a_megabyte_does_not_make_the_sample_gigabytes() -> None:
    table = pa.table({"document": pa.array([b"\0" * (1 << 20)] * 100)})

    assert choose_plan(table).columns["document"].bytes_per_row is not None


def _every_encoding() -> Iterable[tuple[pa.DataType, Encoding]]:
    for kind in (pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.binary(4), pa.bool_()):
        (leaf,) = leaves_of(pa.schema([("value", kind)]))
        yield from ((kind, encoding) for encoding in leaf.encodings)


@pytest.mark.parametrize(("kind", "encoding"), list(_every_encoding()))
def test_duckdb_and_polars_read_every_encoding(kind: pa.DataType, encoding: Encoding, tmp_path: Path) -> None:
    values: list[Any] = [None if number % 5 == 0 else number % 251 for number in range(3000)]
    if kind == pa.string():
        values = [value if value is None else f"name {value}" for value in values]
    elif kind == pa.binary(4):
        values = [value if value is None else value.to_bytes(4, "big") for value in values]
    elif kind == pa.bool_():
        values = [value if value is None else value % 2 == 0 for value in values]
    table = pa.table({"value": pa.array(values, kind)})
    path = tmp_path / "file.parquet"
    path.write_bytes(_written(table, WritePlan({"value": ColumnPlan(encoding, Codec.ZSTD, 1)})))

    assert [value for (value,) in duckdb.sql(f"from '{path}'").fetchall()] == values
    assert pl.read_parquet(path)["value"].to_list() == values


def test_a_plan_is_readable_json() -> None:
    plan = WritePlan({"a": ColumnPlan(Encoding.PLAIN, Codec.NONE, 0, 1.5)}, 10)

    assert json.loads(plan.to_json())["columns"] == {"a": ["PLAIN", "none", 0, 1.5]}


def test_times_of_day_come_back() -> None:
    table = pa.table({"at": pa.array([time(1, 2, 3, 4), None] * 50, pa.time64("us"))})

    _check_comes_back(table, choose_plan(table))
