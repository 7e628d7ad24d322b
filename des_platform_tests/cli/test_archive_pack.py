"""`des archive pack`: which files, under which names, and what happens to those that cannot be packed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DesReader
from des_platform_tests.cli.archive_command import archive, listed

if TYPE_CHECKING:
    from pathlib import Path

FIXED = ("--archive-id", "7", "--created", "2026-03-01T12:00:00Z")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "b.txt").write_bytes(b"bee")
    (folder / "sub" / "a.json").write_bytes(b'{"a":1}')
    (folder / "sub" / "deep" / "z").write_bytes(b"")
    return folder


def test_files_of_a_folder_are_named_from_the_folder_on(folder: Path, tmp_path: Path) -> None:
    done = archive("pack", folder, "-o", tmp_path / "a.des")
    assert (done.code, done.err) == (0, "")
    assert "3 files, 10 bytes" in done.out
    with DesReader(tmp_path / "a.des") as reader:
        assert {name: reader.get_file(name) for name in reader.list_files()} == {
            "b.txt": b"bee",
            "sub/a.json": b'{"a":1}',
            "sub/deep/z": b"",
        }


def test_several_folders_and_files_go_into_one_archive(folder: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.bin"
    single.write_bytes(b"1")
    assert archive("pack", folder / "sub", single, "-o", tmp_path / "a.des").code == 0
    assert listed(tmp_path / "a.des") == ["a.json", "deep/z", "single.bin"]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_list_on_standard_input_names_files(folder: Path, tmp_path: Path, separator: bytes) -> None:
    paths = [str(folder / "b.txt").encode(), str(folder / "sub" / "a.json").encode()]
    options = ["-0"] if separator == b"\0" else []
    done = archive("pack", "-", "-o", tmp_path / "a.des", *options, stdin=separator.join(paths) + separator)
    assert done.code == 0, done.err
    assert listed(tmp_path / "a.des") == [f"{folder}/b.txt".lstrip("/"), f"{folder}/sub/a.json".lstrip("/")]


def test_manifest_gives_names_metadata_and_columns(folder: Path, tmp_path: Path) -> None:
    entry = {"path": str(folder / "b.txt"), "name": "renamed/ü.txt", "meta": {"camera": "left", "n": 3}}
    manifest = tmp_path / "manifest"
    manifest.write_text(f"{json.dumps(entry)}\n\n{json.dumps({'path': str(folder / 'sub/a.json')})}\n")
    done = archive("pack", "--manifest", manifest, "-o", tmp_path / "a.des", "--column", "camera=string")
    assert done.code == 0, done.err
    with DesReader(tmp_path / "a.des") as reader:
        assert reader.get_meta("renamed/ü.txt") == {"camera": "left", "n": 3, "size": 3}
    asked = archive("sql", tmp_path / "a.des", "select name from files where camera = 'left'", "--format", "csv")
    assert asked.out == "name\nrenamed/ü.txt\n"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{"path": 1}', "path and name must be strings"),
        ('{"path": "x", "meta": [1]}', "must be a JSON object"),
        ('{"path": "x", "size": 1}', "unknown keys size"),
        ('{"path"', "no JSON"),
        ("../outside", "makes no name"),
        ("/", "makes no name"),
    ],
)
def test_entry_of_a_list_that_means_nothing_is_told_with_its_number(
    entry: str, said: str, folder: Path, tmp_path: Path
) -> None:
    good = str(folder / "b.txt")
    done = archive("pack", "-", "-o", tmp_path / "a.des", stdin=f"{good}\n{entry}\n".encode())
    assert done.code == 1
    assert "entry 2 of the list" in done.err
    assert said in done.err
    assert listed(tmp_path / "a.des") == [good.lstrip("/")]


def test_same_files_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a.des", "b.des"):
        assert archive("pack", folder, "-o", tmp_path / name, *FIXED).code == 0
    assert (tmp_path / "a.des").read_bytes() == (tmp_path / "b.des").read_bytes()


def test_source_date_epoch_is_the_time_of_creation(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert archive("pack", folder, "-o", tmp_path / "a.des").code == 0
    assert json.loads(archive("info", tmp_path / "a.des", "--json").out)["created"] == "2001-09-09T01:46:40+00:00"


def test_link_is_followed_inside_the_folder_and_never_out_of_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"hush")
    (folder / "inside").symlink_to("b.txt")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to("gone")
    done = archive("pack", folder, "-o", tmp_path / "a.des")
    assert done.code == 1
    assert all(name in done.err for name in ("outside", "loop", "nowhere"))
    assert done.err.count("\n") == 3
    assert listed(tmp_path / "a.des") == ["b.txt", "inside", "sub/a.json", "sub/deep/z"]
    assert b"hush" not in (tmp_path / "a.des").read_bytes()


def test_what_is_no_regular_file_is_told_and_the_others_are_packed(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    done = archive("pack", folder, "-o", tmp_path / "a.des")
    assert done.code == 1
    assert "pipe: it is no regular file" in done.err
    assert "1 problem" in done.out
    assert listed(tmp_path / "a.des") == ["b.txt", "sub/a.json", "sub/deep/z"]


def test_file_that_is_gone_is_told_and_the_others_are_packed(folder: Path, tmp_path: Path) -> None:
    done = archive("pack", "-", "-o", tmp_path / "a.des", stdin=f"{folder}/gone\n{folder}/b.txt\n".encode())
    assert done.code == 1
    assert f"{folder}/gone: No such file or directory" in done.err
    assert len(listed(tmp_path / "a.des")) == 1


def test_name_that_is_no_utf8_is_told_and_the_others_are_packed(folder: Path, tmp_path: Path) -> None:
    (folder / os.fsdecode(b"bad\xff")).write_bytes(b"x")
    done = archive("pack", folder, "-o", tmp_path / "a.des")
    assert done.code == 1
    assert "UTF-8" in done.err
    assert listed(tmp_path / "a.des") == ["b.txt", "sub/a.json", "sub/deep/z"]


def test_second_file_of_a_name_is_told_by_name(folder: Path, tmp_path: Path) -> None:
    done = archive("pack", folder, folder / "b.txt", "-o", tmp_path / "a.des")
    assert done.code == 1
    assert "'b.txt' is already in the archive" in done.err
    assert "3 files, 10 bytes; 1 problem" in done.out


def test_archive_does_not_hold_itself(folder: Path) -> None:
    for _ in range(2):
        assert archive("pack", folder, "-o", folder / "a.des", "--force").code == 0
        assert listed(folder / "a.des") == ["b.txt", "sub/a.json", "sub/deep/z"]


def test_existing_archive_is_left_as_it_is_unless_forced(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.des"
    target.write_bytes(b"precious")
    done = archive("pack", folder, "-o", target)
    assert (done.code, target.read_bytes()) == (2, b"precious")
    assert str(target) in done.err
    assert archive("pack", folder, "-o", target, "--force").code == 0
    assert len(listed(target)) == 3


def test_append_adds_a_generation(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.des"
    assert archive("pack", folder, "-o", target, *FIXED).code == 0
    (folder / "new").write_bytes(b"new")
    done = archive("pack", folder / "new", folder / "b.txt", "-o", target, "--append")
    assert done.code == 1  # b.txt is in it already
    assert "1 file, 3 bytes; 1 problem" in done.out
    assert listed(target) == ["b.txt", "new", "sub/a.json", "sub/deep/z"]
    found = json.loads(archive("info", target, "--json").out)
    assert (found["generation"], found["archive_id"]) == ("2", "0x0000000000000007")
    assert archive("verify", target).code == 0


def test_nothing_packed_leaves_no_archive(folder: Path, tmp_path: Path) -> None:
    done = archive("pack", "-", "-o", tmp_path / "out" / "a.des", stdin=b"/nowhere/at/all\n")
    assert done.code == 1
    assert "nothing was packed" in done.err
    assert list((tmp_path / "out").iterdir()) == []


def test_empty_folder_makes_an_empty_archive(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert archive("pack", tmp_path / "empty", "-o", tmp_path / "a.des").code == 0
    assert listed(tmp_path / "a.des") == []


def test_version_1_takes_what_it_can_name(folder: Path, tmp_path: Path) -> None:
    done = archive("pack", folder, "-o", tmp_path / "a.des", "--format", "1")
    assert done.code == 1
    assert "sub/a.json" in done.err
    assert listed(tmp_path / "a.des") == ["b.txt"]
    assert json.loads(archive("info", tmp_path / "a.des", "--json").out)["version"] == 1


def test_big_files_become_objects_beside_the_archive(folder: Path, tmp_path: Path) -> None:
    (folder / "big").write_bytes(b"x" * 1000)
    target = tmp_path / "out" / "a.des"
    assert archive("pack", folder, "-o", target, "--big-files", "1000").code == 0
    assert (tmp_path / "out" / "_bigFiles" / "big").read_bytes() == b"x" * 1000
    assert archive("cat", target, "big").out == "x" * 1000
    assert "x big" in archive("ls", target, "-l").out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nowhere-at-all",),
        (".", "--column", "camera"),
        (".", "--column", "camera=text"),
        (".", "--archive-id", "x"),
        (".", "--archive-id", str(1 << 64)),
        (".", "--created", "yesterday"),
        (".", "--format", "1", "--level", "3"),
        (".", "--format", "1", "--append"),
        (".", "--append"),
        (".", "--append", "--column", "a=string"),
        ("--manifest", "nowhere-at-all"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = archive("pack", *arguments, "-o", tmp_path / "a.des")
    assert done.code == 2
    assert done.err.startswith("des: ")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
