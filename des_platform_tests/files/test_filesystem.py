"""`des://` through fsspec, and through those that open files by its means."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from des_platform.archive import CorruptArchive, DesWriter, FileSink, LocalFolder
from des_platform.files.filesystem import DesFileSystem
from des_platform.objectstore import Buckets, PreconditionFailed, UnsupportedByStore
from des_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = {
    "top.csv": b"k,v\n1,2\n",
    "x/a.csv": b"k,v\n3,4\n",
    "x/b.csv": b"k,v\n5,6\n",
    "x/y/deep.bin": bytes(range(256)) * 100,
    "x.json": b'[{"k":1}]',
}


def write(path: Path, files: Mapping[str, bytes], version: int = 2, *, replace: bool = False) -> str:
    """Write an archive and return the address of its root."""
    with DesWriter(FileSink(path, replace=replace), format_version=1 if version == 1 else 2) as writer:
        for name, data in files.items():
            writer.add_file(name, data)
    return f"des://{path}!/"


@pytest.fixture
def fs() -> DesFileSystem:
    return DesFileSystem(skip_instance_cache=True)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return write(tmp_path / "a.des", FILES)


def names(root: str, found: list[str]) -> list[str]:
    """Names without the archive's address, each of which must start with it."""
    start = root.removeprefix("des://")
    assert all(name.startswith(start) for name in found), found
    return [name.removeprefix(start) for name in found]


def test_fsspec_knows_the_protocol() -> None:
    assert isinstance(fsspec.filesystem("des"), DesFileSystem)


def test_file_opens_by_its_address(root: str) -> None:
    with fsspec.open(f"{root}x/a.csv") as file:
        assert file.read() == b"k,v\n3,4\n"
    with fsspec.open(f"{root}x/a.csv", "rt") as text:
        assert text.readline() == "k,v\n"


def test_opened_file_can_be_sought_and_knows_its_name(fs: DesFileSystem, root: str) -> None:
    with fs.open(f"{root}x/y/deep.bin") as file:
        file.seek(-2, io.SEEK_END)
        assert file.read() == b"\xfe\xff"
        assert (file.size, file.mode, file.full_name) == (25_600, "rb", f"{root}x/y/deep.bin")
        assert not file.writable()


def test_directories_are_what_names_make(fs: DesFileSystem, root: str) -> None:
    assert names(root, fs.ls(root, detail=False)) == ["top.csv", "x", "x.json"]
    assert names(root, fs.ls(f"{root}x/", detail=False)) == ["x/a.csv", "x/b.csv", "x/y"]
    assert [(info["type"], info["size"]) for info in fs.ls(f"{root}x")] == [("file", 8), ("file", 8), ("directory", 0)]
    assert names(root, fs.ls(f"{root}top.csv", detail=False)) == ["top.csv"]
    assert fs.isdir(root)
    assert fs.isdir(f"{root}x/y")
    assert fs.isfile(f"{root}x.json")
    assert not fs.exists(f"{root}x/gone")
    assert not fs.exists(f"{root}to")
    assert fs.du(f"{root}x") == 25_616


def test_archive_without_a_name_is_its_root(fs: DesFileSystem, root: str) -> None:
    for address in (root, root.removesuffix("/"), root.removesuffix("!/")):
        assert fs.find(address) == fs.find(root)


def test_find_and_glob_see_every_level(fs: DesFileSystem, root: str) -> None:
    assert names(root, fs.find(root)) == sorted(FILES)
    assert names(root, fs.find(f"{root}x")) == ["x/a.csv", "x/b.csv", "x/y/deep.bin"]
    assert names(root, fs.find(f"{root}x", maxdepth=1, withdirs=True)) == ["x", "x/a.csv", "x/b.csv", "x/y"]
    assert names(root, fs.find(f"{root}x.json")) == ["x.json"]
    assert fs.find(f"{root}gone") == []
    assert names(root, fs.glob(f"{root}*.csv")) == ["top.csv"]
    assert names(root, fs.glob(f"{root}**/*.csv")) == ["top.csv", "x/a.csv", "x/b.csv"]
    assert names(root, fs.glob(f"{root}x/[a-b].csv")) == ["x/a.csv", "x/b.csv"]
    assert [found[1:] for found in fs.walk(root)] == [
        (["x"], ["top.csv", "x.json"]),
        (["y"], ["a.csv", "b.csv"]),
        ([], ["deep.bin"]),
    ]


def test_every_name_that_is_found_opens_with_and_without_protocol(fs: DesFileSystem, root: str) -> None:
    for name in fs.find(root):
        assert fs.cat_file(name) == fs.cat_file(fs.unstrip_protocol(name)) == FILES[names(root, [name])[0]]


def test_name_may_be_file_and_directory(fs: DesFileSystem, tmp_path: Path) -> None:
    root = write(tmp_path / "a.des", {"x": b"file", "x/y": b"below"})
    assert [info["type"] for info in fs.ls(root)] == ["directory", "file"]
    assert fs.cat_file(f"{root}x") == b"file"
    assert names(root, fs.ls(f"{root}x", detail=False)) == ["x/y"]
    assert names(root, fs.find(root)) == ["x", "x/y"]


def test_odd_names_are_found_and_opened(fs: DesFileSystem, tmp_path: Path) -> None:
    files = {"/lead": b"1", "a//b": b"2", "q!/w": b"3", "end!": b"4", "s3://x": b"5", "../up": b"6", "ü ?#%20": b"7"}
    root = write(tmp_path / "a.des", files)
    found = fs.find(root)
    assert {name: fs.cat_file(f"{root}{name}") for name in names(root, found)} == files
    walked = [f"{path}/{name}" for path, _, below in fs.walk(root) for name in below]
    assert len(walked) == len(files)


def test_mark_of_a_directory_is_a_directory(fs: DesFileSystem, tmp_path: Path) -> None:
    root = write(tmp_path / "a.des", {"empty/": b"", "full/": b"", "full/a": b"1"})
    assert [info["type"] for info in fs.ls(root)] == ["directory", "directory"]
    assert fs.ls(f"{root}empty") == []
    assert names(root, fs.find(root)) == ["full/a"]


def test_ranges_are_cut_from_the_file(fs: DesFileSystem, root: str) -> None:
    assert fs.cat_file(f"{root}top.csv", 4, 5) == b"1"
    assert fs.cat_file(f"{root}top.csv", -4, None) == b"1,2\n"
    paths = [f"{root}top.csv", f"{root}x/a.csv", f"{root}gone", f"{root}top.csv"]
    *parts, missing, last = fs.cat_ranges(paths, [0, 4, 0, -2], [1, 5, 9, None])
    assert (parts, last) == ([b"k", b"3"], b"2\n")
    assert isinstance(missing, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 1, on_error="raise")


def test_many_files_of_several_archives_are_read_at_once(fs: DesFileSystem, root: str, tmp_path: Path) -> None:
    other = write(tmp_path / "old.des", {"flat": b"old"}, version=1)
    wanted = {f"{root}x/a.csv": b"k,v\n3,4\n", f"{other}flat": b"old", f"{root}top.csv": b"k,v\n1,2\n"}
    assert fs.cat(list(wanted)) == {address.removeprefix("des://"): data for address, data in wanted.items()}
    assert set(fs.cat(f"{root}x", recursive=True)) == set(fs.find(f"{root}x"))
    with pytest.raises(FileNotFoundError):
        fs.cat([f"{root}gone", f"{root}top.csv"])
    assert len(fs.cat([f"{root}gone", f"{root}top.csv"], on_error="omit")) == 1


def test_one_damaged_file_does_not_hide_the_others(fs: DesFileSystem, tmp_path: Path) -> None:
    root = write(tmp_path / "a.des", {"good": b"good" * 10, "bad": b"a bad one"})
    data = (tmp_path / "a.des").read_bytes()
    (tmp_path / "a.des").write_bytes(data.replace(b"a bad one", b"a bed one"))
    found = fs.cat([f"{root}good", f"{root}bad"], on_error="return")
    bad, good = found.values()
    assert good == b"good" * 10
    assert isinstance(bad, CorruptArchive)


@pytest.mark.parametrize("name", ["gone", "x/gone"])
def test_what_is_not_there_is_not_found(fs: DesFileSystem, root: str, name: str) -> None:
    for call in (fs.open, fs.info, fs.cat_file, fs.ls):
        with pytest.raises(FileNotFoundError):
            call(f"{root}{name}")


def test_directory_does_not_open(fs: DesFileSystem, root: str) -> None:
    with pytest.raises(IsADirectoryError):
        fs.open(f"{root}x")


@pytest.mark.parametrize("archive", ["gone.des", "folder", "nonsense://x", "s3://"])
def test_archive_that_is_not_there_is_not_found(fs: DesFileSystem, archive: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    address = archive if "://" in archive else f"{tmp_path}/{archive}"
    with pytest.raises(FileNotFoundError):
        fs.ls(f"des://{address}!/")


def test_broken_archive_is_an_error_and_not_an_absence(fs: DesFileSystem, tmp_path: Path) -> None:
    (tmp_path / "a.des").write_bytes(b"x" * 500)
    with pytest.raises(CorruptArchive):
        fs.exists(f"des://{tmp_path}/a.des!/x")


def test_nothing_can_be_written(fs: DesFileSystem, root: str, tmp_path: Path) -> None:
    before = (tmp_path / "a.des").read_bytes()
    attempts: list[Any] = [
        lambda: fs.open(f"{root}new", "wb"),
        lambda: fs.pipe(f"{root}new", b""),
        lambda: fs.rm(f"{root}top.csv"),
        lambda: fs.mkdir(f"{root}new"),
        lambda: fs.makedirs(f"{root}new"),
        lambda: fs.mv(f"{root}top.csv", f"{root}new"),
        lambda: fs.cp(f"{root}top.csv", f"{root}new"),
        lambda: fs.put(str(tmp_path), f"{root}new"),
        lambda: fs.touch(f"{root}new"),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionError):
            attempt()
    assert (tmp_path / "a.des").read_bytes() == before


def test_files_are_downloaded_and_names_do_not_lead_out(fs: DesFileSystem, tmp_path: Path) -> None:
    root = write(tmp_path / "a.des", {"x/a": b"1", "x/y/b": b"2"})
    fs.get(root, str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out" / "x" / "y" / "b").read_bytes() == b"2"
    hostile = write(tmp_path / "b.des", {"x/../../../up": b"evil"})
    # Newer versions of fsspec refuse by themselves, before they ask for the file.
    with pytest.raises((PermissionError, ValueError)):
        fs.get(hostile, str(tmp_path / "in" / "out"), recursive=True)
    with pytest.raises(PermissionError):
        fs.get_file(f"{hostile}x/../../../up", str(tmp_path / "in" / "up"))
    assert not (tmp_path / "up").exists()


def test_archive_that_was_replaced_is_opened_anew(fs: DesFileSystem, root: str, tmp_path: Path) -> None:
    key = fs.ukey(f"{root}top.csv")
    assert fs.cat_file(f"{root}top.csv") == FILES["top.csv"]
    write(tmp_path / "a.des", {"top.csv": b"k,v\n9,9\n"}, replace=True)
    assert fs.cat_file(f"{root}top.csv") == b"k,v\n9,9\n"
    assert fs.ukey(f"{root}top.csv") != key


def test_more_archives_than_stay_open_can_be_read(tmp_path: Path) -> None:
    fs = DesFileSystem(open_archives=2, skip_instance_cache=True)
    roots = [write(tmp_path / f"{number}.des", {"a": b"%d" % number}) for number in range(5)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: fs.cat_file(f"{roots[number % 5]}a"), range(200)))
    assert found == [b"%d" % (number % 5) for number in range(200)]


def test_external_files_come_from_where_they_are_stored(fs: DesFileSystem, tmp_path: Path) -> None:
    with DesWriter(tmp_path / "a.des", big_files=LocalFolder(tmp_path)) as writer:
        writer.add_file("big", b"outside", force_external=True)
    assert fs.cat_file(f"des://{tmp_path}/a.des!/big") == b"outside"
    assert fs.info(f"des://{tmp_path}/a.des!/big")["size"] == 7


def test_archive_in_memory_of_another_filesystem_is_read(fs: DesFileSystem, root: str, tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/m/a.des", (tmp_path / "a.des").read_bytes())
    assert fs.find("des://memory://m/a.des!/x") == [
        "memory://m/a.des!/x/a.csv",
        "memory://m/a.des!/x/b.csv",
        "memory://m/a.des!/x/y/deep.bin",
    ]
    with fsspec.open("des://memory://m/a.des!/top.csv") as file:
        assert file.read() == FILES["top.csv"]


def test_archive_on_s3_is_read_and_its_replacement_noticed(
    fs: DesFileSystem, root: str, tmp_path: Path, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    bucket = Buckets(Settings(store_url="s3://", s3_endpoint=moto_endpoint)).create("bucket")
    many = {f"n{number:04}": os.urandom(1000) for number in range(500)}
    write(tmp_path / "many.des", many)
    bucket.put_file("k/a.des", tmp_path / "many.des")
    address = "des://s3://bucket/k/a.des!/"
    assert len(fs.ls(address)) == 500
    assert fs.cat_file(f"{address}n0007") == many["n0007"]
    bucket.put_file("k/a.des", tmp_path / "a.des")
    with pytest.raises(PreconditionFailed):
        fs.cat_file(f"{address}n0008")
    assert fs.cat_file(f"{address}top.csv") == FILES["top.csv"]
    with pytest.raises(FileNotFoundError):
        fs.ls("des://s3://bucket/gone.des!/")


def test_s3_after_a_fork_is_refused_and_not_waited_for(
    root: str, tmp_path: Path, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    bucket = Buckets(Settings(store_url="s3://", s3_endpoint=moto_endpoint)).create("bucket")
    bucket.put_file("a.des", tmp_path / "a.des")
    dataset = Images("des://s3://bucket/a.des!/")
    with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(UnsupportedByStore, match="forkserver"):
        pool.apply(dataset.__getitem__, (0,))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(dataset.__getitem__, (0,)) == FILES["top.csv"]


class Images:
    """A dataset as data loaders want it: indexed, and sent to worker processes."""

    def __init__(self, root: str) -> None:
        self.fs = fsspec.filesystem("des")
        self.paths = self.fs.find(root)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> bytes:
        return bytes(self.fs.cat_file(self.paths[index]))


def test_filesystem_survives_pickling(fs: DesFileSystem, root: str) -> None:
    fs.ls(root)
    assert pickle.loads(pickle.dumps(fs)).find(root) == fs.find(root)  # noqa: S301 - our own


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_dataset_is_read_by_worker_processes(root: str, method: str) -> None:
    dataset = Images(root)
    expected = [dataset[index] for index in range(len(dataset))]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(dataset.__getitem__, range(len(dataset))) == expected


def test_pandas_reads_members(root: str) -> None:
    pandas = pytest.importorskip("pandas")
    assert pandas.read_csv(f"{root}x/a.csv").to_dict("list") == {"k": [3], "v": [4]}
    assert pandas.read_json(f"{root}x.json").to_dict("list") == {"k": [1]}


@pytest.fixture
def tables(tmp_path: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = {}
    for number in range(2):
        data = io.BytesIO()
        pq.write_table(pa.table({"n": [number, number + 10], "s": ["a", "b"]}), data)
        files[f"t/day={number}/part.parquet"] = data.getvalue()
    return write(tmp_path / "tables.des", files)


def test_pyarrow_reads_members_as_a_dataset(fs: DesFileSystem, tables: str) -> None:
    import pyarrow.dataset as ds

    found = ds.dataset(f"{tables}t".removeprefix("des://"), filesystem=fs, format="parquet", partitioning="hive")
    assert sorted(found.to_table(filter=ds.field("day") == 1).to_pydict()["n"]) == [1, 11]


def test_polars_reads_members(fs: DesFileSystem, tables: str, root: str) -> None:
    import polars as pl

    with fs.open(f"{tables}t/day=1/part.parquet") as file:
        assert pl.read_parquet(file)["n"].to_list() == [1, 11]
    with fs.open(f"{root}top.csv") as file:
        assert pl.read_csv(file).to_dict(as_series=False) == {"k": [1], "v": [2]}


def test_duckdb_reads_members_by_pattern(fs: DesFileSystem, tables: str, root: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        assert connection.read_parquet(f"{tables}t/**/*.parquet").sum("n").fetchall() == [(22,)]
        assert connection.read_csv(f"{root}x/*.csv").sum("k").fetchall() == [(8,)]
