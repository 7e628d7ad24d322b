"""The worked example of FORMAT.md is an archive, and every line of it says the truth."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

import pytest
from crc32c import crc32c
from xxhash import xxh3_64_intdigest

from des_platform.archive import DesReader, ExternalFile, MemorySource
from des_platform.archive.verification import verify

LINE = re.compile(r"([0-9a-f]{4})  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  ; (.*))?")
NUMBER = re.compile(r"= (\d+)$")
QUOTED = re.compile(r'^(?:.*: )?"([^"]*)"$')


class Region(NamedTuple):
    at: int
    data: bytes
    meaning: str

    @property
    def number(self) -> int:
        return int.from_bytes(self.data, "little")


def regions() -> list[Region]:
    text = files("des_platform.archive").joinpath("FORMAT.md").read_text("utf-8")
    found: list[Region] = []
    for line in text.split("## A worked example")[1].split("```")[1].strip().splitlines():
        if line.startswith("# "):
            continue
        match = LINE.fullmatch(line)
        assert match is not None, line
        at, data = int(match[1], 16), bytes.fromhex(match[2])
        assert at == sum(len(region.data) for region in found), line
        if match[3] is None:
            found[-1] = found[-1]._replace(data=found[-1].data + data)
        else:
            found.append(Region(at, data, match[3]))
    return found


REGIONS = regions()
ARCHIVE = b"".join(region.data for region in REGIONS)


def test_the_example_is_an_archive_that_is_whole() -> None:
    found = verify(MemorySource(ARCHIVE))
    assert found.problems == []
    assert (found.version, found.files, found.bytes) == (2, 3, 2222)


def test_the_example_holds_the_files_that_it_names() -> None:
    reader = DesReader(MemorySource(ARCHIVE))
    assert reader.list_files() == ["a.txt", "b.txt", "c.bin"]
    assert reader.get_file("a.txt") == b"hello"
    assert reader.get_meta("a.txt") == {"k": 1, "size": 5}
    assert reader.get_file("b.txt") == b"to be or not to be, " * 5
    with pytest.raises(ExternalFile) as external:
        reader.get_file("c.bin")
    assert (external.value.external_key, external.value.size) == ("x/c.bin", 1000)
    assert [entry.flags for entry in reader.iter_entries()] == [0, 2, 1]


def test_the_numbers_of_the_example_are_those_of_its_bytes() -> None:
    checked = 0
    for region in REGIONS:
        if match := NUMBER.search(region.meaning):
            assert region.number == int(match[1]), region
            checked += 1
        elif match := QUOTED.match(region.meaning):
            assert region.data == match[1].encode(), region
            checked += 1
    assert checked > 60


def test_offsets_lengths_hashes_and_checksums_of_the_example_lead_to_what_they_name() -> None:
    stored = {region.meaning.split(":")[0]: region for region in REGIONS if re.match(r"[abc]\.\w+: ", region.meaning)}
    assert set(stored) == {"a.txt", "b.txt", "c.bin"}
    for region in REGIONS:
        what, _, name = region.meaning.split(" = ")[0].partition(" of ")
        if name not in stored:
            continue
        expected = {
            "offset": stored[name].at,
            "stored_length": len(stored[name].data),
            "checksum": crc32c(stored[name].data),
            "hash": xxh3_64_intdigest(name.encode(), 0x0807060504030201),
        }
        if what in expected:
            assert region.number == expected[what], region


def test_the_regions_of_the_example_lie_where_its_footer_says() -> None:
    at = {region.meaning.split(" = ")[0]: region for region in REGIONS}
    catalogue, pages = at["offset of the catalogue"].number, at["offset of the pages"].number
    assert at["the column `name`"].at == catalogue
    assert catalogue + at["length of the catalogue"].number == pages
    assert at['"DHP2"'].at == pages
    assert at["stop byte"].at + 1 - at["FileMetaData"].at == at["length of the Parquet metadata"].number
    assert ARCHIVE.index(at['"DBK2"'].data) == at['"DBK2"'].at == 32
    assert at["crc of the catalogue"].number == crc32c(ARCHIVE[catalogue:pages])
