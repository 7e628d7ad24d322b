from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.archive.name_set import NameSet

U64 = 2**64 - 1
HASHES = st.one_of(st.integers(0, U64), st.integers(0, 40), st.integers(U64 - 40, U64))


@given(st.lists(st.one_of(HASHES, st.lists(HASHES, max_size=300)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_it_knows_what_a_set_knows_one_by_one_and_in_batches(steps: list[int | list[int]]) -> None:
    names, known = NameSet(), set[int]()
    for step in steps:
        # 0 marks a free place: as a hash it counts as 1.
        hashes = [value or 1 for value in (step if isinstance(step, list) else [step])]
        fits = len(set(hashes)) == len(hashes) and known.isdisjoint(hashes)
        added = names.add_all(np.array(step, np.uint64)) if isinstance(step, list) else names.add(step)
        assert added == fits
        if fits:
            known.update(hashes)
    for value in known:
        assert not names.add(value)


@pytest.mark.parametrize("high", [0, 0xFFFFFFFF])
def test_hashes_that_begin_alike_are_told_apart(high: int) -> None:
    alike = [high << 32 | low for low in range(2, 1_002)]
    names = NameSet()
    assert names.add_all(np.array(alike[::2], np.uint64))
    assert all(names.add(value) for value in alike[1::2])
    assert not any(names.add(value) for value in alike)
    assert not names.add_all(np.array([7 << 60, alike[17]], np.uint64))
    assert names.add(7 << 60)


def test_it_grows_to_a_million_and_forgets_none() -> None:
    hashes = np.random.default_rng(1).integers(2, 2**64, 1_000_000, np.uint64, endpoint=False)
    hashes = np.unique(hashes)
    np.random.default_rng(2).shuffle(hashes)
    names = NameSet()
    for start in range(0, len(hashes), 77_777):
        assert names.add_all(hashes[start : start + 77_777])
    for start in range(0, len(hashes), 100_003):
        assert not names.add_all(hashes[start : start + 1])
        assert not names.add(int(hashes[start]))


def test_nothing_is_added_of_a_batch_with_one_that_is_there() -> None:
    names = NameSet()
    assert names.add(5)
    assert not names.add_all(np.array([6, 7, 5, 8], np.uint64))
    assert not names.add_all(np.array([9, 9], np.uint64))
    assert names.add_all(np.array([6, 7, 8, 9], np.uint64))
    assert names.add_all(np.array([], np.uint64))
