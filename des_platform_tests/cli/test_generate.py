from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import pytest

from des_platform.cli.demo.processes import wait_until
from des_platform_tests.cli.commands import bare_environment, complaint, des, des_running
from des_platform_tests.platform import LANDING

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def queue_url(platform: Platform, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue, named in the environment as the demo's is."""
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = client.create_queue(QueueName="generated")["QueueUrl"]
    monkeypatch.setenv("DES_QUEUE_URL", url)
    monkeypatch.setenv("DES_QUEUE_ENDPOINT", moto_endpoint)
    return url


def waiting(moto_endpoint: str, url: str) -> int:
    client = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def test_files_go_into_the_landing_bucket_and_are_announced(
    platform: Platform, queue_url: str, moto_endpoint: str
) -> None:
    done = des("generate", "weather", "--files", 3, "--rate", "max", "--size", "20KiB", "--format", "jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 files  0.1 MB")
    assert done.stdout.count("\n") == 1
    store = platform.buckets.bucket(LANDING)
    found = [info.key for info in store.list("weather/")]
    today = datetime.now(UTC).date()
    assert len(found) == 3
    assert all(key.startswith(f"weather/{today}/seed") and key.endswith(".jsonl") for key in found)
    assert all(abs(store.head(key).size - 20_480) < 1_000 for key in found)
    assert set(json.loads(store.get(found[0], max_bytes=30_000).splitlines()[0])) >= {"station", "temperature"}
    assert waiting(moto_endpoint, queue_url) == 3


def test_summary_tells_how_to_repeat_the_run(tmp_path: Path) -> None:
    first = des("generate", "--files", 2, "--rate", "max", "--size", "10kB", "--to", tmp_path / "a")
    again = first.stdout.split("; ")[1].split()[:4]
    assert again[0] == "--seed"
    assert again[2] == "--day"
    des("generate", "--files", 2, "--rate", "max", "--size", "10kB", *again, "--to", tmp_path / "b")
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    des("generate", "--files", 2, "--rate", "max", "--size", "10kB", "--to", tmp_path / "a")
    assert len(files_in(tmp_path / "a")) == 4


def test_ctrl_c_ends_an_endless_run_with_a_summary_of_what_is_there(tmp_path: Path) -> None:
    command = ("generate", "--rate", 50, "--size", "1kB", "--to", tmp_path / "out")
    with des_running(*command, env=bare_environment(tmp_path), errors=tmp_path / "errors") as process:
        wait_until(lambda: len(list(tmp_path.rglob("*.csv"))) >= 3, 60, "three files are there")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "errors").read_text() == ""
    assert output.startswith(f"{len(files_in(tmp_path / 'out'))} files  ")
    assert output.count("\n") == 1


def test_schema_of_a_user_is_generated_under_a_prefix_and_day_of_theirs(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]}
    (tmp_path / "clicks.json").write_text(json.dumps(schema))
    done = des(
        *("generate", tmp_path / "clicks.json", "--format", "json", "--size", "1MiB", "--files", 1, "--seed", 0),
        *("--day", "2026-03-01", "--prefix", "in/", "--to", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    ((name, content),) = files_in(tmp_path / "out").items()
    assert name.startswith("in/2026-03-01/seed0_")
    assert name.endswith("_000000.json")
    assert abs(len(content) - (1 << 20)) < 20_000
    assert all(list(row) == ["id"] for row in json.loads(content))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing.json"], "the schema 'nothing.json' cannot be read (No such file or directory)"),
        (["--size", "1 parsec"], "--size is '1 parsec', expected bytes such as"),
        (["--size", "100MB"], "a file of 100,000,000 bytes is not generated"),
        (["--rate", "nan"], "--rate is 'nan', expected files a second"),
        (["--prefix", "/a"], "the prefix '/a' cannot start a key"),
        (["--bucket", "landing"], "--to writes to a folder"),
        (["--no-announce"], "--to writes to a folder"),
    ],
)
def test_mistake_of_the_user_is_one_line(arguments: list[str], expected: str, tmp_path: Path) -> None:
    done = des("generate", *arguments, "--to", tmp_path / "out", "--files", 1)
    assert done.returncode == 2
    assert complaint(done).startswith(f"des: {expected}")
    assert not (tmp_path / "out").exists()


def test_without_a_queue_one_is_asked_for(platform: Platform) -> None:
    done = des("generate", "--files", 1)
    assert done.returncode == 2
    assert "no queue is set: start des demo in this folder" in complaint(done)
    assert list(platform.buckets.bucket(LANDING).list("")) == []
    assert des("generate", "--files", 1, "--no-announce").returncode == 0
    assert len(list(platform.buckets.bucket(LANDING).list("stock_market/"))) == 1


def test_queue_that_is_not_there_is_told_before_anything_is_put(
    platform: Platform, queue_url: str, moto_endpoint: str
) -> None:
    done = des("generate", "--files", 1, "--queue", f"{queue_url}-missing")
    assert done.returncode == 2
    assert "generated-missing does not answer" in complaint(done)
    assert list(platform.buckets.bucket(LANDING).list("")) == []
