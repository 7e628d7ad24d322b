from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from des_platform.archive import BYTES, LATENCY, LOCAL, REQUESTS, ReadPolicy
from des_platform.archive.batch import read_ranges

DATA = bytes(range(256)) * 8


class Reads:
    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []

    def __call__(self, offset: int, length: int) -> bytes:
        assert length > 0
        self.made.append((offset, length))
        return DATA[offset : offset + length]


@given(
    st.lists(st.tuples(st.integers(0, 1_900), st.integers(0, 100))),
    st.integers(0, 300),
    st.integers(0, 500),
    st.integers(1, 4),
)
def test_every_range_gets_its_bytes_in_the_order_asked_for(
    ranges: list[tuple[int, int]], max_gap: int, max_span: int, concurrency: int
) -> None:
    reads = Reads()
    found = read_ranges(reads, ranges, ReadPolicy(max_gap, max_span, concurrency))
    assert found == [DATA[offset : offset + length] for offset, length in ranges]
    longest = max((length for _, length in ranges), default=0)
    assert all(length <= max(max_span, longest) for _, length in reads.made)
    wanted = {byte for offset, length in ranges for byte in range(offset, offset + length)}
    if max_gap == 0 and concurrency == 1:
        assert sum(length for _, length in reads.made) <= sum(length for _, length in ranges)
        assert wanted == {byte for offset, length in reads.made for byte in range(offset, offset + length)}


@pytest.mark.parametrize("policy", [LATENCY, BYTES, REQUESTS, LOCAL])
def test_neighbours_are_read_at_once_and_nothing_is_read_for_nothing(policy: ReadPolicy) -> None:
    reads = Reads()
    read_ranges(reads, [(100, 50), (0, 100), (150, 0)], policy)
    assert reads.made == [(0, 150)]


def test_presets_differ_in_what_they_read_for_nothing() -> None:
    assert BYTES.max_gap < LOCAL.max_gap < LATENCY.max_gap < REQUESTS.max_gap
    assert max(policy.max_span for policy in (BYTES, LOCAL, LATENCY, REQUESTS)) <= 16 * 1024 * 1024


def test_several_spans_are_read_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=30)

    def read(offset: int, length: int) -> bytes:
        together.wait()
        return DATA[offset : offset + length]

    ranges = [(offset, 10) for offset in range(0, 400, 100)]
    assert read_ranges(read, ranges, ReadPolicy(0, 100, 4)) == [DATA[o : o + 10] for o, _ in ranges]


def test_one_at_a_time_means_the_callers_own_thread() -> None:
    threads = set()

    def read(offset: int, length: int) -> bytes:
        threads.add(threading.get_ident())
        return DATA[offset : offset + length]

    read_ranges(read, [(0, 1), (500, 1), (1_000, 1)], ReadPolicy(0, 10, 1))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_read_that_fails_fails_the_batch(concurrency: int) -> None:
    def read(offset: int, length: int) -> bytes:
        raise ConnectionResetError(f"{offset} {length}")

    with pytest.raises(ConnectionResetError):
        read_ranges(read, [(0, 1), (500, 1)], ReadPolicy(0, 10, concurrency))


def test_a_policy_of_no_reads_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        ReadPolicy(0, 0, 0)
