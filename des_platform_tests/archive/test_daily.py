from __future__ import annotations

from datetime import date
from itertools import count
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import DailyShardedDesStore, DesReader, iter_daily_des_files
from des_platform.naming import NameMinter, shard_of
from des_platform_tests.archive.conftest import names_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

DAY = date(2025, 11, 26)


def opened(base: Path, bits: int = 8, **options: Any) -> DailyShardedDesStore:
    return DailyShardedDesStore(
        base,
        mint=NameMinter("DES", 1).mint,
        shard_of=lambda name: shard_of(name, bits),
        day=DAY,
        shard_bits=bits,
        **options,
    )


@pytest.mark.parametrize("version", [1, 2])
def test_every_file_stands_in_the_archive_of_its_names_shard(tmp_path: Path, version: int) -> None:
    with opened(tmp_path, format_version=version) as store:
        added = [(*store.add_file(str(i).encode(), {"i": i}), i) for i in range(100)]
    for name, path, i in added:
        assert path == tmp_path / "2025-11-26" / f"{shard_of(name, 8):02x}.des"
        with DesReader(path) as reader:
            assert reader.get_file(name) == str(i).encode()
            assert reader.get_meta(name)["i"] == i
    assert list(iter_daily_des_files(tmp_path, DAY)) == sorted({path for _, path, _ in added})


@pytest.mark.parametrize(("bits", "digits"), [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_file_names_are_lower_case_hex_of_a_quarter_of_the_bits(tmp_path: Path, bits: int, digits: int) -> None:
    with opened(tmp_path, bits, format_version=1) as store:
        paths = {store.add_file(b"")[1] for _ in range(60)}
    assert all(len(path.stem) == digits and path.stem == path.stem.lower() for path in paths)
    assert len(paths) <= 1 << bits


def test_a_file_from_disk_may_keep_how_its_name_ends(tmp_path: Path) -> None:
    (tmp_path / "some.json").write_bytes(b"{}")
    with opened(tmp_path, filename_ext=".v1.des", format_version=1) as store:
        kept, path = store.add_file_from_path(tmp_path / "some.json", keep_ext=True)
        plain, _ = store.add_file_from_path(str(tmp_path / "some.json"), {"k": 1})
    assert kept.endswith(".json")
    assert not plain.endswith(".json")
    with DesReader(path) as reader:
        assert reader.get_file(kept) == b"{}"
    assert path in list(iter_daily_des_files(tmp_path, DAY, filename_ext=".v1.des"))


def test_an_exception_leaves_no_archives(tmp_path: Path) -> None:
    def fail_midway() -> None:
        with opened(tmp_path, format_version=1) as store:
            for i in range(20):
                store.add_file(str(i).encode())
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail_midway()
    assert names_in(tmp_path / "2025-11-26") == []
    assert list(iter_daily_des_files(tmp_path, DAY)) == []


def test_a_closed_store_takes_no_more(tmp_path: Path) -> None:
    store = opened(tmp_path, format_version=1)
    store.close()
    store.close()
    store.abort()
    with pytest.raises(RuntimeError, match="closed"):
        store.add_file(b"1")
    assert names_in(tmp_path) == []


def test_one_archive_that_cannot_be_published_drops_those_not_yet_published(tmp_path: Path) -> None:
    numbers = count()
    store = DailyShardedDesStore(
        tmp_path, mint=lambda _: f"n{next(numbers)}", shard_of=lambda name: int(name[1:]), day=DAY, format_version=1
    )
    paths = [store.add_file(b"1")[1] for _ in range(3)]
    paths[1].write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=paths[1].name):
        store.close()
    assert names_in(tmp_path / "2025-11-26") == [paths[0].name, paths[1].name]
    assert paths[1].read_bytes() == b"precious"


@pytest.mark.parametrize("shard", [-1, 256])
def test_a_shard_that_does_not_exist_is_refused(tmp_path: Path, shard: int) -> None:
    store = DailyShardedDesStore(tmp_path, mint=lambda _: "n", shard_of=lambda _: shard, day=DAY)
    with pytest.raises(ValueError, match="does not exist"):
        store.add_file(b"1")


@pytest.mark.parametrize(
    "wrong", [{"shard_bits": -1}, {"shard_bits": 17}, {"filename_ext": "des"}, {"filename_ext": "/x"}]
)
def test_settings_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    mint: Callable[[date], str] = lambda _: "n"  # noqa: E731
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DailyShardedDesStore(tmp_path, mint=mint, shard_of=lambda _: 0, day=DAY, **wrong)


def test_days_and_other_files_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "2025-11-26"
    folder.mkdir()
    for name in ("0f.des", "00.des", ".0123.des.tmp", "readme.des", "a0.txt"):
        (folder / name).write_bytes(b"")
    assert [path.name for path in iter_daily_des_files(tmp_path, DAY)] == ["00.des", "0f.des"]
    assert list(iter_daily_des_files(tmp_path, date(2025, 1, 1))) == []
