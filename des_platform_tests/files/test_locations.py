"""One way to open archives by address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec
import pytest

from des_platform.archive import DesWriter, FileSink, MemorySource
from des_platform.files.locations import (
    BucketLocation,
    InvalidAddress,
    LocalLocation,
    locate,
    open_reader,
    open_sink,
    open_source,
)
from des_platform.files.remote import RemoteSource
from des_platform.objectstore import Buckets, IntegrityError
from des_platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, version: int = 2) -> None:
    with DesWriter(path, format_version=1 if version == 1 else 2) as writer:
        writer.add_file("a", b"alpha")


def test_local_addresses_lead_to_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    there = LocalLocation(f"{tmp_path}/a b.des")
    assert locate("a b.des") == locate(tmp_path / "a b.des") == locate(f"file://{tmp_path}/a%20b.des") == there


def test_percent_signs_of_a_path_are_its_own(tmp_path: Path) -> None:
    assert locate(f"{tmp_path}/a%20b.des") == LocalLocation(f"{tmp_path}/a%20b.des")


def test_address_of_an_object_keeps_its_key_as_it_is() -> None:
    assert locate("s3://bucket/a%20b/ü?#.des") == BucketLocation("bucket", "a%20b/ü?#.des")


@pytest.mark.parametrize(
    "address",
    ["", "a\0b", "s3://", "s3://bucket", "s3://bucket/", "s3://bucket/../x", "file://host/x", "file:///", "des://x"],
)
def test_address_that_means_nothing_is_refused_by_name(address: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        locate(address)
    assert repr(address) in str(refused.value)


def test_scheme_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(InvalidAddress, match="nonsense://x/a.des"):
        open_reader("nonsense://x/a.des")


def test_source_of_a_file_is_closed_after_use(tmp_path: Path) -> None:
    write(tmp_path / "a.des")
    with open_source(tmp_path / "a.des") as source:
        assert source.read_range(0, 8) == (tmp_path / "a.des").read_bytes()[:8]
    with pytest.raises(ValueError, match="closed"):
        source.read_range(0, 8)


def test_s3_address_is_s3_even_where_the_platform_is_on_a_folder(
    moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_STORE_URL", f"file://{tmp_path}/store")
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    bucket = Buckets(Settings(store_url="s3://", s3_endpoint=moto_endpoint)).create("bucket")
    with DesWriter(open_sink("s3://bucket/x/a.des")) as writer:
        writer.add_file("a", b"alpha")
    assert [found.key for found in bucket.list()] == ["x/a.des"]
    with open_reader("s3://bucket/x/a.des") as reader:
        assert reader.get_file("a") == b"alpha"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("version", [1, 2])
def test_other_addresses_are_read_through_fsspec(version: int, tmp_path: Path) -> None:
    write(tmp_path / "a.des", version)
    fsspec.filesystem("memory").pipe("/somewhere/a.des", (tmp_path / "a.des").read_bytes())
    with open_reader("memory://somewhere/a.des") as reader:
        assert reader.version == version
        assert reader.get_file("a") == b"alpha"


def test_other_addresses_are_not_written_to() -> None:
    with pytest.raises(InvalidAddress, match="memory://somewhere/b.des"):
        open_sink("memory://somewhere/b.des")


def test_external_file_beside_a_remote_archive_is_found_and_nothing_else(tmp_path: Path) -> None:
    with DesWriter(FileSink(tmp_path / "a.des")) as writer:
        writer.add_external("big", 7)
        writer.add_external("secret", 4, external_key="secret")
        writer.add_external("above", 4, external_key="_bigFiles/../secret")
    memory = fsspec.filesystem("memory")
    memory.pipe("/beside/a.des", (tmp_path / "a.des").read_bytes())
    memory.pipe("/beside/_bigFiles/big", b"outside")
    memory.pipe("/beside/secret", b"hush")
    with open_reader("memory://beside/a.des") as reader:
        assert reader.get_file("big") == b"outside"
        for name in ("secret", "above"):
            with pytest.raises(LookupError):
                reader.get_file(name)


def test_server_that_ignores_ranges_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/rangeless/a.des", b"x" * 1000)
    source = RemoteSource("memory://rangeless/a.des")
    monkeypatch.setattr(type(memory), "cat_file", lambda *_arguments, **_options: b"x" * 1000)
    with pytest.raises(IntegrityError, match="rangeless/a.des"):
        source.read_range(10, 10)


def test_remote_source_gives_the_same_bytes_as_memory() -> None:
    data = bytes(range(256)) * 10
    fsspec.filesystem("memory").pipe("/same/bytes", data)
    remote, local = RemoteSource("memory://same/bytes"), MemorySource(data)
    assert remote.read_tail(100) == local.read_tail(100)
    assert remote.read_tail(10_000) == local.read_tail(10_000)
    assert remote.read_range(2500, 100) == local.read_range(2500, 100)
