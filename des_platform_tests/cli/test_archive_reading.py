"""`des archive` with `ls`, `get`, `cat`, `extract`, `info`, `sql`: what comes out of archives, and what never."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DesReader, DesWriter, LocalFolder
from des_platform_tests.cli.archive_command import archive

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"a.txt": b"alpha", "img/1.png": b"\x89PNG" * 100, "img/2.png": b"2" * 1000, "img.txt": b"", "ü/ñ": b"unicode"}
HOSTILE = ["../up", "/etc/absolute", "a/../../up", "a//b", "./dot", "dir/", "nul\0", ".."]


def write(path: Path, files: dict[str, bytes], version: int = 2) -> Path:
    with DesWriter(path, format_version=1 if version == 1 else 2) as writer:
        for name, data in files.items():
            writer.add_file(name, data, {"of": name[:1]})
    return path


def damage(path: Path, name: str) -> None:
    """Flip a bit of one file's bytes."""
    with DesReader(path) as reader:
        offset = reader.get_entry(name).offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return write(tmp_path / "a.des", FILES)


@pytest.fixture(params=[1, 2])
def any_version(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive of files that both versions can name."""
    return write(tmp_path / "flat.des", {"b": b"bee", "a": b"alpha"}, request.param)


def test_ls_narrows_by_prefix_and_pattern(packed: Path) -> None:
    assert archive("ls", packed).out.splitlines() == sorted(FILES)
    assert archive("ls", packed, "img/").out.splitlines() == ["img/1.png", "img/2.png"]
    assert archive("ls", packed, "--glob", "i*.*").out.splitlines() == ["img.txt", "img/1.png", "img/2.png"]
    assert archive("ls", packed, "img/", "--glob", "*2*").out.splitlines() == ["img/2.png"]
    assert archive("ls", packed, "a", "--glob", "img*").out == ""
    assert archive("ls", packed, "--glob", "img/[2-9].png").out.splitlines() == ["img/2.png"]


def test_ls_long_and_json_give_sizes(packed: Path) -> None:
    (line,) = archive("ls", packed, "img/2", "-l").out.splitlines()
    size, stored, outside, name = line.split()
    assert (size, outside, name) == ("1000", "-", "img/2.png")
    assert int(stored) < 1000
    found = [json.loads(line) for line in archive("ls", packed, "--json").out.splitlines()]
    assert {entry["name"]: entry["size"] for entry in found} == {name: len(data) for name, data in FILES.items()}


def test_cat_gives_files_one_after_the_other_and_names_what_is_missing(any_version: Path) -> None:
    done = archive("cat", any_version, "a", "gone", "b")
    assert (done.code, done.out) == (1, "alphabee")
    assert "'gone'" in done.err
    assert done.err.count("\n") == 1


def test_get_writes_one_file_where_it_is_told(packed: Path, tmp_path: Path) -> None:
    assert archive("get", packed, "a.txt", "-o", tmp_path / "here").code == 0
    assert (tmp_path / "here").read_bytes() == b"alpha"


def test_get_writes_several_files_below_a_folder(packed: Path, tmp_path: Path) -> None:
    done = archive("get", packed, "img/1.png", "ü/ñ", "gone", "-o", tmp_path / "out")
    assert done.code == 1
    assert "'gone'" in done.err
    assert files_below(tmp_path / "out") == {"img/1.png": FILES["img/1.png"], "ü/ñ": FILES["ü/ñ"]}


def test_get_replaces_a_file_only_when_forced(packed: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"mine")
    done = archive("get", packed, "a.txt", "-o", there)
    assert (done.code, there.read_bytes()) == (1, b"mine")
    assert "--force" in done.err
    assert archive("get", packed, "a.txt", "-o", there, "--force").code == 0
    assert there.read_bytes() == b"alpha"


def test_extract_writes_every_file(packed: Path, tmp_path: Path) -> None:
    done = archive("extract", packed, tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert files_below(tmp_path / "out") == FILES


def test_extract_writes_what_is_selected(packed: Path, tmp_path: Path) -> None:
    assert archive("extract", packed, tmp_path / "one", "--prefix", "img/").code == 0
    assert sorted(files_below(tmp_path / "one")) == ["img/1.png", "img/2.png"]
    assert archive("extract", packed, tmp_path / "two", "--glob", "*.txt").code == 0
    assert sorted(files_below(tmp_path / "two")) == ["a.txt", "img.txt"]


def test_extract_refuses_names_that_would_escape_and_writes_the_others(tmp_path: Path) -> None:
    packed = write(tmp_path / "a.des", dict.fromkeys(HOSTILE, b"evil") | {"good": b"good"})
    done = archive("extract", packed, tmp_path / "in" / "out")
    assert done.code == 1
    assert all(repr(name) in done.err for name in HOSTILE)
    assert f"1 file, 4 bytes; {len(HOSTILE)} problems" in done.out
    assert files_below(tmp_path / "in") == {"out/good": b"good"}
    assert not (tmp_path / "up").exists()


def test_extract_never_writes_behind_a_link(tmp_path: Path) -> None:
    packed = write(tmp_path / "a.des", {"link/x/file": b"evil", "link/file": b"evil", "good": b"good"})
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    done = archive("extract", packed, tmp_path / "out", "--force")
    assert done.code == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "out" / "good").read_bytes() == b"good"


def test_extract_forced_replaces_a_link_and_not_what_it_leads_to(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").symlink_to(tmp_path / "mine")
    assert archive("extract", packed, tmp_path / "out").code == 1
    assert archive("extract", packed, tmp_path / "out", "--force").code == 0
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"alpha"


def test_extract_leaves_existing_files_alone_unless_forced(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_bytes(b"mine")
    done = archive("extract", packed, out)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert files_below(out) == FILES | {"a.txt": b"mine"}
    assert archive("extract", packed, out, "--force").code == 0
    assert files_below(out) == FILES


def test_extract_writes_a_name_that_is_file_and_folder_once_and_tells(tmp_path: Path) -> None:
    packed = write(tmp_path / "a.des", {"x": b"file", "x/y": b"below"})
    done = archive("extract", packed, tmp_path / "out")
    assert done.code == 1
    assert "'x/y'" in done.err
    assert files_below(tmp_path / "out") == {"x": b"file"}


def test_damaged_file_is_named_and_never_written(tmp_path: Path) -> None:
    packed = write(tmp_path / "a.des", FILES)
    damage(packed, "img/2.png")
    done = archive("extract", packed, tmp_path / "out")
    assert done.code == 1
    assert "'img/2.png'" in done.err
    assert files_below(tmp_path / "out") == {name: data for name, data in FILES.items() if name != "img/2.png"}
    done = archive("cat", packed, "a.txt", "img/2.png")
    assert (done.code, done.out) == (1, "alpha")


def test_external_files_come_out_like_the_others(tmp_path: Path) -> None:
    with DesWriter(tmp_path / "a.des", big_files=LocalFolder(tmp_path)) as writer:
        writer.add_file("big", b"outside", force_external=True)
        writer.add_file("small", b"inside")
    assert archive("extract", tmp_path / "a.des", tmp_path / "out").code == 0
    assert files_below(tmp_path / "out") == {"big": b"outside", "small": b"inside"}
    (tmp_path / "_bigFiles" / "big").unlink()
    done = archive("extract", tmp_path / "a.des", tmp_path / "again")
    assert done.code == 1
    assert "'big'" in done.err
    assert files_below(tmp_path / "again") == {"small": b"inside"}


def test_info_describes_the_archive(any_version: Path) -> None:
    found = json.loads(archive("info", any_version, "--json").out)
    assert (found["file_count"], found["data_bytes"], found["external_count"]) == (2, 8, 0)
    assert found["archive_bytes"] == any_version.stat().st_size
    assert ("hint" in found) == (found["version"] == 2)
    assert "file count" in archive("info", any_version).out


def test_sql_sees_the_catalogue(any_version: Path) -> None:
    asked = archive("sql", any_version, "select name, size from files order by size desc", "--format", "json")
    assert asked.code == 0, asked.err
    assert [json.loads(line) for line in asked.out.splitlines()] == [
        {"name": "a", "size": 5},
        {"name": "b", "size": 3},
    ]
    asked = archive("sql", any_version, "select name, metadata from files order by name", "--format", "csv")
    header, *rows = csv.reader(asked.out.splitlines())
    assert header == ["name", "metadata"]
    assert [json.loads(meta)["of"] for _, meta in rows] == ["a", "b"]
    assert "│ a " in archive("sql", any_version, "from files").out


def test_sql_finds_an_archive_whose_path_looks_like_a_pattern(tmp_path: Path) -> None:
    packed = write(tmp_path / "o'a[1]*.des", {"a": b"1"})
    assert archive("sql", packed, "select count(*) as n from files", "--format", "csv").out == "n\n1\n"


def test_sql_that_is_wrong_is_one_line(packed: Path) -> None:
    done = archive("sql", packed, "select nothing from files")
    assert done.code == 2
    assert "nothing" in done.err
    assert done.err.count("\n") == 1


def test_sql_without_duckdb_says_what_to_install(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    done = archive("sql", packed, "from files")
    assert done.code == 2
    assert "des-platform[sql]" in done.err


@pytest.mark.parametrize("command", [("ls",), ("info",), ("cat", "x"), ("extract", "out"), ("sql", "from files")])
def test_no_such_archive_is_one_line_and_code_2(command: tuple[str, ...], tmp_path: Path) -> None:
    done = archive(command[0], tmp_path / "gone.des", *command[1:])
    assert done.code == 2
    assert done.err == f"des: {tmp_path}/gone.des: No such file or directory\n"


def test_what_is_no_archive_is_one_line_and_code_1(tmp_path: Path) -> None:
    (tmp_path / "a.des").write_bytes(b"x" * 1000)
    done = archive("ls", tmp_path / "a.des")
    assert (done.code, done.err.count("\n")) == (1, 1)


@pytest.mark.parametrize("address", ["s3://", "s3://Bad_Bucket/x", "file://host/x", "nonsense://x/y", "des://a.des!/x"])
def test_address_that_means_nothing_is_named(address: str) -> None:
    done = archive("ls", address)
    assert done.code == 2
    assert address in done.err


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
