from __future__ import annotations

import itertools
import random

import pytest

from des_platform.codecs import Profile, choose, compress_bytes, get_codec, sample_ranges
from des_platform.codecs.choice import CANDIDATES
from des_platform.codecs.costs import COSTS

KIB = 1024
JSON = b"".join(
    b'{"id": %d, "sensor": "north-%d", "value": %d.25, "state": "ok"}\n' % (i, i % 7, i * i % 1000) for i in range(3000)
)
_RANDOM = random.Random(7)  # noqa: S311  # only has to be incompressible and the same every time
NOISE = _RANDOM.randbytes(192 * KIB)
WORDS = [_RANDOM.randbytes(_RANDOM.randint(2, 9)).hex().encode() for _ in range(800)]
PROSE = b" ".join(_RANDOM.choices(WORDS, k=20_000))
PROFILES = list(Profile)


@pytest.mark.parametrize(
    ("size", "length"), [(1_000_000, 64 * KIB), (4_000_000, 192 * KIB), (8 << 20, 512 * KIB), (1 << 40, 512 * KIB)]
)
def test_a_file_is_sampled_at_its_start_middle_and_end(size: int, length: int) -> None:
    assert sample_ranges(size) == [(0, length), ((size - length) // 2, length), (size - length, length)]


def test_a_short_file_is_its_own_sample() -> None:
    assert sample_ranges(192 * KIB) == [(0, 192 * KIB)]
    assert sample_ranges(1) == [(0, 1)]
    assert sample_ranges(0) == []


def test_samples_stay_inside_the_file_and_apart() -> None:
    for size in (192 * KIB + 1, 200_000, 256 * KIB, 1 << 40):
        ranges = sample_ranges(size)
        assert ranges[-1][0] + ranges[-1][1] == size
        assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(ranges))


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        sample_ranges(-1)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("samples", [[NOISE], [], [b""], [b"abc"]], ids=["noise", "none", "empty", "tiny"])
def test_what_does_not_shrink_is_stored_and_says_so(samples: list[bytes], profile: Profile) -> None:
    choice = choose(samples, profile)
    assert choice.codec == get_codec("store")
    assert choice.estimated_ratio == 1.0
    assert choice.reason.startswith("store: ")
    assert f"(profile {profile})" in choice.reason


@pytest.mark.parametrize(
    ("profile", "allowed"),
    [
        (Profile.HOT, {("zstd", 1), ("zstd", 3)}),
        (Profile.WARM, {("zstd", 3), ("zstd", 6), ("zstd", 9), ("zstd", 10)}),
        (Profile.COLD, {("xz", 6), ("bz2", 9), ("zstd", 19)}),
        (Profile.COMPATIBLE, {("xz", 6), ("bz2", 9), ("gzip", 6)}),
        (Profile.ARCHIVE, {("records", 1), ("xz", 6), ("bz2", 9), ("zstd", 19)}),
    ],
)
@pytest.mark.parametrize("sample", [JSON, PROSE], ids=["json", "prose"])
def test_a_profile_chooses_among_its_own_codecs(profile: Profile, allowed: set[tuple[str, int]], sample: bytes) -> None:
    choice = choose([sample], profile)
    assert (choice.codec.name, choice.codec.level) in allowed
    assert choice.reason.startswith(choice.codec.name)
    assert choice.reason.endswith(f"(profile {profile})")


@pytest.mark.parametrize("profile", [Profile.HOT, Profile.WARM, Profile.COLD, Profile.COMPATIBLE])
def test_no_codec_of_the_profile_is_smaller_by_more_than_three_hundredths(profile: Profile) -> None:
    for sample in (JSON, PROSE):
        sizes = {
            codec: len(compress_bytes(get_codec(codec[0]).at_level(codec[1]), sample)) for codec in CANDIDATES[profile]
        }
        choice = choose([sample], profile)
        chosen = sizes[choice.codec.name, choice.codec.level]
        assert chosen <= 1.03 * min(sizes.values())
        within = 0.3 if profile is Profile.WARM else 1e-6  # which tries a part of a small file
        assert choice.estimated_ratio == pytest.approx(len(sample) / chosen, rel=within)


def test_an_archive_takes_records_where_there_are_some() -> None:
    assert choose([JSON], Profile.ARCHIVE).codec.name == "records"
    assert choose([PROSE], Profile.ARCHIVE).codec == choose([PROSE], Profile.COLD).codec


def test_a_large_file_gains_from_what_its_sample_is_too_short_to_show() -> None:
    slices = [PROSE[start : start + 64 * KIB] for start in (0, 64 * KIB, 128 * KIB)]
    small, large = (choose(slices, Profile.COLD, size=size).estimated_ratio for size in (192 * KIB, 64 << 20))
    assert large > small
    assert choose(slices, Profile.COLD).estimated_ratio == small


def test_what_compresses_later_in_long_slices_is_not_missed() -> None:
    slices = [NOISE[:KIB] + bytes(127 * KIB)] * 3
    assert choose(slices, Profile.WARM, size=10 << 20).codec.name == "zstd"


def test_a_cold_profile_takes_the_codec_that_is_smallest_by_far() -> None:
    blocks = [_RANDOM.randbytes(40 * KIB) + b"plain text " * 200 for _ in range(2)]
    repeats_far_apart = b"".join(blocks * 2)
    assert choose([repeats_far_apart], Profile.COMPATIBLE).codec.name == "xz"
    shuffled_words = choose([PROSE], Profile.COMPATIBLE)
    assert shuffled_words.codec.name == "bz2"
    assert "xz-6 0." in shuffled_words.reason


def test_a_small_saving_is_worth_cold_time_but_not_hot_time() -> None:
    barely = NOISE[: 93 * KIB] + bytes(5 * KIB)
    assert choose([barely], Profile.HOT).codec.name == "store"
    assert choose([barely], Profile.COLD).codec.name != "store"


def test_the_reason_compares_the_candidates() -> None:
    reason = choose([JSON], Profile.COLD).reason
    assert "of the file by its sample" in reason
    assert all(name in reason for name in ("xz-6", "bz2-9"))
    assert reason.endswith("(profile cold)")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_sample_always_gives_the_same_choice(profile: Profile) -> None:
    assert choose([JSON[:70_000], JSON[70_000:]], profile) == choose([JSON[:70_000], bytearray(JSON)[70_000:]], profile)


def test_every_candidate_has_its_costs() -> None:
    assert {candidate for candidates in CANDIDATES.values() for candidate in candidates} <= COSTS.keys()
