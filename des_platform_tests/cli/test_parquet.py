"""`des parquet`: files become smaller and stay the same, whatever else lies in their folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from des_platform.cli import parquet_files, parquet_process
from des_platform.cli.main import app
from des_platform.cli.parquet_process import ParquetProcess, Unreadable

if TYPE_CHECKING:
    from click.testing import Result

    from des_platform.cli.local_files import Input


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setenv("DES_SCRATCH", str(tmp_path))
    monkeypatch.setenv("DES_STORE_URL", f"file://{tmp_path}/store")
    return inside


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["parquet", *(str(argument) for argument in arguments)])


def names() -> set[str]:
    return {path.name for path in Path().iterdir()}


def table(rows: int = 20_000) -> pa.Table:
    draw = np.random.default_rng(7)
    return pa.table({"id": np.arange(rows), "value": draw.random(rows), "name": [f"n{row % 7}" for row in range(rows)]})


def write(path: str, rows: int = 20_000) -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), place)
    return place


def test_a_file_becomes_smaller_beside_itself_and_stays_the_same() -> None:
    path = write("day.parquet")
    before = path.read_bytes()

    done = run("optimize", path)

    assert (done.exit_code, done.stderr) == (0, "")
    made = Path("day_optimized.parquet")
    assert made.stat().st_size < len(before)
    assert pq.read_table(made).equals(table())
    assert path.read_bytes() == before
    assert "smaller" in done.stdout
    assert names() == {"day.parquet", "day_optimized.parquet"}


def test_a_folder_goes_on_past_what_is_no_parquet_file_and_says_so() -> None:
    write("in/a.parquet")
    write("in/_day=2026-03-01/b.parquet")
    Path("in/bad.parquet").write_bytes(b"hello, this is no table")
    Path("in/empty.parquet").touch()
    Path("in/notes.txt").write_text("nothing to do with it")
    Path("in/_hidden").mkdir()
    Path("in/_hidden/c.parquet").write_bytes(b"")

    done = run("optimize", "in", "--out", "out", "--json")

    assert done.exit_code == 1
    assert [line.split(": ")[1].rpartition("/")[2] for line in done.stderr.splitlines()] == [
        "bad.parquet",
        "empty.parquet",
    ]
    told = json.loads(done.stdout)
    assert told["skipped"] == 2
    assert [Path(one["target"]).relative_to(Path.cwd()).as_posix() for one in told["files"]] == [
        "out/_day=2026-03-01/b.parquet",
        "out/a.parquet",
    ]
    assert all(one["after"] < one["before"] for one in told["files"])
    assert pq.ParquetFile("out/_day=2026-03-01/b.parquet").read().equals(table())
    assert run("optimize", "in").exit_code == 1
    again = json.loads(run("optimize", "in", "--dry-run", "--json").stdout)
    assert len(again["files"]) == 2


def test_a_dry_run_says_what_it_would_give_and_writes_nothing() -> None:
    path = write("day.parquet")

    done = run("optimize", path, "--dry-run")

    assert done.exit_code == 0
    assert "would be smaller" in done.stdout
    assert names() == {"day.parquet"}


def test_a_file_that_would_not_become_smaller_is_kept() -> None:
    path = write("day.parquet")
    assert run("optimize", path, "--in-place").exit_code == 0
    once = path.read_bytes()

    done = run("optimize", path, "--in-place")

    assert (done.exit_code, path.read_bytes()) == (0, once)
    assert "kept: not smaller" in done.stdout
    assert pq.read_table(path).equals(table())


def test_names_that_are_taken_are_left_unless_forced() -> None:
    path = write("day.parquet")
    Path("day_optimized.parquet").write_text("mine")

    refused = run("optimize", path)

    assert refused.exit_code == 1
    assert "day_optimized.parquet is there already: --force replaces it" in refused.stderr
    assert Path("day_optimized.parquet").read_text() == "mine"
    assert run("optimize", path, "--force").exit_code == 0
    assert pq.read_table("day_optimized.parquet").equals(table())


def test_lossy_and_narrowed_columns_are_told() -> None:
    path = write("day.parquet")

    done = run("optimize", path, "--narrow", "--tolerance", "value=1e-3", "--out", "small.parquet")

    assert done.exit_code == 0
    assert "value: LOSSY, moved by at most" in done.stdout
    assert "id: int64 to int32, no bit lost" in done.stdout
    found = pq.read_table("small.parquet")
    assert found.schema.field("id").type == pa.int32()
    assert np.allclose(found["value"], table()["value"], rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.parquet"], "No such file"),
        (["."], "there is no Parquet file"),
        (["day.parquet", "--tolerance", "value"], "expected COLUMN=X"),
        (["day.parquet", "--tolerance", "value=2"], "between 0 and 1"),
        (["day.parquet", "--tolerance", "cost=1e-3"], "'cost', and there is no such column"),
        (["day.parquet", "--in-place", "--out", "x"], "two places"),
        (["day.parquet", "--out", "day.parquet"], "would replace itself"),
        (["http://example.org/x.parquet"], "in local folders and on s3:// alone"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], said: str, folder: Path) -> None:
    if "day.parquet" in arguments:
        write("day.parquet", 10)
    before = names()

    done = run("optimize", *arguments)

    assert done.exit_code in {1, 2}
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert names() == before


def test_a_file_that_needs_more_memory_than_there_is_is_named_and_the_next_one_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet_process, "MEMORY_BYTES", 1 << 30)
    long = pa.array(["x" * 30_000_000])
    bomb = pa.DictionaryArray.from_arrays(pa.array(np.zeros(60_000, np.int32)), long)
    Path("in").mkdir()
    pq.write_table(pa.table({"text": bomb}), "in/bomb.parquet", dictionary_pagesize_limit=1 << 30, store_schema=False)
    assert Path("in/bomb.parquet").stat().st_size < 3_000_000
    write("in/day.parquet")

    done = run("optimize", "in", "--out", "out", "--json")

    assert done.exit_code == 1
    assert "bomb.parquet" in done.stderr
    assert [one["outcome"] for one in json.loads(done.stdout)["files"]] == ["smaller"]


def test_a_reader_that_dies_is_named_and_a_new_one_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("day.parquet")
    with ParquetProcess() as process:
        assert process.inspect(path)["rows"] == 20_000
        assert process._process is not None
        process._process.kill()
        with pytest.raises(Unreadable, match="its reader ended with SIGKILL"):
            process.inspect(path)
        assert process.inspect(path)["rows"] == 20_000


def test_a_file_that_changes_meanwhile_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("day.parquet")
    publish = parquet_files.publish

    def changed(made: Path, target: Any, original: Input, *, force: bool) -> None:
        path.write_bytes(b"something else by now")
        publish(made, target, original, force=force)

    monkeypatch.setattr(parquet_files, "publish", changed)

    done = run("optimize", path, "--in-place")

    assert done.exit_code == 1
    assert "changed while it was read" in done.stderr
    assert path.read_bytes() == b"something else by now"
    assert names() == {"day.parquet"}


def test_objects_become_smaller_under_another_prefix(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DES_S3_ENDPOINT", moto_endpoint)
    client: Any = boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="raw/a.parquet", Body=write("a.parquet").read_bytes())
    client.put_object(Bucket="bucket", Key="raw/bad.parquet", Body=b"no")

    done = run("optimize", "s3://bucket/raw", "--out", "s3://bucket/small")
    beside = run("optimize", "s3://bucket/raw/a.parquet")
    refused = run("optimize", "s3://bucket/raw/a.parquet", "--in-place")
    shown = run("inspect", "s3://bucket/raw/a_optimized.parquet", "--json")

    assert (done.exit_code, beside.exit_code, refused.exit_code) == (1, 0, 2)
    assert "s3://bucket/raw/bad.parquet: " in done.stderr
    assert "give --out" in refused.stderr
    keys = [found["Key"] for found in client.list_objects_v2(Bucket="bucket")["Contents"]]
    assert keys == ["raw/a.parquet", "raw/a_optimized.parquet", "raw/bad.parquet", "small/a.parquet"]
    client.download_file("bucket", "small/a.parquet", "got.parquet")
    assert pq.read_table("got.parquet").equals(table())
    assert json.loads(shown.stdout)["rows"] == 20_000


def test_inspection_shows_schema_row_groups_and_columns() -> None:
    path = write("day.parquet", 5000)

    done, as_json = run("inspect", path), run("inspect", path, "--json")

    assert (done.exit_code, done.stderr) == (0, "")
    for word in ("5,000 rows in 1 row group", "parquet-cpp-arrow", "int64", "RLE_DICTIONARY", "snappy", "bytes/value"):
        assert word in done.stdout
    assert [column["path"] for column in json.loads(as_json.stdout)["columns"]] == ["id", "value", "name"]


def test_inspecting_what_is_no_parquet_file_is_one_line() -> None:
    Path("x.parquet").write_bytes(b"hello \x1b[31m")

    done = run("inspect", "x.parquet")

    assert done.exit_code == 2
    assert done.stderr.startswith("des: x.parquet is no Parquet file: ")
    assert done.stderr.count("\n") == 1
