from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from des_platform.archive import CorruptArchive, UnsupportedVersion
from des_platform.catalog import containers
from des_platform.codecs import CorruptStream
from des_platform.files.reader import FileReader
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed
from des_platform_tests.damage import flip, noise, path_of
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from des_platform.catalog.files import FileRow
    from des_platform.objectstore import ObjectStore
    from des_platform_tests.platform import Platform

MIB = 1 << 20
CONTENTS = {
    "empty": b"",
    "small.txt": b"a" * 500,
    "small.bin": noise(1, 300),
    "large.txt": b"abc" * 5000,
    "kept.bin": noise(2, 5000),
}


def filled(
    platform: Platform, contents: dict[str, bytes] = CONTENTS, shard_bits: int = 2, archive_version: int = 2
) -> Platform:
    platform.dataset = DATASET.model_copy(update={"shard_bits": shard_bits, "archive_version": archive_version})
    for name, content in contents.items():
        platform.put(name, content)
    platform.find()
    platform.take_in()
    return platform


def landing(platform: Platform) -> ObjectStore:
    return platform.buckets.bucket(LANDING)


def archive_of(platform: Platform, row: FileRow) -> str:
    with platform.catalog.begin() as connection:
        return containers.by_id(connection, row.container_id or 0).key


def read_all(platform: Platform, rows: dict[str, FileRow]) -> dict[str, bytes]:
    reader = FileReader(platform.catalog, platform.buckets)
    return {name: reader.read(row) for name, row in rows.items()}


def test_the_original_bytes_come_back_in_every_state(any_platform: Platform) -> None:
    filled(any_platform)
    states = {}
    for stage in (lambda: None, any_platform.compress, any_platform.pack):
        stage()
        rows = any_platform.rows()
        assert read_all(any_platform, rows) == CONTENTS
        states.update(dict.fromkeys(row.state for row in rows.values()))
    assert list(states) == ["catalogued", "ready", "packed"]


def test_only_a_file_kept_as_it_is_still_needs_its_original_once_packed(any_platform: Platform) -> None:
    filled(any_platform).run_all()
    rows = any_platform.rows()
    landing(any_platform).delete_many([row.key for row in rows.values()])
    with pytest.raises(ObjectNotFound, match="kept"):
        any_platform.reader.read(rows.pop("kept.bin"))
    assert read_all(any_platform, rows) == {name: CONTENTS[name] for name in rows}


def test_a_row_from_before_a_late_file_reads_from_the_new_archive(any_platform: Platform) -> None:
    filled(any_platform, shard_bits=0).run_all()
    old = any_platform.rows()
    read_all(any_platform, old)
    assert any_platform.reader.read(old["small.txt"]) == CONTENTS["small.txt"]  # this reader has the old archive open
    any_platform.put("late.txt", b"late")
    any_platform.run_all()

    assert not any_platform.buckets.own.exists(archive_of(any_platform, old["small.txt"]))
    assert read_all(any_platform, old) == CONTENTS
    assert {name: any_platform.reader.read(row) for name, row in old.items()} == CONTENTS


@pytest.mark.parametrize("loss", ["deleted", "replaced"])
def test_rows_from_before_packing_read_although_their_originals_are_gone(platform: Platform, loss: str) -> None:
    filled(platform)
    catalogued = platform.rows()
    platform.compress()
    ready = platform.rows()
    _lose(platform, catalogued["large.txt"], loss)
    assert platform.reader.read(catalogued["large.txt"]) == CONTENTS["large.txt"]
    platform.pack()
    _lose(platform, ready["small.txt"], loss)
    for stale in (catalogued, ready):
        assert read_all(platform, stale) == CONTENTS


def _lose(platform: Platform, row: FileRow, loss: str) -> None:
    if loss == "deleted":
        landing(platform).delete(row.key)
    else:
        landing(platform).put(row.key, b"another file")


def test_an_archive_that_was_lost_and_rebuilt_reads_through_old_rows_and_open_readers(any_platform: Platform) -> None:
    filled(any_platform, shard_bits=0).run_all()
    old = any_platform.rows()
    assert any_platform.reader.read(old["small.txt"]) == CONTENTS["small.txt"]
    key = archive_of(any_platform, old["small.txt"])
    any_platform.buckets.own.delete(key)
    any_platform.pack()

    new = any_platform.rows()
    assert archive_of(any_platform, new["small.txt"]) == key
    for rows in (old, new):
        assert {name: any_platform.reader.read(row) for name, row in rows.items()} == CONTENTS


def test_bytes_are_not_given_twice_when_the_original_goes_while_it_is_read(platform: Platform) -> None:
    content = b"".join(bytes([letter]) * MIB for letter in range(17))
    filled(platform, {"big": content})
    stale = platform.rows()["big"]
    platform.compress()
    platform.pack()
    pieces = platform.reader.stream(stale)
    given = next(pieces)
    landing(platform).delete(stale.key)
    try:
        given += b"".join(pieces)
    except ObjectNotFound:
        assert content.startswith(given)
        return
    assert given == content


@pytest.mark.parametrize(("version", "expected"), [(1, {IntegrityError, CorruptArchive}), (2, {CorruptArchive})])
def test_a_flipped_byte_anywhere_in_an_archive_never_gives_wrong_bytes(
    platform: Platform, version: int, expected: set[type[Exception]]
) -> None:
    contents = {name: CONTENTS[name] for name in ("small.txt", "small.bin", "large.txt")}
    filled(platform, contents, shard_bits=0, archive_version=version).run_all()
    rows = platform.rows()
    path = path_of(platform.buckets.own, archive_of(platform, rows["small.txt"]))
    errors = set()
    for number, position in enumerate(range(0, path.stat().st_size, 4)):
        mask = 1 << number % 8
        flip(path, position, mask)
        name = (*contents,)[number % len(contents)]
        reader = FileReader(platform.catalog, platform.buckets)
        try:
            assert reader.read(rows[name]) == contents[name]
        except (IntegrityError, CorruptArchive, UnsupportedVersion, CorruptStream, ObjectNotFound) as error:
            errors.add(type(error))
        flip(path, position, mask)
    assert expected <= errors
    assert read_all(platform, rows) == contents


@pytest.mark.parametrize("place", ["original", "compressed", "small original", "kept"])
def test_a_flipped_byte_in_an_object_never_gives_wrong_bytes(platform: Platform, place: str) -> None:
    filled(platform)
    if place in {"compressed", "kept"}:
        platform.compress()
        platform.pack()
    rows = platform.rows()
    name = {"small original": "small.txt", "kept": "kept.bin"}.get(place, "large.txt")
    row = rows[name]
    store, key = (platform.buckets.own, row.object_key or "") if place == "compressed" else (landing(platform), row.key)
    path = path_of(store, key)
    for position in range(0, path.stat().st_size, 61):
        flip(path, position)
        with pytest.raises((IntegrityError, CorruptStream)):
            platform.reader.read(row)
        flip(path, position)
    assert platform.reader.read(row) == CONTENTS[name]


@pytest.mark.parametrize("stage", ["catalogued", "ready", "packed"])
def test_a_lost_object_is_named(platform: Platform, stage: str) -> None:
    filled(platform)
    if stage != "catalogued":
        platform.compress()
    if stage == "packed":
        platform.pack()
    own = platform.buckets.own
    large, small = (platform.rows()[name] for name in ("large.txt", "small.txt"))
    places = {
        "large.txt": (own, large.object_key) if large.object_key else (landing(platform), large.key),
        "small.txt": (own, archive_of(platform, small)) if stage == "packed" else (landing(platform), small.key),
    }
    for name, (store, key) in places.items():
        store.delete(key)
        with pytest.raises(ObjectNotFound) as found:
            FileReader(platform.catalog, platform.buckets).read(platform.rows()[name])
        assert (found.value.bucket, found.value.key) == (store.bucket, key)


def test_another_file_under_the_same_key_is_not_taken_for_the_original(any_platform: Platform) -> None:
    filled(any_platform)
    landing(any_platform).put(any_platform.rows()["small.txt"].key, b"b" * 500)
    with pytest.raises(PreconditionFailed):
        any_platform.reader.read(any_platform.rows()["small.txt"])


def test_a_reader_that_keeps_few_archives_open_reads_them_all(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("des_platform.files.reader._OPEN_ARCHIVES", 1)
    contents = {f"{number}.txt": f"file {number}".encode() for number in range(12)}
    filled(platform, contents).run_all()
    rows = platform.rows()
    assert len({row.container_id for row in rows.values()}) > 1
    for _ in range(2):
        assert {name: platform.reader.read(row) for name, row in rows.items()} == contents


def test_a_large_file_streams_in_pieces(platform: Platform) -> None:
    content = noise(4, 1000) * 5000
    filled(platform, {"big": content})
    platform.compress()
    platform.pack()
    pieces = list(platform.reader.stream(platform.rows(DAY)["big"]))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= MIB
