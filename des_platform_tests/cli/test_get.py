from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from des_platform.archive.v1.layout import FOOTER, FOOTER_MAGIC
from des_platform.catalog import containers
from des_platform_tests.cli.commands import complaint, des, des_bytes
from des_platform_tests.damage import flip, path_of
from des_platform_tests.platform import LANDING

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform

CONTENTS = {
    "empty": b"",
    "c++ ü [red].txt": b"small, and packed with others\r\n\0",
    "large.txt": b"the quick brown fox\n" * 10_000,
    "kept.bin": random.Random(1).randbytes(5000),  # noqa: S311 - no secret
}


@pytest.fixture
def packed(platform: Platform) -> Platform:
    for name, content in CONTENTS.items():
        platform.put(name, content)
    platform.run_all()
    return platform


def archive_of(platform: Platform, name: str) -> Path:
    with platform.catalog.begin() as connection:
        container = containers.by_id(connection, platform.rows()[name].container_id or 0)
    return path_of(platform.buckets.own, container.key)


def test_every_file_comes_back_under_either_of_its_names(packed: Platform, tmp_path: Path) -> None:
    rows = packed.rows()
    for name, content in CONTENTS.items():
        by_name = des("get", rows[name].name, "-o", tmp_path / "out")
        assert (by_name.returncode, by_name.stdout, by_name.stderr) == (0, "", "")
        assert (tmp_path / "out").read_bytes() == content
    for name in ("c++ ü [red].txt", "kept.bin"):
        by_key = des_bytes("get", f"{LANDING}/{rows[name].key}")
        assert (by_key.returncode, by_key.stdout, by_key.stderr) == (0, CONTENTS[name], b"")


def test_file_is_served_before_it_is_compressed_or_packed(platform: Platform) -> None:
    key = platform.put("new.txt", b"new")
    platform.find()
    platform.take_in()
    assert des("get", f"{LANDING}/{key}").stdout == "new"


@pytest.mark.parametrize("name", ["DES_20260301_(0123456789AB_CC)", "landing/things/[/missing].txt", ""])
def test_unknown_name_is_one_line_and_exit_code_1(platform: Platform, name: str, tmp_path: Path) -> None:
    done = des("get", name, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stdout == ""
    assert complaint(done) == (
        f"des: no file is catalogued as {name!r}; names look like DES_20260301_(0123456789AB_CC)"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["c++ ü [red].txt", "large.txt", "kept.bin"])
@pytest.mark.parametrize("damage", ["bit", "gone"])
def test_file_whose_bytes_are_damaged_is_refused_and_nothing_is_left(
    packed: Platform, name: str, damage: str, tmp_path: Path
) -> None:
    row = packed.rows()[name]
    if name == "large.txt":
        path = path_of(packed.buckets.own, row.object_key or "")
    elif name == "kept.bin":
        path = path_of(packed.buckets.bucket(LANDING), row.key)
    else:
        path = archive_of(packed, name)
    if damage == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        flip(path, content.index(CONTENTS[name]) if CONTENTS[name] in content else len(content) // 2)
    folder = tmp_path / "out"
    folder.mkdir()
    done = des("get", row.name, "-o", folder / "out")
    assert done.returncode == 2
    assert complaint(done)
    assert list(folder.iterdir()) == []


def test_earlier_version_stays_where_the_new_one_is_damaged(packed: Platform, tmp_path: Path) -> None:
    name = "c++ ü [red].txt"
    archive = archive_of(packed, name)
    flip(archive, archive.read_bytes().index(CONTENTS[name]))
    (tmp_path / "out").write_bytes(b"an earlier version")
    done = des("get", packed.rows()[name].name, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert (tmp_path / "out").read_bytes() == b"an earlier version"


def test_object_that_was_replaced_is_refused(packed: Platform, tmp_path: Path) -> None:
    row = packed.rows()["c++ ü [red].txt"]
    path = archive_of(packed, "c++ ü [red].txt")
    path.write_bytes(path.read_bytes() + b"more")
    done = des("get", row.name, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "not the version asked for" in complaint(done)
    assert not (tmp_path / "out").exists()


def test_archive_of_another_version_is_refused(platform: Platform) -> None:
    # A hint spares an archive of version 2 the look at its version.
    platform.dataset = platform.dataset.model_copy(update={"archive_version": 1})
    platform.put("empty", b"")
    platform.run_all()
    flip(archive_of(platform, "empty"), -FOOTER.size + len(FOOTER_MAGIC))
    done = des("get", platform.rows()["empty"].name)
    assert done.returncode == 2
    assert "version 17" in complaint(done)


@pytest.mark.parametrize("output", ["missing/out", "folder"])
def test_target_that_cannot_be_written_is_named(packed: Platform, output: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = des("get", packed.rows()["empty"].name, "-o", tmp_path / output)
    assert done.returncode == 2
    assert str(tmp_path / output) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_written_file_has_the_permissions_of_any_new_file(packed: Platform, tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    des("get", packed.rows()["empty"].name, "-o", tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_device_is_written_to_and_stays_a_device(packed: Platform) -> None:
    name = "kept.bin"
    assert des_bytes("get", packed.rows()[name].name, "-o", "/dev/stdout").stdout == CONTENTS[name]
