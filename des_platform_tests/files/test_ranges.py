from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from des_platform.catalog.files import index_key
from des_platform.codecs import CorruptStream
from des_platform.files.reader import FileReader
from des_platform.objectstore import PreconditionFailed, RangeNotSatisfiable
from des_platform_tests.damage import flip, noise, path_of
from des_platform_tests.platform import DATASET, LANDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.files import FileRow
    from des_platform_tests.platform import Platform

MIB = 1 << 20
CONTENTS = {
    "small.txt": b"0123456789" * 50,
    "large.txt": noise(3, 997) * 5000,  # two frames
    "kept.bin": noise(2, 5000),
}
RANGES = [(0, 0), (0, 1), (17, 100), (400, 100)]


def filled(platform: Platform, *, archive_version: int = 2) -> Platform:
    platform.dataset = DATASET.model_copy(update={"shard_bits": 0, "archive_version": archive_version})
    for name, content in CONTENTS.items():
        platform.put(name, content)
    platform.find()
    platform.take_in()
    return platform


def part(platform: Platform, row: FileRow, offset: int, length: int, threads: int = 1) -> bytes:
    reader = FileReader(platform.catalog, platform.buckets)
    return b"".join(reader.range(row, offset, length, threads=threads))


def ranges(name: str) -> Iterator[tuple[int, int]]:
    size = len(CONTENTS[name])
    yield from RANGES
    yield size, 0
    yield size - 1, 1
    yield size // 2, size // 2
    yield 0, size
    if size > 4 * MIB:
        yield 4 * MIB - 1, 2


def compressed(platform: Platform) -> FileRow:
    filled(platform).compress()
    row = platform.rows()["large.txt"]
    assert row.indexed
    return row


@pytest.mark.parametrize("version", [1, 2])
def test_any_range_comes_back_in_every_state(any_platform: Platform, version: int) -> None:
    filled(any_platform, archive_version=version)
    for stage in (lambda: None, any_platform.compress, any_platform.pack):
        stage()
        for name, row in any_platform.rows().items():
            for offset, length in ranges(name):
                assert part(any_platform, row, offset, length) == CONTENTS[name][offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 501), (501, 0), (500, 1), (3, -1)])
def test_a_range_past_the_end_is_refused_at_once(platform: Platform, offset: int, length: int) -> None:
    filled(platform)
    row = platform.rows()["small.txt"]
    with pytest.raises(RangeNotSatisfiable, match=r"small.txt .* has 500 bytes"):
        platform.reader.range(row, offset, length)


def test_a_row_from_before_packing_leads_to_the_range(platform: Platform) -> None:
    filled(platform)
    old = platform.rows()
    platform.compress()
    platform.pack()
    for name, row in old.items():
        platform.buckets.bucket(LANDING).delete(row.key)
        if name != "kept.bin":
            assert part(platform, row, 17, 100) == CONTENTS[name][17:117]


@pytest.mark.parametrize("stage", ["catalogued", "packed"])
def test_a_range_of_another_object_is_not_given(platform: Platform, stage: str) -> None:
    filled(platform)
    if stage == "packed":
        platform.compress()
        platform.pack()
    row = platform.rows()["kept.bin"]
    platform.buckets.bucket(LANDING).put(row.key, noise(9, 5000))
    with pytest.raises(PreconditionFailed):
        part(platform, row, 0, 10)


def test_frames_are_read_side_by_side_where_threads_say_so(any_platform: Platform) -> None:
    row = compressed(any_platform)
    content = CONTENTS["large.txt"]
    assert b"".join(any_platform.reader.stream(row, threads=2)) == content
    any_platform.pack()
    pieces = list(any_platform.reader.stream(any_platform.rows()["large.txt"], threads=2))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= MIB


def test_a_range_of_an_indexed_object_does_not_read_the_rest(platform: Platform) -> None:
    row = compressed(platform)
    flip(path_of(platform.buckets.own, row.object_key or ""), 1000)  # in the first frame
    assert part(platform, row, 4 * MIB, 50) == CONTENTS["large.txt"][4 * MIB :][:50]
    with pytest.raises(CorruptStream):
        part(platform, row, 0, 50)


@pytest.mark.parametrize("damage", ["gone", "bit", "another file's"])
def test_an_index_that_cannot_be_used_is_logged_and_not_needed(
    platform: Platform, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    row = compressed(platform)
    key = index_key(row.object_key or "")
    if damage == "gone":
        platform.buckets.own.delete(key)
    elif damage == "bit":
        flip(path_of(platform.buckets.own, key), 40)
    else:
        platform.put("other.txt", noise(5, 997) * 6000)
        platform.find()
        platform.take_in()
        platform.compress()
        other = index_key(platform.rows()["other.txt"].object_key or "")
        platform.buckets.own.put(key, platform.buckets.own.get(other, max_bytes=MIB))
    assert part(platform, row, 4 * MIB - 5, 10) == CONTENTS["large.txt"][4 * MIB - 5 :][:10]
    assert b"".join(platform.reader.stream(row, threads=2)) == CONTENTS["large.txt"]
    assert f"the index of {platform.buckets.own.bucket}/{row.object_key} is not used" in caplog.text


def test_an_index_that_leads_astray_is_no_wrong_bytes(platform: Platform) -> None:
    row = compressed(platform)
    platform.put("other.txt", noise(5, 997) * 5000)  # of the same length
    platform.find()
    platform.take_in()
    platform.compress()
    own = platform.buckets.own
    other = index_key(platform.rows()["other.txt"].object_key or "")
    own.put(index_key(row.object_key or ""), own.get(other, max_bytes=MIB))
    with pytest.raises(CorruptStream):
        part(platform, row, 100, 100)
