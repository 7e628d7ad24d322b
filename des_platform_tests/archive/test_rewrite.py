from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from des_platform.archive import CorruptArchive, DesReader, DesWriter, FileSink, MemorySource, UnsupportedVersion
from des_platform.archive.rewriting import Compaction, compact, convert
from des_platform.archive.v2.adoption import adopt
from des_platform.archive.verification import verify
from des_platform_tests.archive.conftest import EMPTY, GOLDEN, build, names_in
from des_platform_tests.archive.corpus import (
    ARCHIVE_ID,
    CREATED_MS,
    MemorySink,
    append,
    blocks_of,
    contents,
    documents,
    everything,
    noise,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ITEMS: dict[str, Any] = {
    "z": (b"last name first", {"k": [1, {"é": None}]}),
    "text": b"abcdefgh" * 50,
    "empty": b"",
    "noise": noise(1, 500),
}


def mixed(**options: Any) -> bytes:
    sink = MemorySink()
    with DesWriter(sink, **options) as archive:
        for name, item in ITEMS.items():
            archive.add_file(name, *item) if isinstance(item, tuple) else archive.add_file(name, item)
        archive.add_external("far", 12_345, {"codec": "none"}, external_key="elsewhere/far")
    return sink.data


def compacted(data: bytes, **options: Any) -> tuple[Compaction, bytes]:
    sink = MemorySink()
    done = compact(MemorySource(data), sink, **options)
    assert sink.committed
    assert not verify(MemorySource(sink.data)).problems
    return done, sink.data


def converted(data: bytes, format_version: Any, **options: Any) -> bytes:
    sink = MemorySink()
    count = convert(MemorySource(data), sink, format_version=format_version, **options)
    assert sink.committed
    assert count == len(DesReader(MemorySource(sink.data)))
    assert not verify(MemorySource(sink.data)).problems
    return sink.data


def test_what_is_deleted_is_gone_with_its_bytes() -> None:
    old = append(mixed(archive_id=ARCHIVE_ID, created_ms=1), {"new": b"new", "z": b"again"}, deleted=["noise", "z"])
    done, new = compacted(old)
    assert everything(new) == everything(old)
    assert noise(1, 500) not in new
    assert done == Compaction(files=5, dropped=2, bytes_before=len(old), bytes_after=len(new))
    assert len(new) < len(old) - 500
    assert [block.kind for block in blocks_of(new)] == [1]


def test_members_keep_their_order_and_their_stored_bytes() -> None:
    base = write(documents(2_000))
    old = append(base, documents(10, start=2_000), deleted=["doc/000000.json"])
    _, new = compacted(old)
    stored = [
        {
            entry.name: (entry.flags, data[entry.offset : entry.offset + entry.stored_size])
            for entry in sorted(DesReader(MemorySource(data)).iter_entries(), key=lambda entry: entry.offset)
        }
        for data in (old, new)
    ]
    assert list(stored[0].items()) == list(stored[1].items())
    assert [block.kind for block in blocks_of(new)].count(2) == 1


def test_generations_become_one_with_an_identity_of_its_own() -> None:
    old = append(append(write({"a": b"1"}), {"b": b"2"}), {"c": b"3"})
    _, new = compacted(old, archive_id=7, created_ms=8)
    found = adopt(MemorySource(new))
    assert (found.archive_id, found.created_ms, found.generation - 1, found.blocks) == (7, 8, 1, 1)
    assert compacted(old, archive_id=7, created_ms=8)[1] == new
    assert adopt(MemorySource(compacted(old)[1])).archive_id != ARCHIVE_ID


def test_user_columns_stay() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    old = append(write({"a": (b"", {"n": 1}), "b": (b"", {"n": 2})}, columns={"n": "long"}), deleted=["a"])
    _, new = compacted(old)
    assert pq.read_table(pa.BufferReader(new), columns=["name", "n"]).to_pylist() == [{"name": "b", "n": 2}]


@pytest.mark.parametrize("data", [write({}), append(write({"a": b"1"}), deleted=["a"])])
def test_nothing_is_compacted_to_nothing(data: bytes) -> None:
    done, new = compacted(data)
    assert done.files == 0
    assert contents(new) == {}


def test_progress_comes_to_the_end_and_never_goes_back() -> None:
    data = write({f"{number}": noise(number, 1_000_000) for number in range(12)})
    for run in (compact, lambda *args, **options: convert(*args, format_version=1, **options)):
        seen: list[tuple[int, int]] = []
        run(MemorySource(data), MemorySink(), progress=lambda done, of, seen=seen: seen.append((done, of)))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert {of for _, of in seen} == {len(data)}
        assert len(data) * 0.9 < seen[-1][0] <= len(data)


def _damaged(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.index(noise(1, 500)) + 7] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (mixed()[:-1], CorruptArchive),
        (_damaged(mixed()), CorruptArchive),
        (b"", CorruptArchive),
        (GOLDEN, UnsupportedVersion),
    ],
    ids=["cut", "damaged", "empty", "version 1"],
)
def test_what_cannot_be_compacted_is_refused_and_leaves_nothing(
    data: bytes, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        compact(MemorySource(data), FileSink(tmp_path / "a.des"))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "data",
    [
        GOLDEN,
        EMPTY,
        mixed(format_version=1),
        build([(b"a", 16, 2, b'{"size": 2, "b": 1.50, "c": "\\u00e9"}', 0, 0)], data=b"xy"),
    ],
    ids=["published", "empty", "mixed", "written by others"],
)
def test_version_1_comes_back_from_version_2_with_the_same_files(data: bytes) -> None:
    second = converted(data, 2)
    assert everything(second) == everything(data)
    back = converted(second, 1)
    assert everything(back) == everything(data)
    assert DesReader(MemorySource(back)).list_files() == DesReader(MemorySource(data)).list_files()


@pytest.mark.parametrize("data", [GOLDEN, EMPTY, mixed(format_version=1)])
def test_what_our_writer_wrote_comes_back_from_version_2_byte_by_byte(data: bytes) -> None:
    assert converted(converted(data, 2), 1) == data


def test_version_2_comes_back_from_version_1_byte_by_byte() -> None:
    options: dict[str, Any] = {"archive_id": ARCHIVE_ID, "created_ms": CREATED_MS}
    data = mixed(**options)
    assert converted(converted(data, 1), 2, **options) == data


def test_version_2_is_written_anew_with_other_options() -> None:
    data = write({"a": (b"abcdefgh" * 50, {"n": 1})})
    plain = converted(data, 2, compression_level=None, columns={"n": "long"})
    assert everything(plain) == everything(data)
    assert {entry.flags for entry in DesReader(MemorySource(plain)).iter_entries()} == {0}


@pytest.mark.parametrize("name", ["bad\0name", "/absolute", "a/b", "what?"])
def test_a_name_that_version_1_cannot_hold_is_told_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    data = write({"good": b"1", name: b"2"})
    with pytest.raises(ValueError, match="file name") as refused:
        convert(MemorySource(data), FileSink(tmp_path / "a.des"), format_version=1)
    assert repr(name) in str(refused.value)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("format_version", [1, 2])
@pytest.mark.parametrize("data", [mixed()[:-1], _damaged(mixed()), b"", mixed(format_version=1)[:-1]])
def test_what_cannot_be_converted_is_refused_and_leaves_nothing(
    data: bytes, format_version: Any, tmp_path: Path
) -> None:
    with pytest.raises(CorruptArchive):
        convert(MemorySource(data), FileSink(tmp_path / "a.des"), format_version=format_version)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "run",
    [
        compact,
        lambda source, sink: convert(source, sink, format_version=1),
        lambda source, sink: convert(source, sink, format_version=2),
    ],
    ids=["compact", "to 1", "to 2"],
)
def test_a_full_disk_leaves_nothing(run: Callable[[Any, Any], object]) -> None:
    data = mixed()
    whole = MemorySink()
    run(MemorySource(data), whole)
    for fail_at in range(1, whole.calls + 1):
        sink = MemorySink(fail_at=fail_at)
        with pytest.raises(OSError, match="No space left"):
            run(MemorySource(data), sink)
        assert sink.aborted
        assert not sink.committed
