from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from des_platform.naming import shard_label, shard_labels, shard_of


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 8))
def test_shard_is_the_leading_bits_of_the_sha256_of_the_name(name: str, bits: int) -> None:
    leading = int(hashlib.sha256(name.encode()).hexdigest(), 16) >> (256 - bits)
    assert shard_of(name, bits) == leading


def test_shards_of_known_names() -> None:
    # sha256("abc") = ba7816bf...
    assert [shard_of("abc", bits) for bits in range(9)] == [0, 1, 2, 5, 0xB, 0x17, 0x2E, 0x5D, 0xBA]


def test_labels_are_lower_case_hex_of_fixed_width_and_at_least_one_digit() -> None:
    assert shard_label(0, 0) == "0"
    assert shard_label(1, 1) == "1"
    assert shard_label(11, 4) == "b"
    assert shard_label(11, 5) == "0b"
    assert shard_label(255, 8) == "ff"


@pytest.mark.parametrize("bits", range(9))
def test_labels_name_every_shard_once_and_sort_as_their_numbers(bits: int) -> None:
    labels = shard_labels(bits)
    assert len(set(labels)) == len(labels) == 2**bits
    assert labels == sorted(labels)
    assert labels == [shard_label(shard, bits) for shard in range(2**bits)]


@pytest.mark.parametrize("bits", [-1, 9])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="shard bits must be 0 to 8"):
        shard_of("a", bits)
    with pytest.raises(ValueError, match="shard bits must be 0 to 8"):
        shard_label(0, bits)
    with pytest.raises(ValueError, match="shard bits must be 0 to 8"):
        shard_labels(bits)


@pytest.mark.parametrize(("shard", "bits"), [(-1, 4), (16, 4), (1, 0)])
def test_a_shard_that_does_not_exist_has_no_label(shard: int, bits: int) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        shard_label(shard, bits)
