from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from xxhash import xxh3_64_intdigest

from des_platform.archive import CorruptArchive, DesReader, DesWriter, MemorySource, UnsupportedVersion
from des_platform.archive.v1.layout import parse_footer
from des_platform.archive.v2 import block_writer, builder, rows, runs, tail_writer
from des_platform_tests.archive.conftest import names_in
from des_platform_tests.archive.corpus import (
    ARCHIVE_ID,
    CREATED_MS,
    MemorySink,
    blocks_of,
    contents,
    documents,
    everything,
    is_whole,
    noise,
    seeded,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MANY = documents(9_000) | {f"noise/{number}": noise(number, 9_000 + number) for number in range(500)}
ODD_NAMES = [
    "/",
    "..",
    "../../etc/passwd",
    "a/b/",
    " ",
    "\0",
    "new\nline",
    "\x7f\x1b[31m",
    "C:\\con",
    "é",
    "e\u0301",
    "😀/🚀",
    "x" * 65_535,
    "é" * 32_767,
]


def writer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("des-archive")]


def test_the_same_calls_give_the_same_bytes() -> None:
    def built() -> bytes:
        sink = MemorySink()
        with DesWriter(sink, archive_id=7, created_ms=8, columns={"n": "long"}) as archive:
            archive.add_file("b", b"payload" * 20, {"n": 1, "k": [None, "č"]})
            archive.add_external("a", 5, {"z": 1}, external_key="k")
            archive.add_many(documents(2_000).items())
        return sink.data

    assert built() == built()


@pytest.fixture(scope="module")
def one_by_one() -> bytes:
    return write(MANY)


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_neither_threads_nor_how_files_are_handed_over_change_a_byte(one_by_one: bytes, threads: int) -> None:
    choose = seeded(threads)
    items = list(MANY.items())
    sink = MemorySink()
    with DesWriter(sink, archive_id=ARCHIVE_ID, created_ms=CREATED_MS, threads=threads) as archive:
        at = 0
        while at < len(items):
            step = choose.choice([1, 2, 100, 5_000])
            if step == 1:
                archive.add_file(*items[at])
            else:
                archive.add_many(items[at : at + step])
            at += step
    assert len(blocks_of(sink.data)) > 2
    assert sink.data == one_by_one


def test_metadata_make_no_difference_to_where_blocks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "BLOCK_BYTES", 10_000)
    items = [
        (name, data, {"n": number % 3} if number % 7 else None) for number, (name, data) in enumerate(MANY.items())
    ]
    one = write((name, (data, meta)) for name, data, meta in items)
    sink = MemorySink()
    with DesWriter(sink, archive_id=ARCHIVE_ID, created_ms=CREATED_MS) as archive:
        archive.add_many(items)
    assert sink.data == one


def test_any_name_that_a_key_can_have_is_read_back() -> None:
    data = write({name: name.encode()[:50] for name in ODD_NAMES})
    assert contents(data) == {name: name.encode()[:50] for name in ODD_NAMES}
    assert is_whole(data)


@pytest.mark.parametrize("name", ["", "\ud800", "a\udfff", "x" * 65_536, "é" * 32_768, None, 7, b"bytes"])
@pytest.mark.parametrize("many", [False, True])
def test_a_name_that_no_key_can_have_is_refused_and_the_archive_goes_on(name: Any, many: bool) -> None:
    sink = MemorySink()
    with DesWriter(sink) as archive:
        archive.add_file("before", b"1")
        with pytest.raises((TypeError, ValueError)):
            archive.add_many([("with it", b"2"), (name, b"3")]) if many else archive.add_file(name, b"3")
        archive.add_file("after", b"4")
    expected = {"before": b"1", "after": b"4"} | ({"with it": b"2"} if many else {})
    assert contents(sink.data) == expected


@pytest.mark.parametrize("block_bytes", [1, 4 * 1024 * 1024])
@pytest.mark.parametrize("many", [False, True])
def test_a_name_that_is_there_is_refused_at_once_and_the_archive_goes_on(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int, many: bool
) -> None:
    monkeypatch.setattr(builder, "BLOCK_BYTES", block_bytes)
    sink = MemorySink()
    with DesWriter(sink) as archive:
        archive.add_file("a", b"first")
        archive.add_file("b", b"")
        with pytest.raises(ValueError, match="'a' is already in the archive"):
            archive.add_many([("c", b"c"), ("a", b"second"), ("d", b"d")]) if many else archive.add_file("a", b"second")
        with pytest.raises(ValueError, match="'b' is already in the archive"):
            archive.add_external("b", 1, external_key="k")
        with pytest.raises(ValueError, match="'e' is already in the archive"):
            archive.add_many([("e", b"1"), ("e", b"2")])
    assert contents(sink.data) == {"a": b"first", "b": b"", "e": b"1"} | ({"c": b"c"} if many else {})


def _weak_for(seeds: int, bits: int) -> Callable[[bytes, int], int]:
    """A hash that is bad with the first seeds that an archive tries."""
    tried: list[int] = []

    def weak(name: bytes, seed: int) -> int:
        if seed not in tried:
            tried.append(seed)
        found = xxh3_64_intdigest(name, seed)
        return found & ((1 << bits) - 1) if tried.index(seed) < seeds else found

    return weak


@pytest.mark.parametrize(("seeds", "bits"), [(1, 8), (3, 8), (1, 32)])
@pytest.mark.parametrize("run_bytes", [10_000, 50_000_000])
def test_names_whose_hashes_meet_are_all_found_with_another_seed(
    monkeypatch: pytest.MonkeyPatch, seeds: int, bits: int, run_bytes: int
) -> None:
    weak = _weak_for(seeds, bits)
    monkeypatch.setattr(builder, "hash_name", weak)
    monkeypatch.setattr(rows, "xxh3_64_intdigest", weak)
    monkeypatch.setattr(runs, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(block_writer, "_ROWS_AT_ONCE", 100)
    monkeypatch.setattr(builder, "BLOCK_BYTES", 2_000)
    items = {f"name {number}": b"%d" % number for number in range(800)}
    sink = MemorySink()
    with DesWriter(sink, archive_id=ARCHIVE_ID) as archive:
        archive.add_many(list(items.items())[:400])
        for name in list(items)[400:]:
            archive.add_file(name, items[name])
        with pytest.raises(ValueError, match="already"):
            archive.add_file("name 0", b"")
    assert contents(sink.data) == items
    assert DesReader(MemorySource(sink.data)).get_files_batch(items) == items
    assert is_whole(sink.data)


def test_what_is_changed_after_it_was_added_does_not_change_the_archive() -> None:
    sink = MemorySink()
    with DesWriter(sink) as archive:
        data = bytearray(b"before")
        meta: dict[str, Any] = {"list": [1]}
        archive.add_file("a", data, meta)
        archive.add_many([("b", data), ("c", memoryview(data))])
        data[:] = b"after!"
        meta["list"].append(2)
    assert contents(sink.data) == {"a": b"before", "b": b"before", "c": b"before"}
    assert DesReader(MemorySource(sink.data)).get_meta("a") == {"list": [1], "size": 6}


def test_metadata_of_the_caller_stay_as_they_are_and_size_is_the_files_own() -> None:
    meta = {"size": 99, "k": 1}
    data = write({"a": (b"12345", meta)})
    assert meta == {"size": 99, "k": 1}
    assert DesReader(MemorySource(data)).get_meta("a") == {"k": 1, "size": 5}


@pytest.mark.parametrize(
    "meta", [{"a": math.nan}, {"a": {1, 2}}, {"a": "\ud800"}, {"a": "x" * (10 * 1024 * 1024)}, ["a"], "text", 7]
)
def test_metadata_that_are_no_json_object_are_refused_and_the_archive_goes_on(meta: Any) -> None:
    sink = MemorySink()
    with DesWriter(sink) as archive:
        for add in (archive.add_file, lambda name, data, meta: archive.add_many([(name, data, meta)])):
            with pytest.raises((TypeError, ValueError)):
                add("a", b"", meta)
        archive.add_file("a", b"1", {"k": {}})
    assert contents(sink.data) == {"a": b"1"}


@pytest.mark.parametrize("item", [("x",), 7, ("x", None), ("x", "text"), ()])
def test_what_is_no_file_is_refused_and_what_stood_before_it_is_there(item: Any) -> None:
    sink = MemorySink()
    with DesWriter(sink) as archive:
        with pytest.raises((TypeError, ValueError)):
            archive.add_many([("a", b"1"), ("b", b"2"), item, ("c", b"3")])
        archive.add_file("d", b"4")
    assert contents(sink.data) == {"a": b"1", "b": b"2", "d": b"4"}


@pytest.mark.parametrize(
    ("size", "key"), [(-1, "k"), (2**48, "k"), (2**63, "k"), (1.5, "k"), (1, ""), (1, 7), (1, "\ud800")]
)
def test_an_external_file_that_cannot_be_is_refused_and_the_archive_goes_on(size: Any, key: Any) -> None:
    sink = MemorySink()
    with DesWriter(sink) as archive:
        with pytest.raises((TypeError, ValueError)):
            archive.add_external("a", size, external_key=key)
        archive.add_external("a", 2**48 - 1, external_key="k/a")
        archive.add_external("b", 2**48 - 1, external_key="k/b")
    assert DesReader(MemorySource(sink.data)).get_stats().external_bytes == 2**49 - 2
    assert is_whole(sink.data)


USER_COLUMNS = {
    "s": "string",
    "l": "long",
    "d": "double",
    "b": "boolean",
    "hash": "string",
    "a.b": "long",
    "checksum": "long",
}


def test_user_columns_are_columns_of_the_catalogue_with_their_types(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    full = {"s": "é", "l": -(2**63), "d": 2**60 + 1, "b": True, "hash": "h", "a.b": 3, "checksum": 4, "other": 1}
    sink = MemorySink()
    with DesWriter(sink, columns=USER_COLUMNS) as archive:
        archive.add_file("a", b"", full)
        archive.add_file("b", b"")
        archive.add_many([("c", b"", {"d": 0.5, "s": None})])
        archive.add_external("d", 5, {"l": 7}, external_key="k")
    (tmp_path / "a.des").write_bytes(sink.data)
    table = pq.read_table(tmp_path / "a.des", columns=list(USER_COLUMNS))
    assert [str(field.type) for field in table.schema] == [
        "string",
        "int64",
        "double",
        "bool",
        "string",
        "int64",
        "int64",
    ]
    nothing = dict.fromkeys(USER_COLUMNS)
    expected = {name: full[name] for name in USER_COLUMNS} | {"d": float(2**60)}
    assert table.to_pylist() == [expected, nothing, nothing | {"d": 0.5}, nothing | {"l": 7}]
    assert DesReader(MemorySource(sink.data)).get_meta("a") == full | {"size": 0}
    assert is_whole(sink.data)


@pytest.mark.parametrize(
    "meta",
    [{"s": 1}, {"l": "1"}, {"l": 1.0}, {"l": True}, {"l": 2**63}, {"d": "1"}, {"d": False}, {"b": 1}, {"s": ["x"]}],
)
def test_a_value_of_another_type_than_its_column_is_refused_and_the_archive_goes_on(meta: Mapping[str, Any]) -> None:
    sink = MemorySink()
    with DesWriter(sink, columns=USER_COLUMNS) as archive:
        with pytest.raises(ValueError, match="'a'"):
            archive.add_file("a", b"", meta)
        archive.add_file("a", b"right")
    assert contents(sink.data) == {"a": b"right"}


@pytest.mark.parametrize(
    "columns", [{"name": "string"}, {"size": "long"}, {"x": "int"}, {"": "long"}, {"\0hash": "long"}]
)
def test_a_column_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path, columns: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        DesWriter(tmp_path / "a.des", columns=columns)
    assert names_in(tmp_path) == []


def test_files_are_compressed_one_by_one_where_that_saves_bytes() -> None:
    files = {"noise": noise(1, 5_000), "text": b"the same again " * 400, "tiny": b"x", "empty": b""}
    reader = DesReader(MemorySource(write(files)))
    stored = {name: (entry.flags, entry.stored_size) for name, entry in reader.get_index().items()}
    assert stored["noise"] == (0, 5_000)
    assert stored["tiny"] == (0, 1)
    assert stored["empty"] == (0, 0)
    assert stored["text"][0] == 2
    assert stored["text"][1] < 200
    assert contents(write(files, compression_level=None)) == files


def _has_dictionary(data: bytes) -> bool:
    return any(block.kind == 2 for block in blocks_of(data))


def test_a_dictionary_is_trained_where_it_pays_and_only_there() -> None:
    many = write(documents(3_000))
    assert _has_dictionary(many)
    assert {entry.flags for entry in DesReader(MemorySource(many)).iter_entries()} == {2 | 16}
    assert not _has_dictionary(write(documents(20)))
    assert not _has_dictionary(write({f"{number}": noise(number, 200) for number in range(3_000)}))
    assert not _has_dictionary(write(documents(3_000), compression_level=None))
    assert contents(many) == documents(3_000)


def test_a_large_file_has_a_block_of_its_own() -> None:
    large = bytes(4 * 1024 * 1024 + 1)
    data = write({"a": b"1", "large": large, "b": b"2", "c": b"3"}, compression_level=None)
    assert [(block.count, block.payload) for block in blocks_of(data)] == [(1, 1), (1, len(large)), (2, 2)]
    assert contents(data)["large"] == large


def test_long_names_do_not_make_blocks_grow_beyond_what_readers_take() -> None:
    names = [f"{number:05}" + "n" * 65_530 for number in range(200)]
    for data in (write(dict.fromkeys(names, b"")), _many((name, b"") for name in names)):
        assert max(block.columns for block in blocks_of(data)) < 5 * 1024 * 1024
        assert is_whole(data)


def _many(items: Any, **options: Any) -> bytes:
    sink = MemorySink()
    with DesWriter(sink, archive_id=ARCHIVE_ID, created_ms=CREATED_MS, **options) as archive:
        archive.add_many(items)
    return sink.data


@pytest.mark.parametrize("count", [0, 1, 680, 681, 682, 1_362, 10_000])
def test_archives_of_any_count_are_whole(count: int) -> None:
    items = {f"n{number}": number.to_bytes(2, "big") for number in range(count)}
    data = _many(items.items())
    assert is_whole(data)
    reader = DesReader(MemorySource(data))
    assert len(reader) == count
    assert reader.get_files_batch(items) == items
    assert reader.list_files() == sorted(items)


@pytest.mark.parametrize("threads", [0, 1])
def test_rows_that_do_not_fit_into_memory_give_the_same_bytes_and_leave_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int
) -> None:
    items = list(MANY.items())
    seeded(1).shuffle(items)
    expected = _many(items)
    monkeypatch.setattr(runs, "RUN_BYTES", 100_000)
    monkeypatch.setattr(block_writer, "_ROWS_AT_ONCE", 1_000)
    spilled: list[list[str]] = []

    def watched() -> Any:
        yield from items
        spilled.append(names_in(tmp_path))

    assert _many(watched(), spill_folder=tmp_path, threads=threads) == expected
    assert len(spilled[0]) == 1
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("threads", [0, 2])
def test_an_exception_within_the_block_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int
) -> None:
    monkeypatch.setattr(runs, "RUN_BYTES", 10_000)
    monkeypatch.setattr(block_writer, "_ROWS_AT_ONCE", 100)
    monkeypatch.setattr(builder, "BLOCK_BYTES", 10_000)

    def fail() -> None:
        with DesWriter(tmp_path / "a.des", threads=threads, spill_folder=tmp_path) as archive:
            archive.add_many(MANY.items())
            assert len(names_in(tmp_path)) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names_in(tmp_path) == []
    assert writer_threads() == []


@pytest.mark.parametrize("threads", [0, 1])
def test_a_disk_that_is_full_at_any_write_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int
) -> None:
    monkeypatch.setattr(builder, "BLOCK_BYTES", 5_000)
    monkeypatch.setattr(runs, "RUN_BYTES", 20_000)
    monkeypatch.setattr(block_writer, "_ROWS_AT_ONCE", 50)
    items = list(documents(300).items())

    def attempt(sink: MemorySink) -> None:
        with DesWriter(sink, threads=threads, spill_folder=tmp_path) as archive:
            archive.add_many(items[:150])
            for item in items[150:]:
                archive.add_file(*item)

    whole = MemorySink()
    attempt(whole)
    assert whole.calls > 10
    for fail_at in range(1, whole.calls + 1):
        sink = MemorySink(fail_at=fail_at)
        with pytest.raises(OSError, match="No space left"):
            attempt(sink)
        assert sink.aborted
        assert not sink.committed
        assert names_in(tmp_path) == []
        assert writer_threads() == []


def test_a_process_that_is_killed_leaves_at_most_its_hidden_file(tmp_path: Path) -> None:
    target = tmp_path / "a.des"
    program = (
        "import sys, os\n"
        "from des_platform.archive import DesWriter\n"
        "archive = DesWriter(sys.argv[1], compression_level=None)\n"
        "number = 0\n"
        "while True:\n"
        "    archive.add_many([(f'{number}/{index}', os.urandom(10_000)) for index in range(500)])\n"
        "    number += 1\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    left = names_in(tmp_path)
    assert len(left) == 1
    assert left[0].startswith(".")
    DesWriter(target).close()
    assert len(DesReader(target)) == 0


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    target = tmp_path / "catalogue.des"
    with DesWriter(target, columns={"n": "long"}) as archive:
        for number in seeded(5).sample(range(3_000), 3_000):
            archive.add_file(f"part/{number:05}", b"%d" % number, {"n": number})
        archive.add_external("outside", 12_345, external_key="k")
    return target


def test_every_parquet_engine_reads_the_archive_as_the_reader_does(catalogue: Path) -> None:
    import datafusion
    import duckdb
    import polars as pl
    import pyarrow.parquet as pq

    with DesReader(catalogue) as reader:
        expected = [
            (entry.name, entry.offset, entry.stored_size, entry.size, entry.flags) for entry in reader.iter_entries()
        ]
    columns = ["name", "data_offset", "stored_size", "size", "flags"]
    assert len(expected) == 3_001
    assert [tuple(row.values()) for row in pq.read_table(catalogue, columns=columns).to_pylist()] == expected
    assert pl.scan_parquet(catalogue).select(columns).collect().rows() == expected
    query = f"SELECT {', '.join(columns)} FROM read_parquet('{catalogue}')"  # noqa: S608 - a path of this test's own
    assert duckdb.sql(query).fetchall() == expected
    context = datafusion.SessionContext()
    context.register_parquet("files", str(catalogue), file_extension=".des")
    batches = context.sql(f"SELECT {', '.join(columns)} FROM files ORDER BY name").collect()  # noqa: S608
    assert [tuple(row.values()) for batch in batches for row in batch.to_pylist()] == expected
    query = f"SELECT sum(n), count(*) FROM read_parquet('{catalogue}') WHERE name LIKE 'part/%'"  # noqa: S608
    assert duckdb.sql(query).fetchall() == [(sum(range(3_000)), 3_000)]


def test_row_groups_are_sorted_and_have_statistics_and_page_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(tail_writer, "ROW_GROUP_ROWS", 1_000)
    names = [f"{number:05}" for number in range(3_500)]
    data = _many((name, b"") for name in reversed(names))
    metadata = pq.read_metadata(pa.BufferReader(data))
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [1_000, 1_000, 1_000, 500]
    bounds = [(group.column(0).statistics.min, group.column(0).statistics.max) for group in groups]
    assert bounds == [(names[at], names[min(at + 999, 3_499)]) for at in range(0, 3_500, 1_000)]
    assert all(group.column(0).has_offset_index and group.column(0).has_column_index for group in groups)


def test_a_reader_of_version_1_says_that_this_is_version_2() -> None:
    data = write({"a": b"1"})
    with pytest.raises(UnsupportedVersion, match="version 2"):
        parse_footer(data[-72:], len(data), "a.des")


def test_what_the_writer_counts_is_what_the_reader_counts(tmp_path: Path) -> None:
    with DesWriter(tmp_path / "a.des", compression_level=None) as archive:
        archive.add_many((f"{number}", noise(number, 100)) for number in range(50))
        archive.add_external("big", 10**12, external_key="k")
        counted = archive.get_stats()
        assert archive.file_count == len(archive) == 51
    with DesReader(tmp_path / "a.des") as reader:
        found = reader.get_stats()
    assert (counted.file_count, counted.external_count) == (found.file_count, found.external_count) == (51, 1)
    assert (counted.data_bytes, counted.external_bytes) == (found.data_bytes, found.external_bytes) == (5_000, 10**12)


def test_metadata_are_kept_as_they_were_given() -> None:
    meta = {"unicode": "čé😀", "nested": {"a": [1, 2.5, None, True]}, "empty": {}, "": ""}
    data = write({"a": (b"1", meta), "b": (b"2", {}), "c": (b"3", None)})
    reader = DesReader(MemorySource(data))
    assert reader.get_meta("a") == meta | {"size": 1}
    assert reader.get_meta("b") == reader.get_meta("c") == {"size": 1}
    assert json.dumps(meta, separators=(",", ":"), ensure_ascii=False).encode() in data


@pytest.mark.parametrize(
    "option", [{"archive_id": 2**64}, {"archive_id": -1}, {"created_ms": -1}, {"compression_level": 99}]
)
def test_an_option_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be|level"):
        DesWriter(tmp_path / "a.des", **option)
    assert names_in(tmp_path) == []


def test_a_base_that_is_broken_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CorruptArchive):
        DesWriter(tmp_path / "a.des", base=MemorySource(write({"a": b"1"})[:-1]))
    assert names_in(tmp_path) == []


def test_everything_at_once_comes_back(tmp_path: Path) -> None:
    items = {f"f{number}": (noise(number, number), {"n": number}) for number in range(100)}
    data = write(items)
    assert {name: found[0] for name, found in everything(data).items()} == {
        name: item[0] for name, item in items.items()
    }
    assert {name: found[1]["n"] for name, found in everything(data).items()} == {f"f{n}": n for n in range(100)}


def test_much_metadata_makes_smaller_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(tail_writer, "_ROW_GROUP_BYTES", 100_000)
    items = {f"{number:03}": (b"", {"text": noise(number, 1_000).hex()}) for number in range(500)}
    data = write(items)
    metadata = pq.read_metadata(pa.BufferReader(data))
    assert metadata.num_row_groups > 10
    assert max(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)) < 110_000
    assert is_whole(data)
    assert {name: found[1]["text"] for name, found in everything(data).items()} == {
        n: m["text"] for n, (_, m) in items.items()
    }
