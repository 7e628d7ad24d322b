from __future__ import annotations

import io
import json
import shutil
import subprocess
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from des_platform import archive
from des_platform.catalog import dead_letters, files
from des_platform.catalog.files import index_key
from des_platform.codecs import Choice, FrameIndex, get_codec
from des_platform.compression import copying
from des_platform.compression.verify import prove_objects
from des_platform.objectstore import ObjectStore, StoreUnavailable
from des_platform_tests.damage import flip, noise, path_of, remove_bucket
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from des_platform.catalog.files import FileRow
    from des_platform.objectstore import PutResult
    from des_platform_tests.platform import Platform

MIB = 1 << 20
TOOLS = {"zstd": ["zstd", "-d"], "xz": ["xz", "-d"], "bz2": ["bzip2", "-d"]}
LARGE = b"".join(b"%d,%d,some text\n" % (number, number * number) for number in range(3000))
CONTENTS = {
    "empty": b"",
    "small.txt": b"a" * 1000,
    "large.txt": LARGE,
    "other.txt": LARGE[::-1],
    "kept.bin": noise(2, 5000),
}
OBJECTS = {"large.txt", "other.txt"}


def taken_in(platform: Platform, contents: dict[str, bytes] = CONTENTS) -> Platform:
    for name, content in contents.items():
        platform.put(name, content)
    platform.find()
    platform.take_in()
    return platform


def objects(platform: Platform) -> dict[str, tuple[int, str]]:
    """Size and etag of every object that compression wrote, by key."""
    return {info.key: (info.size, info.etag) for info in platform.buckets.own.list("archives/")}


def states(platform: Platform) -> dict[str, str]:
    return {name: row.state for name, row in platform.rows().items()}


def test_large_files_become_objects_and_the_others_do_not(any_platform: Platform) -> None:
    report = taken_in(any_platform).compress()

    rows = any_platform.rows()
    assert states(any_platform) == dict.fromkeys(CONTENTS, "ready")
    keys = {name: f"archives/things/2026-03-01/_bigFiles/{rows[name].name}" for name in OBJECTS}
    assert {name: row.object_key for name, row in rows.items() if row.object_key} == keys
    assert {key: size for key, (size, _) in objects(any_platform).items()} == {
        keys[name]: rows[name].stored_size for name in OBJECTS
    }
    assert (report.codecs, report.small, report.failed) == ({"zstd": 2, "store": 1}, 2, 0)
    assert report.bytes_in == 2 * len(LARGE) + 5000
    assert report.bytes_out == sum(rows[name].stored_size or 0 for name in OBJECTS) + 5000
    assert report.bytes_out < report.bytes_in / 2


def test_a_file_that_does_not_shrink_is_kept_as_it_is_and_leaves_no_object(platform: Platform) -> None:
    taken_in(platform, {"kept.bin": CONTENTS["kept.bin"]}).compress()
    row = platform.rows()["kept.bin"]
    assert (row.state, row.codec, row.object_key, row.stored_size) == ("ready", "store", None, 5000)
    assert not objects(platform)


def test_a_file_whose_sample_promised_too_much_is_kept_and_leaves_no_object(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = noise(5, 100_000)
    promised = Choice(get_codec("bz2"), "promising", 2.0)
    monkeypatch.setattr(copying, "choose", lambda *_, **__: promised)
    taken_in(platform, {"kept.bin": content}).compress()
    row = platform.rows()["kept.bin"]
    assert (row.codec, row.object_key, row.stored_size) == ("store", None, len(content))
    assert not objects(platform)
    assert platform.reader.read(row) == content


def test_records_become_a_table_that_gives_the_file_back(any_platform: Platform) -> None:
    any_platform.dataset = DATASET.model_copy(update={"profile": "archive"})
    lines = [{"id": number, "symbol": "ABC"[number % 3], "price": number * 7 % 1000 / 100} for number in range(40_000)]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    taken_in(any_platform, {"ticks.jsonl": content}).compress()
    row = any_platform.rows()["ticks.jsonl"]
    assert (row.codec, any_platform.reader.read(row)) == ("records", content)
    stored = any_platform.buckets.own.get(row.object_key or "", max_bytes=MIB)
    table = pq.read_table(io.BytesIO(stored))
    assert table.num_rows == len(lines)


def test_what_only_begins_with_records_goes_through_an_ordinary_codec(platform: Platform) -> None:
    platform.dataset = DATASET.model_copy(update={"profile": "archive"})
    content = b'{"a": 1}\n{"a": 2}\n' * 5000 + Path(archive.__file__).with_name("FORMAT.md").read_bytes()
    taken_in(platform, {"mixed.bin": content}).compress()
    row = platform.rows()["mixed.bin"]
    assert row.codec in TOOLS
    assert row.stored_size is not None
    assert row.stored_size < len(content)
    with platform.catalog.begin() as connection:
        [(_, _, _, _, reason)] = files.codec_choices(connection, platform.dataset.name, DAY)
    assert "records does not suit" in reason
    assert platform.reader.read(row) == content


def test_an_object_of_several_frames_has_its_index_beside_it(any_platform: Platform) -> None:
    content = LARGE * 150
    taken_in(any_platform, {"large.txt": content, "other.txt": LARGE}).compress()
    rows = any_platform.rows()
    assert (rows["large.txt"].indexed, rows["other.txt"].indexed) == (True, False)
    key = rows["large.txt"].object_key or ""
    index = FrameIndex.from_bytes(any_platform.buckets.own.get(index_key(key), max_bytes=MIB))
    assert len(index.frames) > 1
    start = len(content) - 5000
    assert b"".join(any_platform.reader.range(rows["large.txt"], start, 3000)) == content[start : start + 3000]


def test_what_a_copy_took_is_catalogued(platform: Platform) -> None:
    taken_in(platform).compress()
    rows = platform.rows()
    copied, kept = rows["large.txt"], rows["kept.bin"]
    assert copied.codec_level
    assert copied.compress_seconds is not None
    assert copied.compress_cpu_seconds is not None
    assert copied.prove_seconds is not None
    assert 0 < copied.compress_cpu_seconds <= copied.compress_seconds
    assert copied.prove_seconds > 0
    assert (kept.compress_seconds, kept.compress_cpu_seconds) == (0, 0)


@pytest.mark.parametrize("profile", ["hot", "warm", "cold", "compatible"])
def test_an_ordinary_tool_opens_the_object(platform: Platform, profile: str) -> None:
    platform.dataset = DATASET.model_copy(update={"profile": profile})
    words = b" ".join((b"alpha", b"beta", b"gamma", b"delta")[byte % 4] for byte in noise(6, 20_000))
    taken_in(platform, {"large.txt": LARGE, "words.txt": words}).compress()
    for name, content in (("large.txt", LARGE), ("words.txt", words)):
        row = platform.rows()[name]
        assert row.codec in {"hot": {"zstd"}, "warm": {"zstd"}, "compatible": {"xz", "bz2"}}.get(profile, TOOLS)
        tool = TOOLS[row.codec]
        if shutil.which(tool[0]) is None:
            pytest.skip(f"{tool[0]} is not installed")
        stored = platform.buckets.own.get(row.object_key or "", max_bytes=MIB)
        assert subprocess.run(tool, input=stored, capture_output=True, check=True).stdout == content


def test_running_again_changes_nothing(any_platform: Platform) -> None:
    taken_in(any_platform).compress()
    rows, found = any_platform.rows(), objects(any_platform)
    again = any_platform.compress()
    assert (again.codecs, again.small, again.failed) == ({}, 0, 0)
    assert any_platform.rows() == rows
    assert objects(any_platform) == found


def test_a_late_file_is_compressed_and_the_others_are_left_alone(platform: Platform) -> None:
    taken_in(platform).compress()
    found = objects(platform)
    report = taken_in(platform, {"late.txt": LARGE}).compress()
    assert report.codecs == {"zstd": 1}
    assert found.items() < objects(platform).items()


def test_more_large_files_than_threads_are_all_compressed(platform: Platform) -> None:
    taken_in(platform, {f"{number}.txt": LARGE for number in range(11)}).compress()
    assert set(states(platform).values()) == {"ready"}
    assert len(objects(platform)) == 11


def test_an_object_that_does_not_give_the_original_back_is_not_catalogued(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = taken_in(platform).rows()["large.txt"]
    put = ObjectStore.put

    def put_wrong(self: ObjectStore, key: str, data: bytes | Iterable[bytes], **options: Any) -> PutResult:
        if key.endswith(victim.name):
            written = bytearray(b"".join([data] if isinstance(data, bytes) else data))
            written[len(written) // 2] ^= 1
            data = bytes(written)
        return put(self, key, data, **options)

    monkeypatch.setattr(ObjectStore, "put", put_wrong)
    for attempt in (1, 2, 3):
        assert platform.compress().failed == 1
        row = platform.rows()["large.txt"]
        assert (row.attempts, row.object_key, row.codec) == (attempt, None, None)
        assert row.state == ("failed" if attempt == 3 else "catalogued")
        assert {state for name, state in states(platform).items() if name != "large.txt"} == {"ready"}
    assert platform.compress().failed == 0
    with platform.catalog.begin() as connection:
        [letter] = dead_letters.newest(connection)
    assert (letter.stage, letter.subject, letter.dataset) == ("compressed_objects", victim.subject, "things")


def test_a_file_that_fails_once_is_compressed_by_the_next_run(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in(platform)

    def nothing(*_: object, **__: object) -> Iterable[bytes]:
        return iter([b"something else"])

    with monkeypatch.context() as patched:
        patched.setattr(platform.reader, "object_content", nothing)
        assert platform.compress().failed == 2
    assert platform.compress().failed == 0
    assert states(platform) == dict.fromkeys(CONTENTS, "ready")
    assert platform.rows()["large.txt"].last_error is None
    assert platform.reader.read(platform.rows()["large.txt"]) == LARGE


@pytest.mark.parametrize("change", ["vanished", "replaced"])
def test_an_original_that_went_after_it_was_catalogued_is_counted(any_platform: Platform, change: str) -> None:
    victim = taken_in(any_platform).rows()["large.txt"]
    landing = any_platform.buckets.bucket(LANDING)
    if change == "vanished":
        landing.delete(victim.key)
    else:
        landing.put(victim.key, LARGE[1:] + b"!")
    report = any_platform.compress()
    assert (report.failed, report.codecs.total()) == (1, 2)
    row = any_platform.rows()["large.txt"]
    assert (row.state, row.attempts) == ("catalogued", 1)
    assert "vanished or replaced" in (row.last_error or "")
    assert len(objects(any_platform)) == 1


@pytest.mark.parametrize("name", ["large.txt", "kept.bin"])
def test_an_original_whose_bytes_changed_in_place_is_not_compressed(platform: Platform, name: str) -> None:
    victim = taken_in(platform).rows()[name]
    flip(path_of(platform.buckets.bucket(LANDING), victim.key), victim.size // 2)
    assert platform.compress().failed == 1
    assert states(platform)[name] == "catalogued"
    assert "SHA-256" in (platform.rows()[name].last_error or "")
    assert not any(key.endswith(victim.name) for key in objects(platform))


@pytest.mark.parametrize("bucket", ["landing", "des"])
def test_a_bucket_that_is_gone_stops_the_run_and_no_file_is_blamed(s3_platform: Platform, bucket: str) -> None:
    taken_in(s3_platform)
    remove_bucket(s3_platform.settings.s3_endpoint, bucket)
    with pytest.raises(StoreUnavailable):
        s3_platform.compress()
    rows = s3_platform.rows().values()
    assert {(row.state, row.attempts) for row in rows} == {("catalogued", 0)}


def test_a_platform_bucket_that_refuses_writes_stops_the_run_and_no_file_is_blamed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in(platform)

    def refuse(*_: object, **__: object) -> PutResult:
        raise StoreUnavailable("403 Forbidden: AccessDenied")

    monkeypatch.setattr(ObjectStore, "put", refuse)
    with pytest.raises(StoreUnavailable, match="AccessDenied"):
        platform.compress()
    assert {row.attempts for row in platform.rows().values()} == {0}


def test_one_original_that_the_store_refuses_stops_no_other(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = taken_in(platform).rows()["large.txt"]
    original = platform.reader.original

    def refuse(file: FileRow) -> Iterator[bytes]:
        if file.name == victim.name:
            raise StoreUnavailable("403 Forbidden: InvalidObjectState")
        return original(file)

    monkeypatch.setattr(platform.reader, "original", refuse)
    assert platform.compress().failed == 1
    assert "InvalidObjectState" in (platform.rows()["large.txt"].last_error or "")
    assert {state for name, state in states(platform).items() if name != "large.txt"} == {"ready"}


def test_memory_stays_far_below_the_size_of_a_file(platform: Platform) -> None:
    size = 96 * MIB
    piece = noise(7, MIB // 16) * 16
    key = f"{platform.dataset.prefix}{DAY}/huge"
    platform.buckets.bucket(LANDING).put(key, (piece for _ in range(96)))
    platform.find()
    platform.take_in()
    tracemalloc.start()
    try:
        platform.compress()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    row = platform.rows()["huge"]
    assert (row.state, row.size) == ("ready", size)
    assert row.object_key is not None
    assert peak < size * 3 // 4


def test_the_proof_on_demand_finds_what_is_damaged_and_what_is_lost(platform: Platform) -> None:
    rows = taken_in(platform, CONTENTS | {"third.txt": LARGE * 2}).compress() and platform.rows()
    name = platform.dataset.name
    sound = prove_objects(platform.catalog, platform.reader, name, DAY, threads=2)
    assert (sound.objects, sound.bytes, sound.problems) == (3, 4 * len(LARGE), [])

    own = platform.buckets.own
    damaged, lost = rows["large.txt"], rows["other.txt"]
    content = bytearray(own.get(damaged.object_key or "", max_bytes=MIB))
    content[len(content) // 2] ^= 1
    own.put(damaged.object_key or "", bytes(content))
    own.delete(lost.object_key or "")
    proof = prove_objects(platform.catalog, platform.reader, name, DAY, threads=2)
    assert (proof.objects, proof.bytes) == (1, 2 * len(LARGE))
    found = sorted(problem.split(": ")[0] for problem in proof.problems)
    assert found == sorted([damaged.subject, lost.subject])
