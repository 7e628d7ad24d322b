"""`des archive` over an S3 server: the same commands, whatever store the platform itself is on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from des_platform_tests.cli.archive_command import archive, listed

if TYPE_CHECKING:
    from pathlib import Path

PART = 8 * 1024 * 1024
FILES = {"a/1.txt": b"one", "a/2.txt": b"two", "b": b"bee" * 1000}


@pytest.fixture
def s3(moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stranger's client of the server, whose bucket is `bucket`; the platform itself is on a folder."""
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    monkeypatch.setenv("DES_STORE_URL", f"file://{tmp_path}/store")
    client = boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "folder"


def test_archive_is_packed_read_and_verified_in_the_bucket(s3: Any, folder: Path, tmp_path: Path) -> None:
    address = "s3://bucket/some/a.des"
    assert archive("pack", folder, "-o", address).code == 0
    assert s3.head_object(Bucket="bucket", Key="some/a.des")["ContentLength"] > 0
    assert listed(address) == sorted(FILES)
    assert archive("cat", address, "a/2.txt").out == "two"
    assert archive("extract", address, tmp_path / "out").code == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert archive("verify", address).code == 0
    asked = archive("sql", address, "select name from files where size = 3 order by name", "--format", "csv")
    assert asked.out == "name\na/1.txt\na/2.txt\n"
    assert archive("convert", address, "-o", tmp_path / "local.des", "--to", "2").code == 0
    assert listed(tmp_path / "local.des") == sorted(FILES)


def test_variables_of_the_aws_clients_are_enough(
    s3: Any, folder: Path, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DES_S3_ENDPOINT")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_endpoint)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert archive("pack", folder, "-o", "s3://bucket/a.des").code == 0
    assert listed("s3://bucket/a.des") == sorted(FILES)


def test_existing_object_is_left_alone_unless_forced(s3: Any, folder: Path) -> None:
    s3.put_object(Bucket="bucket", Key="a.des", Body=b"mine")
    done = archive("pack", folder, "-o", "s3://bucket/a.des")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert s3.get_object(Bucket="bucket", Key="a.des")["Body"].read() == b"mine"
    assert archive("pack", folder, "-o", "s3://bucket/a.des", "--force").code == 0
    assert archive("pack", folder / "b", "-o", "s3://bucket/a.des", "--append").code == 1
    assert listed("s3://bucket/a.des") == sorted(FILES)


def test_append_in_the_bucket_adds_a_generation(s3: Any, folder: Path, tmp_path: Path) -> None:
    assert archive("pack", folder, "-o", "s3://bucket/a.des").code == 0
    (tmp_path / "new").write_bytes(b"new")
    assert archive("pack", tmp_path / "new", "-o", "s3://bucket/a.des", "--append").code == 0
    assert listed("s3://bucket/a.des") == sorted([*FILES, "new"])
    assert json.loads(archive("info", "s3://bucket/a.des", "--json").out)["generation"] == "2"
    assert archive("compact", "s3://bucket/a.des").code == 0
    assert archive("cat", "s3://bucket/a.des", "new", "a/1.txt").out == "newone"


def test_big_files_are_objects_beside_the_archive(s3: Any, folder: Path) -> None:
    assert archive("pack", folder, "-o", "s3://bucket/some/a.des", "--big-files", "1000").code == 0
    assert s3.get_object(Bucket="bucket", Key="some/_bigFiles/b")["Body"].read() == FILES["b"]
    assert archive("cat", "s3://bucket/some/a.des", "b").out.encode() == FILES["b"]


def test_upload_that_never_ended_is_recovered(s3: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "last").mkdir()
    (folder / "last" / "large").write_bytes(bytes(range(256)) * (PART // 256))
    assert archive("pack", folder, "-o", tmp_path / "a.des", "--level", "0").code == 0
    part = (tmp_path / "a.des").read_bytes()[: PART + 1000]
    upload = s3.create_multipart_upload(Bucket="bucket", Key="torn.des")["UploadId"]
    s3.upload_part(Bucket="bucket", Key="torn.des", UploadId=upload, PartNumber=1, Body=part)
    done = archive("recover", "s3://bucket/torn.des", "--upload", "-o", "s3://bucket/whole.des")
    assert "delete it" in done.err
    assert set(listed("s3://bucket/whole.des")) >= {"a/1.txt", "a/2.txt", "b"}
    assert archive("verify", "s3://bucket/whole.des").code == 0
    again = archive("recover", "s3://bucket/other.des", "--upload", "-o", "s3://bucket/more.des")
    assert (again.code, again.err.count("\n")) == (2, 1)


def test_missing_object_and_missing_bucket_are_one_line(s3: Any) -> None:
    for address in ("s3://bucket/gone.des", "s3://no-such-bucket/a.des"):
        done = archive("ls", address)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert address.split("/")[2] in done.err
