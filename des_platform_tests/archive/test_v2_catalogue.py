"""Names, prefixes and metadata from the Parquet part; and what happens when it lies."""

from __future__ import annotations

import io
import tracemalloc
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import IndexEntry
from des_platform.archive.reader import DesReader
from des_platform.archive.source import MemorySource
from des_platform_tests.archive.counting import CountingSource
from des_platform_tests.archive.literal_v2 import SCHEMA, Archive, Item, Lies, write_v2

if TYPE_CHECKING:
    from collections.abc import Callable

FILES: dict[str, bytes | Item] = {
    f"{'abcdefgh'[number % 8]}/{number:05d}": Item(b"%d" % number * 100, metadata=f'{{"n":{number}}}')
    for number in range(8000)
}
ROW_GROUP = 1000


@pytest.fixture(scope="module")
def many() -> Archive:
    """Eight letters, eight row groups, each letter in its own."""
    return write_v2(FILES, row_group_rows=ROW_GROUP)


def test_the_archive_is_a_parquet_file_that_others_read(many: Archive) -> None:
    table = pq.read_table(io.BytesIO(many.data))
    assert table.column("name").to_pylist() == sorted(FILES)


def test_entries_come_in_the_order_of_their_names_with_all_that_is_known(many: Archive) -> None:
    entries = list(DesReader(MemorySource(many.data)).iter_entries())
    assert [entry.name for entry in entries] == sorted(FILES)
    assert all(type(entry) is IndexEntry for entry in entries)
    reader = DesReader(MemorySource(many.data))
    assert all(entry == reader.get_entry(entry.name) for entry in Random(1).sample(entries, 100))  # noqa: S311 - reproducible


@pytest.mark.parametrize(
    "prefix", ["", "c", "c/", "c/0000", "c/00002", "c/000021", "zz", "A", "h/07", "é", "\U0010ffff"]
)
def test_a_prefix_gives_what_starts_with_it_and_no_more(many: Archive, prefix: str) -> None:
    names = DesReader(MemorySource(many.data)).list_files(prefix)
    assert names == sorted(name for name in FILES if name.startswith(prefix))


def test_names_are_ordered_by_their_bytes_and_found_by_any_prefix() -> None:
    names = ["a", "a\x00", "a\x7f", "aé", "a\uffff", "a\U0001f600", "a\U0010ffff", "b"]
    reader = DesReader(MemorySource(write_v2(dict.fromkeys(reversed(names), b"x"), row_group_rows=2).data))
    assert reader.list_files() == names
    assert reader.list_files("a") == names[:-1]
    assert reader.list_files("a\U0010ffff") == ["a\U0010ffff"]


def test_a_prefix_reads_one_row_group_and_not_its_metadata(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source)
    assert len(reader.list_files("c/")) == ROW_GROUP
    of_rows = [(offset, length) for offset, length in source.reads if offset < many.footer["pages_offset"]]
    row_group = pq.read_metadata(io.BytesIO(many.data)).row_group(2)
    assert [length for _, length in of_rows] == [sum(row_group.column(i).total_compressed_size for i in range(5))]
    source.forget()
    assert len(reader.list_files("c/01")) == 125
    assert source.requests == 0


def test_names_without_statistics_are_read_all_the_same() -> None:
    long = ["a" * 5000, "b" * 5000, "c" * 5000]
    for options in ({}, {"write_statistics": False}):
        archive = write_v2(dict.fromkeys(long, b"x"), row_group_rows=1, lies=Lies(parquet=options))
        reader = DesReader(MemorySource(archive.data))
        assert reader.list_files() == long
        assert reader.list_files("b") == long[1:2]
        assert reader.get_meta(long[2]) == {"size": 1}


def test_metadata_in_a_loop_read_their_row_group_once(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source)
    names = [name for name in FILES if name.startswith("d/")]
    for name in names:
        reader.get_entry(name)
    source.forget()
    for name in names:
        assert reader.get_meta(name) == {"n": int(name[2:]), "size": len(FILES[name].stored)}
    assert source.requests <= 3


def test_the_size_stands_last_in_the_metadata_and_is_the_files_own() -> None:
    files = {"a": Item(b"alpha", metadata='{"size":99,"k":"é"}'), "b": Item(b"beta")}
    reader = DesReader(MemorySource(write_v2(files).data))
    assert list(reader.get_meta("a").items()) == [("k", "é"), ("size", 5)]
    assert reader.get_meta("b") == {"size": 4}
    with pytest.raises(KeyError, match="File not found: 'c'"):
        reader.get_meta("c")


@pytest.mark.parametrize("metadata", ["", "{", "[1]", "1", "null", '{"a":' * 200_000, '{"a":' + "1" * 9999 + "}"])
def test_metadata_that_are_no_json_object_are_refused(metadata: str) -> None:
    reader = DesReader(MemorySource(write_v2({"a": Item(b"alpha", metadata=metadata), "b": b"beta"}).data))
    with pytest.raises(CorruptArchive, match="the metadata of .*'a' are"):
        reader.get_meta("a")
    assert reader.get_file("a") == b"alpha"
    assert reader.get_meta("b") == {"size": 4}


def test_with_a_hint_a_listing_reads_the_end_first(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source, hint=many.hint())
    assert (len(reader), source.requests) == (8000, 0)
    assert reader.list_files("a/0000") == ["a/00000", "a/00008"]
    assert source.tails == 1
    assert reader.get_stats().file_count == 8000
    assert source.tails == 1


def _change(column: str, row: int, value: object) -> Callable[[dict[str, list[Any]]], None]:
    def lie(rows: dict[str, list[Any]]) -> None:
        rows[column][row] = value

    return lie


def _fewer(rows: dict[str, list[Any]]) -> None:
    for column in rows.values():
        column.pop()


def _more(rows: dict[str, list[Any]]) -> None:
    for name, column in rows.items():
        column.append("z" if name == "name" else column[-1])


def _reversed(rows: dict[str, list[Any]]) -> None:
    for column in rows.values():
        column.reverse()


SMALL: dict[str, bytes | Item] = {"a": b"alpha", "b": Item(b"beta", metadata='{"k":1}'), "c": b"gamma"}
ROW_LIES: dict[str, Callable[[dict[str, list[Any]]], None]] = {
    "a row less": _fewer,
    "a row more": _more,
    "not sorted": _reversed,
    "a name twice": _change("name", 1, "a"),
    "an offset in the header": _change("data_offset", 0, 31),
    "a negative offset": _change("data_offset", 0, -1),
    "an offset behind the blocks": _change("data_offset", 2, 2**40),
    "a length beyond the blocks": _change("stored_size", 0, 2**62),
    "a negative length": _change("stored_size", 0, -5),
    "an end behind the blocks": _change("stored_size", 2, 150),
    "a negative size": _change("size", 0, -1),
    "a size that is not the one of the plain bytes": _change("size", 1, 7),
    "negative flags": _change("flags", 0, -1),
    "flags of more than 16 bits": _change("flags", 0, 2**16),
}


@pytest.mark.parametrize("row_group_rows", [1, 100])
@pytest.mark.parametrize("case", ROW_LIES)
def test_rows_that_lie_are_refused(case: str, row_group_rows: int) -> None:
    archive = write_v2(SMALL, row_group_rows=row_group_rows, lies=Lies(rows=ROW_LIES[case]))
    reader = DesReader(MemorySource(archive.data))
    with pytest.raises(CorruptArchive, match="the catalogue"):
        list(reader.iter_entries())
    assert reader.get_file("a") == b"alpha"


def _with_field(field: pa.Field[Any]) -> pa.Schema:
    return pa.schema([field if old.name == field.name else old for old in SCHEMA])


def _null(column: str) -> Callable[[dict[str, list[Any]]], None]:
    return _change(column, 1, None)


def _without(*names: str) -> Callable[[dict[str, list[Any]]], None]:
    def lie(rows: dict[str, list[Any]]) -> None:
        for name in names:
            del rows[name]
        rows.setdefault("x", [1, 2, 3])

    return lie


SCHEMA_LIES: dict[str, tuple[pa.Schema, Callable[[dict[str, list[Any]]], None]]] = {
    "names that may be missing": (_with_field(pa.field("name", pa.string())), _null("name")),
    "names that are numbers": (
        _with_field(pa.field("name", pa.int64(), nullable=False)),
        lambda rows: rows.update(name=[1, 2, 3]),
    ),
    "names that are lists": (
        _with_field(pa.field("name", pa.list_(pa.string()), nullable=False)),
        lambda rows: rows.update(name=[["a"], ["b"], ["c"]]),
    ),
    "names that are no UTF-8": (
        _with_field(pa.field("name", pa.binary(), nullable=False)),
        lambda rows: rows.update(name=[b"a", b"\xfe", b"\xff"]),
    ),
    "offsets that are fractions": (_with_field(pa.field("data_offset", pa.float64(), nullable=False)), lambda _: None),
    "offsets that may be missing": (_with_field(pa.field("data_offset", pa.int64())), _null("data_offset")),
    "flags of 64 bits": (_with_field(pa.field("flags", pa.int64(), nullable=False)), lambda _: None),
    "metadata that are numbers": (
        _with_field(pa.field("metadata", pa.int64())),
        lambda rows: rows.update(metadata=[1, 2, None]),
    ),
    "no sizes": (pa.schema([field for field in SCHEMA if field.name != "size"]), _without("size")),
    "other columns": (pa.schema([("x", pa.int64())]), _without(*SCHEMA.names)),
}


@pytest.mark.parametrize("case", SCHEMA_LIES)
def test_columns_of_another_kind_are_refused(case: str) -> None:
    schema, lie = SCHEMA_LIES[case]
    reader = DesReader(MemorySource(write_v2(SMALL, lies=Lies(rows=lie, parquet={"schema": schema})).data))
    with pytest.raises(CorruptArchive, match="the catalogue"):
        list(reader.iter_entries())
    with pytest.raises(CorruptArchive, match="the catalogue"):
        reader.get_meta("a")


def test_more_columns_than_ours_do_not_matter_wherever_they_stand() -> None:
    schema = pa.schema([pa.field("station", pa.string()), *reversed(list(SCHEMA)), pa.field("value", pa.float64())])
    lies = Lies(rows=lambda rows: rows.update(station=["x", None, "y"], value=[1, 2, 3]), parquet={"schema": schema})
    reader = DesReader(MemorySource(write_v2(SMALL, lies=lies).data))
    assert reader.list_files() == ["a", "b", "c"]
    assert reader.get_meta("b") == {"k": 1, "size": 4}


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"compression": "none", "use_dictionary": False},
        {"data_page_version": "2.0", "store_schema": True},
        {
            "use_dictionary": False,
            "column_encoding": {"name": "DELTA_BYTE_ARRAY", "data_offset": "DELTA_BINARY_PACKED"},
        },
        {"write_page_checksum": True, "write_page_index": False},
    ],
)
def test_every_way_to_write_the_catalogue_is_read(options: dict[str, Any]) -> None:
    reader = DesReader(MemorySource(write_v2(SMALL, lies=Lies(parquet=options)).data))
    assert reader.list_files() == ["a", "b", "c"]
    assert reader.get_meta("b") == {"k": 1, "size": 4}


def test_a_file_that_is_in_a_page_but_not_in_the_catalogue_is_a_broken_archive() -> None:
    reader = DesReader(MemorySource(write_v2(SMALL, lies=Lies(rows=_change("name", 2, "d"))).data))
    with pytest.raises(CorruptArchive, match="'c' is in a page but not in the catalogue"):
        reader.get_meta("c")


def test_garbage_in_place_of_the_row_groups_is_refused_without_much_memory(many: Archive) -> None:
    start, length = many.footer["catalogue_offset"], many.footer["catalogue_length"]
    for seed in range(40):
        data = bytearray(many.data)
        source = Random(seed)  # noqa: S311 - reproducible on purpose
        for _ in range(1 + seed * 20):
            data[start + source.randrange(length)] = source.randrange(256)
        reader = DesReader(MemorySource(bytes(data)))
        tracemalloc.start()
        try:
            names = reader.list_files()
        except CorruptArchive:
            pass
        else:
            assert names == sorted(names)
            assert len(names) == len(FILES)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 50_000_000


def test_files_of_the_catalogue_are_iterated_without_all_of_them_in_memory(many: Archive) -> None:
    reader = DesReader(MemorySource(many.data))
    entries = reader.iter_entries()
    assert next(iter(entries)).name == "a/00000"
    assert len(reader._view._catalogue._kept) == 1
    assert sum(1 for _ in reader.iter_entries()) == len(FILES)
    assert len(reader._view._catalogue._kept) == 4


@pytest.mark.parametrize("column", ["name", "metadata"])
def test_a_long_value_that_all_rows_repeat_takes_its_memory_once(column: str) -> None:
    files = {f"{number:05d}": b"x" for number in range(20_000)}
    value = "x" * 60_000 if column == "name" else '{"a":"' + "x" * 60_000 + '"}'
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * len(files), pa.int32()), [value])
    schema = _with_field(pa.field(column, repeated.type, nullable=column == "metadata"))
    lies = Lies(rows=lambda rows: rows.update({column: repeated}), parquet={"schema": schema})
    reader = DesReader(MemorySource(write_v2(files, lies=lies).data))
    before = pa.default_memory_pool().max_memory()
    if column == "name":
        with pytest.raises(CorruptArchive, match="names that are not in order"):
            reader.list_files()
    else:
        assert len(reader.get_meta("00007")["a"]) == 60_000
    assert pa.default_memory_pool().max_memory() < before + 200_000_000, "decoded, the column has 1.2 GB"


def test_a_name_longer_than_names_are_is_refused() -> None:
    lies = Lies(rows=_change("name", 2, "c" * 65_536))
    with pytest.raises(CorruptArchive, match="names of more than 65535 bytes"):
        DesReader(MemorySource(write_v2(SMALL, lies=lies).data)).list_files()


def test_parquet_metadata_that_contradict_themselves_end_neither_the_process_nor_in_another_error() -> None:
    options = {"write_page_index": False, "use_dictionary": ["metadata"]}
    length = 0

    def measure(metadata: bytes) -> bytes:
        nonlocal length
        length = len(metadata)
        return metadata

    right = write_v2(SMALL, lies=Lies(parquet=options, metadata=measure)).data
    assert DesReader(MemorySource(right)).list_files() == ["a", "b", "c"]
    source = Random(5)  # noqa: S311 - reproducible on purpose
    for at in range(length):
        for value in {0xFF, source.randrange(256)}:
            changed = Lies(parquet=options, metadata=partial(_with_byte, at, value))
            reader = DesReader(MemorySource(write_v2(SMALL, lies=changed).data))
            try:
                assert reader.list_files() == ["a", "b", "c"]
                reader.get_meta("b")
            except CorruptArchive:
                pass


def _with_byte(at: int, value: int, metadata: bytes) -> bytes:
    return metadata[:at] + bytes([value]) + metadata[at + 1 :]
