"""The index of version 1 in columns says what a dictionary of entries says, however it is laid out."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.archive import CorruptArchive, DesReader, MemorySource
from des_platform.archive.cache import InMemoryIndexCache
from des_platform.archive.v1 import parse
from des_platform_tests.archive import conftest
from des_platform_tests.archive.conftest import V1Writer, build
from des_platform_tests.bench.literal_v1 import LiteralV1Reader, LiteralV1Writer

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

SHAPES: dict[str, Callable[[int], str]] = {
    "one length": lambda i: f"file_{i:08d}",
    "growing": lambda i: f"file_{i}",
    "any length": lambda i: f"{i}{'x' * (i * 7_919 % 300)}",
    "not ASCII": lambda i: f"{i}ž{'é' * (i % 5)}",
    "long": lambda i: f"{i}{'y' * (60_000 if i % 500 == 0 else 1)}",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [300, 1_000, 70_000, 2 * 1024 * 1024])
def test_every_name_is_found_whatever_the_lengths_and_wherever_a_window_ends(
    target: Path, shape: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse, "_WINDOW_BYTES", window)
    count = 400 if window < 70_000 else 3_000
    names = [SHAPES[shape](i) for i in range(count)]
    with V1Writer(target) as archive:
        for i, name in enumerate(names):
            archive.add_file(name, str(i).encode() * (i % 3), {"i": i})
    with DesReader(target) as reader:
        assert reader.list_files() == names
        for i in range(0, count, 7):
            assert reader.get_file(names[i]) == str(i).encode() * (i % 3)
            assert reader.get_meta(names[i])["i"] == i
            assert names[i] + "?" not in reader


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bytes_are_those_of_the_literal_writer(tmp_path: Path, shape: str) -> None:
    metas: list[dict[str, object] | None] = [
        None,
        {"source": "x", "k": 1},
        {"size": 5, "z": 1.5},
        {"t": True, "n": None, "č": '"\\\x7f'},
        {"deep": {"a": [1, {"b": 2}]}, "big": 10**30},
    ]
    with LiteralV1Writer(tmp_path / "literal") as literal, V1Writer(tmp_path / "ours") as ours:
        for i in range(20_000):
            name, data, meta = SHAPES[shape](i), bytes([i % 256]) * (i % 90), metas[i % 7] if i % 7 < 5 else None
            literal.add_file(name, data, meta)
            ours.add_file(name, data, meta)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "literal").read_bytes()


def test_adding_many_gives_the_bytes_of_adding_each(tmp_path: Path) -> None:
    items = [(f"f{i}", bytes([i % 256]) * (i % 900)) for i in range(10_000)]
    mixed: list[Any] = [
        *items,
        ("with metadata", b"1", {"k": 1}),
        ("without", b"2", None),
        ("ž", bytearray(b"3")),
        ("last", memoryview(b"4")),
    ]
    with V1Writer(tmp_path / "one by one") as archive:
        for name, data, *meta in mixed:
            archive.add_file(name, data, meta[0] if meta else None)
    with V1Writer(tmp_path / "at once") as archive:
        archive.add_many(iter(mixed))
        assert archive.file_count == len(mixed)
    assert (tmp_path / "at once").read_bytes() == (tmp_path / "one by one").read_bytes()


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (("f7", b"again"), ValueError),
        (("f7500", b"again"), ValueError),
        (("a/b", b""), ValueError),
        (("..", b""), ValueError),
        (("x\ud800", b""), ValueError),
        (("é" * 40_000, b""), ValueError),
        (("x", b"", {"k": object()}), ValueError),
        (("x", "text"), TypeError),
        (("x", None), TypeError),
    ],
)
def test_of_many_those_before_the_refused_one_are_kept_and_the_archive_goes_on(
    target: Path, bad: tuple[str, bytes], error: type[Exception]
) -> None:
    good = [(f"f{i}", b"1") for i in range(8_000)]
    with V1Writer(target) as archive:
        with pytest.raises(error):
            archive.add_many([*good, bad, ("never", b"")])
        archive.add_file("last", b"2")
    with DesReader(target) as reader:
        assert reader.list_files() == [*(name for name, _ in good), "last"]


def test_an_iterable_that_fails_leaves_what_it_gave_and_the_archive_goes_on(target: Path) -> None:
    with V1Writer(target) as archive:
        with pytest.raises(ZeroDivisionError):
            archive.add_many((f"f{i}", bytes(10 // (3 - i))) for i in range(10))
        archive.add_file("last", b"")
    with DesReader(target) as reader:
        assert reader.list_files() == ["f0", "f1", "f2", "last"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), st.integers(0, 40)),
        max_size=40,
        unique_by=lambda file: file[0],
    ),
    st.randoms(use_true_random=False),
)
def test_offsets_in_any_order_are_kept_as_they_are(files: list[tuple[str, int]], chance: random.Random) -> None:
    data = bytes(range(100, 200))
    places = [(16 + chance.randrange(60), size) for _, size in files]
    laid_out = [
        (name.encode(), offset, size, b"{}", 0, 0) for (name, _), (offset, size) in zip(files, places, strict=True)
    ]
    reader = DesReader(MemorySource(build(laid_out, data=data)))
    assert [(e.name, e.offset, e.size) for e in reader.iter_entries()] == [
        (name, *place) for (name, _), place in zip(files, places, strict=True)
    ]
    for (name, _), (offset, size) in zip(files, places, strict=True):
        assert reader.get_file(name) == data[offset - 16 : offset - 16 + size]


def test_offsets_that_leave_their_order_late_are_kept_too(target: Path) -> None:
    with V1Writer(target) as archive:
        for i in range(70_000):
            archive.add_file(f"f{i:05d}", b"abc")
        archive.add_external("outside", 2**64 - 1)
        archive.add_file("after", b"xyz")
    with DesReader(target) as reader:
        assert reader.get_file("f00000") == reader.get_file("f69999") == b"abc"
        assert reader.get_file("after") == b"xyz"
        assert reader.get_entry("outside").size == 2**64 - 1
        assert reader.get_stats().external_bytes == 2**64 - 1


def test_names_that_are_utf8_only_together_are_refused() -> None:
    files = [(b"a\xc3", 16, 0, b"{}", 0, 0), (b"\xa9b", 16, 0, b"{}", 0, 0)]
    with pytest.raises(CorruptArchive, match="index entry 0 at byte .* not UTF-8"):
        DesReader(MemorySource(build(files))).list_files()


def test_a_duplicate_far_from_its_twin_is_refused(target: Path) -> None:
    names = [f"file_{i:06d}".encode() for i in range(12_000)]
    names[11_999] = names[3]
    raw = build([(name, 16, 0, b"", 0, 0) for name in names])
    with pytest.raises(CorruptArchive, match="index entry 11999 has the name of another entry: b'file_000003'"):
        DesReader(MemorySource(raw)).list_files()


def test_an_open_index_takes_a_tenth_of_the_memory_of_a_dictionary_of_entries(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_many((f"sensor-2026-01-01-obj_{i:08d}", b"x" * 64) for i in range(30_000))
    DesReader(target).list_files()  # imports what it needs

    def held(open_archive: type[DesReader | LiteralV1Reader]) -> int:
        tracemalloc.start()
        try:
            with open_archive(target) as reader:
                reader.get_file("sensor-2026-01-01-obj_00020000")
                return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert held(DesReader) < held(LiteralV1Reader) / 10


def test_a_cached_index_saves_its_read_and_a_broken_one_is_read_anew(target: Path) -> None:
    with V1Writer(target) as archive:
        archive.add_many((f"file_{i:06d}", b"1" * 10) for i in range(5_000))
    source = conftest.MemorySource(target.read_bytes())
    source.identity = "bucket/key/etag"
    cache = InMemoryIndexCache()
    assert DesReader(source, cache=cache).get_file("file_000007") == b"1" * 10
    source.reads.clear()
    assert DesReader(source, cache=cache).get_file("file_000008") == b"1" * 10
    assert source.reads == [(0, 16), (96, 10)]
    cache.set("bucket/key/etag#index", b"\xff" * (5_000 * 49))
    assert DesReader(source, cache=cache).get_file("file_000008") == b"1" * 10
