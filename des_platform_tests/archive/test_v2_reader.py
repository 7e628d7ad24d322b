"""What a reader of version 2 asks for and answers; the archives are written from FORMAT.md alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from des_platform.archive.batch import BYTES, LATENCY, REQUESTS, ReadPolicy
from des_platform.archive.errors import CorruptArchive, ExternalFile
from des_platform.archive.models import ArchiveStats, IndexEntry
from des_platform.archive.reader import DesReader
from des_platform.archive.source import FileSource, MemorySource
from des_platform_tests.archive.counting import CountingSource, Replaced
from des_platform_tests.archive.literal_v2 import Archive, Item, external_record, page_number, write_v2

if TYPE_CHECKING:
    from pathlib import Path

PAGE_BYTES = 16_384
MANY = {f"d/{number:05d}": f"payload {number:05d}".encode() * 20 for number in range(4000)}
NAME = "d/00007"


@pytest.fixture(scope="module")
def many() -> Archive:
    """So many files that pages and payloads of the first lie before the last 64 KiB."""
    return write_v2({name: Item(data, metadata=f'{{"of":"{name}"}}') for name, data in MANY.items()})


@pytest.fixture(scope="module")
def few() -> Archive:
    """All of it lies within the last 64 KiB."""
    files = {"a": b"alpha", "b/ü\n:*": Item(b"beta", metadata='{"k":1}'), "empty": b""}
    return write_v2({**files, "big": Item(external_record("else/where", 5_000_000_000, k=2), 5_000_000_000, flags=1)})


def test_every_file_that_was_written_is_read_and_no_other(many: Archive) -> None:
    reader = DesReader(MemorySource(many.data))
    assert len(reader) == len(MANY)
    assert all(reader.get_file(name) == data for name, data in MANY.items())
    assert NAME in reader
    assert "d/" not in reader
    with pytest.raises(KeyError, match="File not found: 'd/' is not in"):
        reader.get_file("d/")


def test_names_may_hold_anything_that_utf_8_can_hold(few: Archive) -> None:
    reader = DesReader(MemorySource(few.data))
    assert reader.get_file("b/ü\n:*") == b"beta"
    assert reader.get_file("empty") == b""
    for name in ("", "\udc80"):
        assert name not in reader
        with pytest.raises(KeyError):
            reader.get_file(name)
        assert reader.get_files_batch([name]) == {}
    assert list(reader.iter_entries("\udc80")) == []


def test_from_nothing_a_file_costs_three_requests_and_the_next_of_its_page_one(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source)
    assert source.requests == 1
    reader.get_file(NAME)
    assert [source.tails, *(length for _, length in source.reads)] == [1, PAGE_BYTES, len(MANY[NAME])]
    source.forget()
    assert reader.get_file(NAME) == MANY[NAME]
    assert source.requests == 1


def test_with_a_hint_a_file_costs_two_requests_and_an_absent_name_one(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source, hint=many.hint())
    assert (source.requests, len(reader)) == (0, len(MANY))
    assert "absent" not in reader
    assert [length for _, length in source.reads] == [PAGE_BYTES]
    source.forget()
    name = next(name for name in MANY if page_number(name, many.footer) != page_number("absent", many.footer))
    assert reader.get_file(name) == MANY[name]
    assert [length for _, length in source.reads] == [PAGE_BYTES, len(MANY[name])]


def test_a_small_archive_is_read_with_its_end(few: Archive) -> None:
    source = CountingSource(few.data)
    reader = DesReader(source)
    assert reader.get_files_batch(["a", "empty"]) == {"a": b"alpha", "empty": b""}
    assert reader.list_files() == ["a", "b/ü\n:*", "big", "empty"]
    assert reader.get_meta("b/ü\n:*") == {"k": 1, "size": 4}
    assert source.requests == 1


def test_a_page_that_the_end_holds_is_not_asked_for_again() -> None:
    archive = write_v2({f"{number}": bytes([number % 256]) * 200 for number in range(600)})
    source = CountingSource(archive.data)
    assert DesReader(source).get_file("0") == bytes(200)
    assert source.requests == 2


def test_the_hint_that_a_reader_gives_is_the_one_of_the_format(many: Archive) -> None:
    assert DesReader(MemorySource(many.data)).hint() == many.hint()


def test_a_hint_of_an_older_archive_is_given_up_for_the_end_of_the_new_one(many: Archive) -> None:
    for old in (
        many.hint(pages_offset=many.footer["pages_offset"] - 4096),
        many.hint(archive_id=5),
        many.hint(seed=8, page_count=2, count=100, archive_id=5),
        many.hint(archive_size=2**40, pages_offset=2**39),
    ):
        source = CountingSource(many.data)
        reader = DesReader(source, hint=old)
        assert reader.get_file(NAME) == MANY[NAME]
        assert source.tails == 1
        assert reader.hint() == many.hint()
        batch = DesReader(MemorySource(many.data), hint=old).get_files_batch([NAME, "absent"])
        assert batch == {NAME: MANY[NAME]}


def test_a_hint_that_is_no_hint_is_not_used(many: Archive, caplog: pytest.LogCaptureFixture) -> None:
    source = CountingSource(many.data)
    assert DesReader(source, hint=many.hint()[:-1] + b"x").get_file(NAME) == MANY[NAME]
    assert source.tails == 1
    assert "the hint is not used" in caplog.text


def test_a_right_hint_of_a_broken_page_is_a_broken_archive_and_the_end_is_read_once(many: Archive) -> None:
    data = bytearray(many.data)
    data[many.footer["pages_offset"] + page_number(NAME, many.footer) * PAGE_BYTES + 100] ^= 1
    source = CountingSource(bytes(data))
    reader = DesReader(source, hint=many.hint())
    for _ in range(2):
        with pytest.raises(CorruptArchive, match=r"page \d+ has the CRC-32C"):
            reader.get_file(NAME)
    assert source.tails == 1


def test_a_failing_source_is_not_taken_for_a_broken_archive(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source)
    source.data = many.data[:-1]
    with pytest.raises(Replaced):
        reader.get_file(NAME)
    with pytest.raises(Replaced):
        list(reader.iter_entries())


def test_a_file_that_was_cut_since_it_was_opened_is_noticed(many: Archive, tmp_path: Path) -> None:
    path = tmp_path / "a.des"
    path.write_bytes(many.data)
    with DesReader(path) as reader:
        path.open("r+b").truncate(100_000)
        with pytest.raises(CorruptArchive, match="cut or replaced"):
            reader.get_file(NAME)


def test_one_changed_bit_in_a_payload_is_noticed_alone_and_in_a_batch(many: Archive) -> None:
    entry = DesReader(MemorySource(many.data)).get_entry(NAME)
    data = bytearray(many.data)
    data[entry.offset + 11] ^= 0x40
    reader = DesReader(MemorySource(bytes(data)))
    with pytest.raises(CorruptArchive, match="'d/00007' has the CRC-32C"):
        reader.get_file(NAME)
    with pytest.raises(CorruptArchive, match="'d/00007' has the CRC-32C"):
        reader.get_files_batch([NAME, "d/00008"])
    assert reader.get_file("d/00008") == MANY["d/00008"]


def test_opening_and_reading_one_file_needs_neither_numpy_nor_pyarrow(many: Archive, tmp_path: Path) -> None:
    path = tmp_path / "a.des"
    path.write_bytes(many.data)
    script = (
        "import sys; from des_platform.archive.reader import DesReader; "
        f"assert DesReader(sys.argv[1]).get_file({NAME!r}); "
        "sys.exit(', '.join({'numpy', 'pyarrow', 'zstandard'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_opening_reads_nothing_of_the_catalogue(many: Archive) -> None:
    broken = bytearray(many.data)
    start, length = many.footer["catalogue_offset"], many.footer["catalogue_length"]
    broken[start : start + length] = bytes(length)
    reader = DesReader(MemorySource(bytes(broken)))
    assert reader.get_file(NAME) == MANY[NAME]
    with pytest.raises(CorruptArchive, match="catalogue"):
        reader.list_files()


def test_a_batch_keeps_the_order_and_leaves_out_what_is_not_there(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source)
    names = Random(3).sample(sorted(MANY), 500)  # noqa: S311 - reproducible on purpose
    found = reader.get_files_batch([*names, "absent", names[0]])
    assert list(found) == names
    assert found == {name: MANY[name] for name in names}
    assert reader.get_files_batch([]) == {}
    assert reader.get_files_batch(["absent"]) == {}


@pytest.mark.parametrize(("policy", "most_requests", "most_bytes"), [(REQUESTS, 3, 2_000_000), (BYTES, 200, 200_000)])
def test_a_batch_follows_its_policy(many: Archive, policy: ReadPolicy, most_requests: int, most_bytes: int) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source)
    names = sorted(MANY)[::40]
    assert len(reader.get_files_batch(names, policy=policy)) == 100
    assert source.requests <= most_requests
    assert source.bytes_read <= most_bytes


def test_no_joined_read_of_a_batch_is_longer_than_the_policy_says(many: Archive) -> None:
    source = CountingSource(many.data)
    policy = ReadPolicy(max_gap=10**9, max_span=50_000, concurrency=4)
    assert len(DesReader(source).get_files_batch(MANY, policy=policy)) == len(MANY)
    assert max(length for _, length in source.reads) <= 50_000


def test_what_an_entry_says_costs_no_read_of_a_plain_file(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source)
    entry = reader.get_entry(NAME)
    assert many.data[entry.offset : entry.offset + entry.stored_size] == MANY[NAME]
    assert entry == IndexEntry(NAME, entry.offset, len(MANY[NAME]), len(MANY[NAME]), 0)
    assert source.requests == 2


def test_an_external_file_is_told_from_its_record(few: Archive) -> None:
    reader = DesReader(MemorySource(few.data))
    with pytest.raises(ExternalFile) as caught:
        reader.get_file("big")
    assert (caught.value.name, caught.value.external_key, caught.value.size) == ("big", "else/where", 5_000_000_000)
    entry = reader.get_entry("big")
    assert (entry.is_external, entry.size, entry.stored_size < 100) == (True, 5_000_000_000, True)
    assert reader.get_meta("big") == {
        "k": 2,
        "size": 5_000_000_000,
        "is_external": True,
        "external_key": "else/where",
    }
    with pytest.raises(ExternalFile):
        reader.get_files_batch(["a", "big"])


def test_external_files_come_from_the_store_of_big_files_among_the_others() -> None:
    class Objects:
        def put(self, key: str, data: bytes, *, attributes: object = None) -> None:
            raise AssertionError(key, data, attributes)

        def get(self, key: str, *, max_bytes: int) -> bytes:
            assert max_bytes == 3
            return {"k/1": b"one", "k/2": b"two"}[key]

    files = {f"big{number}": Item(external_record(f"k/{number}", 3), 3, flags=1) for number in (1, 2)}
    archive = write_v2({"a": b"alpha", **files, "z": b"last"})
    source = CountingSource(archive.data)
    reader = DesReader(source, big_files=Objects())
    assert reader.get_files_batch(["z", "big2", "a", "big1"]) == {
        "z": b"last",
        "big2": b"two",
        "a": b"alpha",
        "big1": b"one",
    }
    assert source.requests == 1


def test_the_stats_are_those_of_the_footer_and_cost_no_request(few: Archive) -> None:
    source = CountingSource(few.data)
    record = len(external_record("else/where", 5_000_000_000, k=2))
    assert record > 50
    assert DesReader(source).get_stats() == ArchiveStats(2, 4, 1, 9, 9, 5_000_000_000, len(few.data))
    assert source.requests == 1


def test_an_archive_of_nothing_has_nothing() -> None:
    reader = DesReader(MemorySource(write_v2({}).data))
    assert (len(reader), reader.list_files(), reader.get_files_batch(["a"]), "a" in reader) == (0, [], {}, False)
    assert reader.get_stats().compression_ratio == 1.0


def test_pages_in_memory_stay_within_their_limit_and_those_in_use_stay(many: Archive) -> None:
    archive = write_v2(MANY, page_count=64)
    source = CountingSource(archive.data)
    reader = DesReader(source, page_cache_bytes=10 * 18_000)
    for name, data in MANY.items():
        assert reader.get_file(name) == data
        assert reader.get_file(NAME) == MANY[NAME]
    own_page = archive.footer["pages_offset"] + page_number(NAME, archive.footer) * PAGE_BYTES
    assert source.reads.count((own_page, PAGE_BYTES)) <= 2
    pages = reader._view._lookup.opened.pages
    assert 0 < pages.bytes_in_memory <= 10 * 18_000
    assert pages.bytes_in_memory == sum(page.weight for page in pages.loaded.values())


def test_a_page_cache_of_nothing_reads_each_page_again(many: Archive) -> None:
    source = CountingSource(many.data)
    reader = DesReader(source, page_cache_bytes=0)
    for _ in range(2):
        assert reader.get_file(NAME) == MANY[NAME]
    assert source.requests == 5


@pytest.mark.usefixtures("_switching_threads_often")
def test_eight_threads_read_the_right_bytes_from_one_reader(many: Archive, tmp_path: Path) -> None:
    path = tmp_path / "a.des"
    path.write_bytes(many.data)
    wrong: list[str] = []

    def work(seed: int) -> None:
        names = Random(seed).sample(sorted(MANY), 300)  # noqa: S311 - reproducible on purpose
        for start in range(0, len(names), 100):
            found = reader.get_files_batch(names[start : start + 100], policy=LATENCY)
            wrong.extend(name for name in names[start : start + 100] if found.get(name) != MANY[name])
        wrong.extend(name for name in names if reader.get_file(name) != MANY[name])
        wrong.extend(name for name in names[:10] if reader.get_meta(name) != {"of": name, "size": len(MANY[name])})

    with FileSource(path) as source:
        reader = DesReader(source, hint=many.hint(archive_id=3), page_cache_bytes=3 * 18_000)
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
