"""`des upload`, `des download`, `des check` and `des months`, as their users start them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from des_platform.objectstore import Buckets, ObjectStore
from des_platform.settings import Settings
from des_platform_tests.cli.commands import complaint, des_here

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The platform's own bucket, in a folder."""
    url = f"file://{tmp_path}/store"
    monkeypatch.setenv("DES_STORE_URL", url)
    monkeypatch.setenv("DES_SCRATCH", str(tmp_path))
    monkeypatch.setenv("DES_STATE", str(tmp_path / "no demo"))
    return Buckets(Settings(store_url=url)).own


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def test_a_file_goes_to_s3_and_back_proven_by_the_stores_own_checksum(
    moto_endpoint: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    monkeypatch.setenv("DES_STORE_URL", "s3://")
    monkeypatch.setenv("HOME", str(tmp_path))
    Buckets(Settings(s3_endpoint=moto_endpoint)).create("things")

    sent = des_here("upload", path, "a/key", "--bucket", "things", "--metadata", "name=value")
    came = des_here("download", "a/key", tmp_path / "out", "--bucket", "things")
    looked = des_here("check", "a/key", "--bucket", "things", "--json")

    assert (sent.returncode, sent.stderr) == (0, "")
    assert sent.stdout == "s3://things/a/key: 7 bytes, the store states the same SHA-256\n"
    assert (came.returncode, came.stdout, came.stderr) == (0, f"{tmp_path}/out: 7 bytes, proof: checksum\n", "")
    assert (tmp_path / "out").read_bytes() == b"content"
    assert json.loads(looked.stdout)["sha256"] == hashlib.sha256(b"content").hexdigest()


def test_what_is_not_proven_is_said(bucket: ObjectStore, path: Path, tmp_path: Path) -> None:
    assert "NOT proven" in des_here("upload", path, "key").stdout
    assert "read back and compared" in des_here("upload", path, "key", "--verify", "read-back").stdout
    assert "NOT proven" in des_here("download", "key", tmp_path / "out").stdout
    sha256 = hashlib.sha256(b"content").hexdigest()
    assert "proof: expected" in des_here("download", "key", tmp_path / "out", "--sha256", sha256).stdout
    assert json.loads(des_here("upload", path, "key", "--json").stdout)["proof"] == "size"
    assert bucket.get("key", max_bytes=7) == b"content"


def test_a_check_ends_with_0_for_whole_files_and_1_for_others(bucket: ObjectStore, path: Path) -> None:
    bucket.put("key", b"content")
    sha256 = hashlib.sha256(b"content").hexdigest()

    for name in (path, "key"):
        whole = des_here("check", name, "--sha256", sha256, "--min-size", "7")
        assert (whole.returncode, whole.stderr) == (0, "")
        assert whole.stdout.startswith(f"{name}: whole (7 bytes, SHA-256 {sha256}")
        spoilt = des_here("check", name, "--format", "parquet", "--json")
        assert spoilt.returncode == 1
        assert json.loads(spoilt.stdout)["format_valid"] is False
    missing = des_here("check", "missing")
    assert (missing.returncode, missing.stdout.partition(" (")[0]) == (
        1,
        "missing: NOT whole: bucket 'des' has no object 'missing'",
    )


def test_months_are_stored_and_the_missing_ones_listed(bucket: ObjectStore, path: Path, tmp_path: Path) -> None:
    statistics = tmp_path / "statistics.json"
    statistics.write_text('{"total_rollover_events": 3}')

    done = des_here("upload", path, "--month", "2026-03", "--statistics", statistics)

    assert (done.returncode, done.stderr) == (0, "")
    assert [info.key.partition("/")[0] for info in bucket.list()] == ["processed-data", "statistics"]
    assert des_here("months", "2026-02", "2026-04").stdout.split() == ["2026-02", "2026-04"]


def test_a_search_names_what_was_of_no_use(bucket: ObjectStore, tmp_path: Path) -> None:
    bucket.put("raw/file", b"tiny")
    bucket.put("dbn/file", b"large enough")

    found = des_here("download", "file", tmp_path / "out", "--search", "--min-size", "10")

    assert (found.returncode, found.stdout) == (0, f"{tmp_path}/out: 12 bytes, {bucket.uri('dbn/file')}\n")
    assert "'raw/file': it has 4 bytes" in found.stderr
    missing = des_here("download", "nothing", tmp_path / "none", "--search")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "raw/nothing" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("upload", "{path}"), "a KEY is missing"),
        (("upload", "{path}", "../key"), "is refused"),
        (("upload", "{path}", "key", "--metadata", "novalue"), "expected NAME=VALUE"),
        (("upload", "{path}", "key", "--metadata", "name=ü"), "printable ASCII"),
        (("upload", "{path}", "--month", "2026-13"), "no month"),
        (("upload", "{path}", "key", "--statistics", "{path}"), "needs --month"),
        (("upload", "{path}", "--month", "2026-03", "--statistics", "{path}"), "no JSON"),
        (("upload", "{path}", "key", "--bucket", "_"), "bucket name"),
        (("download", "missing", "{path}"), "no object 'missing'"),
        (("download", "key", "{path}/below"), "Not a directory"),
        (("download", "key", "{path}", "--sha256", "abc"), "64 hexadecimal digits"),
        (("months", "2026-01", "soon"), "no month"),
    ],
    ids=str,
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(
    bucket: ObjectStore, path: Path, arguments: tuple[str, ...], said: str
) -> None:
    bucket.put("key", b"stored")

    done = des_here(*(argument.format(path=path) for argument in arguments))

    assert done.returncode == 2
    assert said in complaint(done)
    assert path.read_bytes() == b"content"
