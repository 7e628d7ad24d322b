from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from des_platform.parquet.rounding import largest_error, round_columns

_NUMBERS = st.lists(st.floats() | st.none(), min_size=1, max_size=30)


@given(_NUMBERS, st.floats(1e-17, 0.9))
def test_no_value_moves_further_than_declared(values: list[float | None], tolerance: float) -> None:
    batch = pa.record_batch({"x": pa.array(values, pa.float64())})

    found = round_columns(batch, {"x": tolerance})

    assert found.schema == batch.schema
    assert found["x"].is_null().equals(batch["x"].is_null())
    for before, after in zip(values, found["x"].to_pylist(), strict=True):
        if before is None or not math.isfinite(before) or abs(before) < 2.3e-308:
            assert np.float64(before or 0).tobytes() == np.float64(after or 0).tobytes()
        else:
            assert abs(before - after) <= tolerance * abs(before)
    assert largest_error(batch["x"], found["x"]) <= tolerance


@given(st.lists(st.floats(width=32), min_size=1, max_size=30), st.floats(1e-8, 0.9))
def test_single_precision_likewise(values: list[float], tolerance: float) -> None:
    batch = pa.record_batch({"x": pa.array(values, pa.float32())})

    found = round_columns(batch, {"x": tolerance})["x"]

    assert found.type == pa.float32()
    for before, after in zip(batch["x"].to_pylist(), found.to_pylist(), strict=True):
        if math.isfinite(before) and abs(before) > 1.2e-38:
            assert abs(before - after) <= tolerance * abs(before)
        else:
            assert np.float32(before).tobytes() == np.float32(after).tobytes()


def test_what_cannot_be_rounded_stays_bit_for_bit() -> None:
    bits = np.array([0x7FF8000000000001, 0xFFF0000000000123, 0x8000000000000000, 1, 0x7FEFFFFFFFFFFFFF], np.uint64)
    batch = pa.record_batch({"x": pa.array(bits.view(np.float64))})

    found = round_columns(batch, {"x": 1e-3})["x"].to_numpy()

    assert found.view(np.uint64).tolist() == bits.tolist()


def test_a_slice_is_rounded_and_other_columns_are_left() -> None:
    batch = pa.record_batch({"x": [1 / 3, None, 2 / 3, math.pi], "y": [math.e] * 4}).slice(2)

    found = round_columns(batch, {"x": 1e-3})

    assert found["x"].to_pylist() == pytest.approx([2 / 3, math.pi], rel=1e-3)
    assert found["x"][1].as_py() != math.pi
    assert found["y"].equals(batch["y"])


@pytest.mark.parametrize(
    ("tolerance", "said"),
    [
        ({"gone": 1e-3}, "'gone', and there is no such column"),
        ({"count": 1e-3}, "'count', which is int64"),
        ({"x": 0.0}, "'x' cannot have the tolerance 0.0"),
        ({"x": math.nan}, "'x' cannot have the tolerance nan"),
        ({"x": 1.5}, "between 0 and 1"),
    ],
)
def test_a_tolerance_that_suits_no_column_is_refused(tolerance: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        round_columns(pa.record_batch({"x": [1.0], "count": [1]}), tolerance)
