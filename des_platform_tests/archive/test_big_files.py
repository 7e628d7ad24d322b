from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from des_platform.archive import (
    CorruptArchive,
    DesReader,
    DesWriter,
    ExternalFile,
    ExternalObject,
    LocalFolder,
    MemorySource,
)
from des_platform_tests.archive.conftest import names_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BOTH_VERSIONS = pytest.mark.parametrize("version", [1, 2])


class Store:
    """A bucket in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.attributes: dict[str, Mapping[str, str] | None] = {}

    def put(self, key: str, data: bytes, *, attributes: Mapping[str, str] | None = None) -> None:
        self.objects[key] = data
        self.attributes[key] = attributes

    def get(self, key: str, *, max_bytes: int) -> bytes:
        if key not in self.objects:
            raise LookupError(key)
        return self.objects[key][: max_bytes + 1]


class TestWriting:
    @BOTH_VERSIONS
    def test_a_file_of_the_threshold_is_stored_as_an_object_and_a_smaller_one_inside(
        self, target: Path, version: int
    ) -> None:
        store = Store()
        with DesWriter(
            target,
            format_version=version,
            big_files=store,
            big_file_threshold=10,
            external_prefix="2025-01-15/shard_00",
        ) as archive:
            archive.add_file("small", b"123456789", {"k": 1})
            archive.add_many([("big", b"1234567890", {"k": 2}), ("tiny", b"")])
            assert archive.get_external_files() == [ExternalObject("big", "2025-01-15/shard_00/_bigFiles/big", 10)]
            stats = archive.get_stats()
        assert (stats.file_count, stats.external_count, stats.data_bytes, stats.external_bytes) == (3, 1, 9, 10)
        assert store.objects == {"2025-01-15/shard_00/_bigFiles/big": b"1234567890"}
        with DesReader(target, big_files=store) as reader:
            assert reader.get_file("big") == b"1234567890"
            assert reader.get_file("small") == b"123456789"
            meta = reader.get_meta("big")
            assert (meta["k"], meta["size"], meta["external_key"]) == (2, 10, "2025-01-15/shard_00/_bigFiles/big")
            assert reader.get_entry("big").is_external

    def test_without_a_store_every_file_is_inside_and_none_can_be_forced_out(self, target: Path) -> None:
        with DesWriter(target, format_version=1, big_file_threshold=1) as archive:
            archive.add_file("a", b"12345")
            with pytest.raises(ValueError, match="no big_files"):
                archive.add_file("b", b"1", force_external=True)
            assert archive.get_external_files() == []
        with DesReader(target) as reader:
            assert reader.get_file("a") == b"12345"

    @pytest.mark.parametrize(
        ("name", "original"),
        [("a b.txt", "a%20b.txt"), ("žluťoučký", None), ("100%", "100%25"), ("x" * 300, "x" * 300)],
    )
    def test_attributes_are_printable_ascii_that_says_the_name(
        self, target: Path, name: str, original: str | None
    ) -> None:
        from urllib.parse import unquote

        store = Store()
        with DesWriter(target, format_version=1, big_files=store) as archive:
            archive.add_file(name, b"123", force_external=True)
        attributes = store.attributes[f"_bigFiles/{name}"]
        assert attributes is not None
        assert attributes["size"] == "3"
        assert attributes["source"] == "des-writer"
        assert all(0x21 <= ord(character) <= 0x7E for character in attributes["original_name"])
        assert unquote(attributes["original_name"]) == name
        assert original is None or attributes["original_name"] == original

    @BOTH_VERSIONS
    def test_a_second_file_of_the_same_name_does_not_replace_the_first_ones_object(
        self, target: Path, version: int
    ) -> None:
        store = Store()
        with DesWriter(target, format_version=version, big_files=store) as archive:
            archive.add_file("big", b"first", force_external=True)
            with pytest.raises(ValueError, match="already in the archive"):
                archive.add_file("big", b"second", force_external=True)
        assert store.objects == {"_bigFiles/big": b"first"}

    def test_a_store_that_fails_adds_no_entry_and_the_archive_goes_on(self, target: Path) -> None:
        class Full(Store):
            def put(self, *_: object, **__: object) -> None:
                raise OSError(28, "No space left on device")

        with DesWriter(target, format_version=1, big_files=Full()) as archive:
            with pytest.raises(OSError, match="No space"):
                archive.add_file("big", b"1", force_external=True)
            archive.add_file("small", b"2")
        with DesReader(target) as reader:
            assert reader.list_files() == ["small"]

    def test_data_other_than_bytes_is_refused_before_anything_is_stored(self, target: Path) -> None:
        store = Store()
        with DesWriter(target, format_version=1, big_files=store) as archive, pytest.raises(TypeError, match="big"):
            archive.add_file("big", "text", force_external=True)  # type: ignore[arg-type]
        assert store.objects == {}

    def test_closing_waits_for_the_object_that_is_being_stored(self, target: Path) -> None:
        started, go_on = threading.Event(), threading.Event()

        class Slow(Store):
            def put(self, key: str, data: bytes, *, attributes: Mapping[str, str] | None = None) -> None:
                started.set()
                assert go_on.wait(30)
                super().put(key, data, attributes=attributes)

        store = Slow()
        archive = DesWriter(target, format_version=1, big_files=store)
        adding = threading.Thread(target=archive.add_file, args=("big", b"123"), kwargs={"force_external": True})
        adding.start()
        assert started.wait(30)
        closing = threading.Thread(target=archive.close)
        closing.start()
        go_on.set()
        adding.join()
        closing.join()
        with DesReader(target, big_files=store) as reader:
            assert reader.get_file("big") == b"123"


class TestReading:
    @BOTH_VERSIONS
    def test_a_batch_holds_files_from_inside_and_outside_in_the_order_asked_for(
        self, target: Path, version: int
    ) -> None:
        store = Store()
        with DesWriter(target, format_version=version, big_files=store, big_file_threshold=5) as archive:
            for i in range(20):
                archive.add_file(f"f{i}", b"x" * i)
        with DesReader(target, big_files=store) as reader:
            names = [f"f{i}" for i in (19, 3, 7, 0, 12)]
            assert list(reader.get_files_batch([*names, "nowhere"]).items()) == [
                (name, b"x" * int(name[1:])) for name in names
            ]

    @BOTH_VERSIONS
    def test_a_reader_of_a_path_finds_big_files_below_the_archives_folder(self, tmp_path: Path, version: int) -> None:
        with DesWriter(tmp_path / "a.des", format_version=version, big_files=LocalFolder(tmp_path)) as archive:
            archive.add_file("big", b"123", force_external=True)
        with DesReader(tmp_path / "a.des") as reader:
            assert reader.get_file("big") == b"123"
            (tmp_path / "_bigFiles/big").unlink()
            with pytest.raises(ExternalFile, match="_bigFiles/big"):
                reader.get_file("big")

    def test_an_archive_and_its_big_files_that_were_moved_are_found(self, tmp_path: Path) -> None:
        with DesWriter(tmp_path / "a.des", format_version=1, external_prefix="far/away") as archive:
            archive.add_external("big", 3)
        LocalFolder(tmp_path).put("_bigFiles/big", b"123")
        with DesReader(tmp_path / "a.des") as reader:
            assert reader.get_file("big") == b"123"

    @pytest.mark.parametrize("key", ["secret", "../secret", "_bigFiles/../secret", "_bigFiles/link", "/etc/hostname"])
    def test_an_archive_cannot_make_a_reader_give_out_what_lies_beside_it(self, tmp_path: Path, key: str) -> None:
        folder = tmp_path / "folder"
        LocalFolder(folder).put("_bigFiles/x", b"")
        (tmp_path / "secret").write_bytes(b"123")
        (folder / "_bigFiles/link").symlink_to(tmp_path / "secret")
        if key == "secret":
            (folder / "secret").write_bytes(b"123")
        with DesWriter(folder / "a.des", format_version=1) as archive:
            archive.add_external("big", 3, external_key=key)
        with DesReader(folder / "a.des") as reader, pytest.raises(ExternalFile):
            reader.get_file("big")

    @pytest.mark.parametrize("stored", [b"12", b"1234"])
    def test_an_object_of_another_size_than_was_archived_is_not_given_out(self, target: Path, stored: bytes) -> None:
        store = Store()
        with DesWriter(target, format_version=1, big_files=store) as archive:
            archive.add_file("big", b"123", force_external=True)
        store.objects["_bigFiles/big"] = stored
        LocalFolder(target.parent).put("_bigFiles/big", stored)
        for big_files in (store, None):
            with (
                DesReader(target, big_files=big_files) as reader,
                pytest.raises(CorruptArchive, match="was it replaced"),
            ):
                reader.get_file("big")

    def test_an_object_beyond_the_limit_is_not_asked_for(self, target: Path) -> None:
        with DesWriter(target, format_version=1) as archive:
            archive.add_external("big", 2**40)
        with DesReader(target, big_files=Store()) as reader, pytest.raises(ValueError, match="max_object_bytes"):
            reader.get_file("big")

    def test_a_source_without_a_store_says_where_the_object_is(self, target: Path) -> None:
        with DesWriter(target, format_version=1, external_prefix="p") as archive:
            archive.add_external("big", 3)
        reader = DesReader(MemorySource(target.read_bytes()))
        with pytest.raises(ExternalFile) as caught:
            reader.get_file("big")
        assert caught.value.external_key == "p/_bigFiles/big"


class TestLocalFolder:
    def test_an_object_is_stored_whole_and_replaced(self, tmp_path: Path) -> None:
        folder = LocalFolder(tmp_path / "new")
        folder.put("a/b", b"1")
        folder.put("a/b", b"22")
        assert folder.get("a/b", max_bytes=10) == b"22"
        assert names_in(tmp_path / "new/a") == ["b"]

    @pytest.mark.parametrize("key", ["", "/a", "..", "a/../..", "a\0b", "\ud800", "."])
    def test_keys_that_lead_out_of_the_folder_or_name_no_file_are_refused(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(ValueError, match="key"):
            LocalFolder(tmp_path / "folder").put(key, b"1")
        with pytest.raises(ValueError, match="key"):
            LocalFolder(tmp_path / "folder").get(key, max_bytes=1)
        assert names_in(tmp_path) == []

    @pytest.mark.parametrize("key", ["nowhere", "a/nowhere", "a", "x" * 300, "file/below"])
    def test_what_is_not_there_is_a_file_not_found(self, tmp_path: Path, key: str) -> None:
        folder = LocalFolder(tmp_path)
        folder.put("a/b", b"1")
        folder.put("file", b"1")
        with pytest.raises(FileNotFoundError):
            folder.get(key, max_bytes=1)
