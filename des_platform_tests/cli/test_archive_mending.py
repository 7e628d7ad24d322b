"""`des archive` with `verify`, `recover`, `compact` and `convert`: what scripts learn from their exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DesReader
from des_platform_tests.cli.archive_command import archive, listed
from des_platform_tests.cli.test_archive_reading import damage, write

if TYPE_CHECKING:
    from pathlib import Path

FILES = {f"file-{number:03}": bytes([number]) * 1000 for number in range(50)}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return write(tmp_path / "a.des", FILES)


def test_verify_says_that_archives_are_whole(packed: Path, tmp_path: Path) -> None:
    old = write(tmp_path / "old.des", FILES, version=1)
    done = archive("verify", packed, old)
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first.startswith(f"{packed}: ok, version 2, 50 files")
    assert second.startswith(f"{old}: ok, version 1, 50 files")


def test_verify_names_what_is_damaged_and_goes_on(packed: Path, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.des", FILES)
    damage(broken, "file-007")
    done = archive("verify", broken, packed)
    assert done.code == 1
    assert "file-007" in done.err
    assert f"{broken}: DAMAGED" in done.out
    assert f"{packed}: ok" in done.out


def test_verify_of_a_missing_archive_goes_on_with_the_others(packed: Path, tmp_path: Path) -> None:
    done = archive("verify", tmp_path / "gone", packed)
    assert done.code == 2
    assert "gone: No such file" in done.err
    assert f"{packed}: ok" in done.out


def test_recover_brings_back_a_torn_archive(packed: Path, tmp_path: Path) -> None:
    with DesReader(packed) as reader:
        catalogue = max(entry.offset + entry.stored_size for entry in reader.iter_entries())
    torn = tmp_path / "torn.des"
    torn.write_bytes(packed.read_bytes()[: catalogue + 10])
    assert archive("ls", torn).code == 1
    done = archive("recover", torn, "-o", tmp_path / "whole.des")
    assert "50 files recovered, 0 known to be lost" in done.out
    assert listed(tmp_path / "whole.des") == sorted(FILES)
    assert archive("verify", tmp_path / "whole.des").code == 0


def test_recover_names_what_is_lost(packed: Path, tmp_path: Path) -> None:
    damage(packed, "file-007")
    done = archive("recover", packed, "-o", tmp_path / "whole.des")
    assert done.code == 1
    assert "lost: 'file-007'" in done.err
    assert listed(tmp_path / "whole.des") == sorted(FILES.keys() - {"file-007"})


def test_recover_from_what_never_was_an_archive_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    done = archive("recover", tmp_path / "noise", "-o", tmp_path / "whole.des")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["noise"]


def test_recover_leaves_an_existing_archive_alone(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    assert archive("recover", packed, "-o", tmp_path / "there").code == 2
    assert (tmp_path / "there").read_bytes() == b"mine"


def test_compact_makes_one_generation_in_place(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "more").write_bytes(b"more")
    assert archive("pack", tmp_path / "more", "-o", packed, "--append").code == 0
    done = archive("compact", packed)
    assert done.code == 0, done.err
    assert "51 files, 0 deleted ones dropped" in done.out
    assert json.loads(archive("info", packed, "--json").out)["generation"] == "1"
    assert archive("verify", packed).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.des", "more"]


def test_compact_to_another_place_leaves_the_archive(packed: Path, tmp_path: Path) -> None:
    before = packed.read_bytes()
    assert archive("compact", packed, "-o", tmp_path / "b.des").code == 0
    assert packed.read_bytes() == before
    assert listed(tmp_path / "b.des") == sorted(FILES)


def test_compact_of_version_1_says_what_it_is(tmp_path: Path) -> None:
    old = write(tmp_path / "old.des", FILES, version=1)
    before = old.read_bytes()
    assert archive("compact", old).code == 2
    assert old.read_bytes() == before


def test_convert_there_and_back_keeps_files_and_metadata(packed: Path, tmp_path: Path) -> None:
    assert archive("convert", packed, "-o", tmp_path / "one.des", "--to", "1").code == 0
    done = archive("convert", tmp_path / "one.des", "-o", tmp_path / "two.des", "--to", "2")
    assert (done.code, done.out) == (0, f"{tmp_path}/two.des: 50 files, version 2\n")
    with DesReader(tmp_path / "one.des") as one, DesReader(tmp_path / "two.des") as two:
        assert (one.version, two.version) == (1, 2)
        for reader in (one, two):
            assert {name: reader.get_file(name) for name in reader.list_files()} == FILES
            assert reader.get_meta("file-001")["of"] == "f"


def test_convert_to_version_1_refuses_names_that_it_cannot_have(tmp_path: Path) -> None:
    packed = write(tmp_path / "a.des", {"a/b": b"1"})
    done = archive("convert", packed, "-o", tmp_path / "one.des", "--to", "1")
    assert done.code == 1
    assert "'a/b'" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.des"]


@pytest.mark.parametrize("command", [("compact",), ("convert", "--to", "2")])
def test_same_archive_gives_the_same_bytes_when_told_id_and_time(
    command: tuple[str, ...], packed: Path, tmp_path: Path
) -> None:
    for name in ("b.des", "c.des"):
        told = ("-o", tmp_path / name, "--archive-id", "7", "--created", "2026-03-01")
        assert archive(command[0], packed, *command[1:], *told).code == 0
    assert (tmp_path / "b.des").read_bytes() == (tmp_path / "c.des").read_bytes()
    found = json.loads(archive("info", tmp_path / "b.des", "--json").out)
    assert (found["archive_id"], found["created"]) == ("0x0000000000000007", "2026-03-01T00:00:00+00:00")
