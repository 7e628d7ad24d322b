"""Archives that are cut, changed or made to do harm: nothing but the named errors may come out."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.archive import CorruptArchive, DesReader, ExternalFile, ReadPolicy, UnsupportedVersion
from des_platform_tests.archive.conftest import EMPTY, GOLDEN, MemorySource, V1Writer, build

if TYPE_CHECKING:
    from pathlib import Path

HELLO = (b"a.txt", 16, 5, b'{"size":5}', 0, 0)


def use_everything(raw: bytes) -> None:
    reader = DesReader(MemorySource(raw))
    names = reader.list_files()
    assert len(names) == len(set(names)) == len(reader)
    reader.get_stats()
    for name in [*names, "nowhere"]:
        for method in (reader.get_entry, reader.get_meta, reader.get_file):
            with contextlib.suppress(KeyError, ExternalFile, CorruptArchive):
                method(name)
    with contextlib.suppress(ExternalFile, CorruptArchive):
        assert set(reader.get_files_batch(names)) == set(names)


def refused(raw: bytes) -> str:
    with pytest.raises((CorruptArchive, UnsupportedVersion)) as caught:
        use_everything(raw)
    return str(caught.value)


def patched(raw: bytes, offset: int, new: bytes) -> bytes:
    return raw[:offset] + new + raw[offset + len(new) :]


def test_a_wrong_header_magic_is_refused() -> None:
    assert "header magic" in refused(patched(GOLDEN, 0, b"X"))


def test_a_wrong_footer_magic_is_refused() -> None:
    assert "footer magic" in refused(patched(GOLDEN, len(GOLDEN) - 72, b"X"))


@pytest.mark.parametrize("offset", [8, len(GOLDEN) - 64])
def test_another_version_is_named(offset: int) -> None:
    with pytest.raises(UnsupportedVersion, match="DES version 7"):
        DesReader(MemorySource(patched(GOLDEN, offset, b"\x07")))


def test_reserved_bytes_are_not_read() -> None:
    raw = patched(patched(GOLDEN, 9, b"reserve"), len(GOLDEN) - 63, b"reserve")
    assert DesReader(MemorySource(raw)).get_file("a.txt") == b"hello"


@pytest.mark.parametrize("length", range(len(GOLDEN)))
def test_the_example_cut_anywhere_is_refused(length: int) -> None:
    refused(GOLDEN[:length])


def test_less_than_88_bytes_are_said_to_be_too_few() -> None:
    assert "87 bytes are too few" in refused(EMPTY[:-1])


def test_gaps_between_regions_are_allowed() -> None:
    raw = build([HELLO], data=b"hello")
    meta_end = 16 + 5 + 10
    entry = b"\x05\x00a.txt" + b"".join(n.to_bytes(8, "little") for n in (16, 5, 16 + 5 + 3, 10)) + bytes(4)
    footer = b"".join(n.to_bytes(8, "little") for n in (16, 5, 24, 10, 40, len(entry), 1))
    gapped = raw[:21] + b"gap" + raw[21:meta_end] + b"gapgap" + entry + b"gap" + b"DESFOOT1\x01" + bytes(7) + footer
    reader = DesReader(MemorySource(gapped))
    assert reader.get_file("a.txt") == b"hello"
    assert reader.get_meta("a.txt") == {"size": 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_start": 17}, "DATA starts at 17"),
        ({"data_start": 0}, "DATA starts at 0"),
        ({"data_length": 6}, "META starts at 21 and overlaps"),
        ({"data_length": 2**64 - 1}, "exceeds the file"),
        ({"meta_start": 20}, "META starts at 20 and overlaps"),
        ({"meta_start": 2**63}, "exceeds the file"),
        ({"meta_length": 11}, "INDEX starts at 31 and overlaps"),
        ({"index_start": 30}, "INDEX starts at 30 and overlaps"),
        ({"index_start": 32}, "exceeds the file"),
        ({"index_length": 44}, "exceeds the file"),
        ({"index_length": 42}, "runs past the end of the index"),
        ({"index_length": 0}, "do not fit"),
        ({"file_count": 0}, "goes on for 43 bytes after its 0 files"),
        ({"file_count": 2}, "2 files do not fit"),
        ({"file_count": 2**64 - 1}, "do not fit"),
    ],
)
def test_a_footer_that_contradicts_the_file_is_refused(change: dict[str, int], message: str) -> None:
    assert message in refused(build([HELLO], data=b"hello", footer=change))


@pytest.mark.parametrize("count", [1, 3])
def test_a_file_count_that_is_not_the_number_of_entries_is_refused(count: int) -> None:
    files = [(bytes([65 + i]) * 40, 16, 0, b"{}", 0, 0) for i in range(2)]
    refused(build(files, footer={"file_count": count}))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ((b"a", 15, 5, b"{}", 0, 0), "within DATA"),
        ((b"a", 17, 5, b"{}", 0, 0), "within DATA"),
        ((b"a", 0, 0, b"{}", 0, 0), "within DATA"),
        ((b"a", 16, 2**64 - 1, b"{}", 0, 0), "within DATA"),
        ((b"a", 2**64 - 1, 1, b"{}", 0, 0), "within DATA"),
        ((b"a", 16, 5, b"{}", 0, 1), "with flags 0x1"),
        ((b"a", 16, 5, b"{}", 1, 0), "outside META"),
        ((b"a", 16, 5, b"{}", -1, 0), "outside META"),
        ((b"", 16, 5, b"{}", 0, 0), "empty or not UTF-8"),
        ((b"\xff", 16, 5, b"{}", 0, 0), "empty or not UTF-8"),
        ((b"\xed\xa0\x80", 16, 5, b"{}", 0, 0), "empty or not UTF-8"),
    ],
)
def test_an_entry_that_points_outside_or_has_no_name_is_refused(
    entry: tuple[bytes, int, int, bytes, int, int], message: str
) -> None:
    with pytest.raises(CorruptArchive, match=message):
        DesReader(MemorySource(build([entry], data=b"hello"))).list_files()


def test_a_name_that_stands_there_twice_is_refused() -> None:
    assert "name of another entry: b'a.txt'" in refused(build([HELLO, HELLO], data=b"hello"))


def test_metadata_beyond_10_mib_is_refused_unread() -> None:
    raw = build([(b"a", 16, 0, b" " * (10 * 1024 * 1024 + 1), 0, 0)])
    source = MemorySource(raw)
    with pytest.raises(CorruptArchive, match="metadata at"):
        DesReader(source).get_meta("a")
    assert source.reads[0] == (len(raw) - 65_536, 65_536)
    assert max(length for _, length in source.reads[1:]) < 100


def test_sizes_claimed_by_an_archive_are_not_allocated() -> None:
    raws = [
        build([HELLO], data=b"hello", footer={"file_count": 2**40}),
        build([HELLO], data=b"hello", footer={"index_length": 2**40}),
        build([(b"a", 16, 2**40, b"{}", 0, 0)], data=b"hello"),
        build([(b"a", 0, 2**40, b'{"external_key":"k"}', 0, 1)], data=b"hello"),
    ]
    tracemalloc.start()
    try:
        for raw in raws:
            with contextlib.suppress(CorruptArchive):
                use_everything(raw)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_names_of_foreign_archives_that_a_writer_would_refuse_are_read() -> None:
    reader = DesReader(MemorySource(build([(b"..", 16, 2, b"{}", 0, 0), (b"a/\n", 18, 1, b"{}", 0, 0)], data=b"abc")))
    assert reader.get_files_batch(reader.list_files()) == {"..": b"ab", "a/\n": b"c"}


@pytest.fixture(scope="module")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("hostile") / "small.des"
    with V1Writer(path, external_prefix="p") as archive:
        archive.add_file("a.txt", b"hello", {"k": [1, {"x": None}]})
        archive.add_file("é", b"")
        archive.add_external("big", 1_000_000)
        archive.add_file("last", bytes(range(64)), {"size": 0})
    return path.read_bytes()


def test_every_single_byte_changed_gives_a_named_error_or_an_archive(small_archive: bytes) -> None:
    for offset in range(len(small_archive)):
        for flip in (0x01, 0x80, 0xFF):
            with contextlib.suppress(CorruptArchive, UnsupportedVersion):
                use_everything(patched(small_archive, offset, bytes([small_archive[offset] ^ flip])))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_bytes_changed_and_cut_at_random_give_a_named_error_or_an_archive(
    small_archive: bytes, data: st.DataObject
) -> None:
    raw = bytearray(small_archive)
    for _ in range(data.draw(st.integers(1, 8))):
        offset = data.draw(st.integers(0, len(raw) - 1))
        new = data.draw(st.binary(min_size=1, max_size=9))
        raw[offset : offset + data.draw(st.integers(0, len(new)))] = new
    cut = data.draw(st.integers(0, 40))
    with contextlib.suppress(CorruptArchive, UnsupportedVersion):
        use_everything(bytes(raw[: len(raw) - cut] if data.draw(st.booleans()) else raw[cut:]))


NUMBERS = st.one_of(st.integers(0, 200), st.sampled_from([2**32, 2**63, 2**64 - 1]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.binary(max_size=4), NUMBERS, NUMBERS, st.binary(max_size=6), st.integers(-3, 3), st.integers(0, 17)
        ),
        max_size=4,
    ),
    st.binary(max_size=30),
    st.dictionaries(
        st.sampled_from(["data_length", "meta_start", "meta_length", "index_start", "index_length", "file_count"]),
        NUMBERS,
        max_size=2,
    ),
)
def test_archives_laid_out_at_random_give_a_named_error_or_an_archive(
    files: list[tuple[bytes, int, int, bytes, int, int]], data: bytes, footer: dict[str, int]
) -> None:
    with contextlib.suppress(CorruptArchive, UnsupportedVersion):
        use_everything(build(files, data=data, footer=footer))


@settings(max_examples=50, deadline=None)
@given(
    files=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/\\:*?"<>|'), min_size=1).filter(
            lambda name: name not in {".", ".."}
        ),
        st.tuples(st.binary(max_size=100), st.dictionaries(st.text(), st.integers() | st.text() | st.none())),
        max_size=12,
    ),
    max_gap=st.integers(0, 50),
    max_span=st.integers(0, 120),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, tuple[bytes, dict[str, object]]],
    max_gap: int,
    max_span: int,
) -> None:
    path = tmp_path_factory.mktemp("round") / "a.des"
    with V1Writer(path) as archive:
        for name, (data, meta) in files.items():
            archive.add_file(name, data, meta)
    with DesReader(path) as reader:
        assert reader.list_files() == list(files)
        assert reader.get_files_batch(files, policy=ReadPolicy(max_gap, max_span, 2)) == {
            name: data for name, (data, _) in files.items()
        }
        for name, (data, meta) in files.items():
            assert reader.get_meta(name) == {**meta, "size": len(data)}
