"""What a stream job may say in the sources file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from des_platform.settings import ConfigurationError, Settings
from des_platform.sources.config import Sources, load_sources
from des_platform.sources.streams.kinesis import StreamAddress

if TYPE_CHECKING:
    from pathlib import Path

JOB: dict[str, Any] = {
    "name": "prices",
    "files": {"url": "https://sqs/files"},
    "originals": {"bucket": "landing"},
    "chunks": {"stream": "prices"},
    "manifests": {"url": "https://sqs/manifests.fifo"},
    "restored": {"bucket": "restored"},
}


def load(tmp_path: Path, *jobs: dict[str, Any], **others: Any) -> Sources:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"stream_jobs": list(jobs), **others}))
    return load_sources(Settings(sources=path))


def test_a_job_names_its_queues_and_has_the_usual_chunks(tmp_path: Path) -> None:
    [job] = load(tmp_path, JOB).stream_jobs

    assert job.files is not None
    assert (job.files.name, job.manifests.name) == ("prices_files", "prices_manifests")
    assert isinstance(job.chunks, StreamAddress)
    assert (job.chunk_bytes, job.interval_seconds, job.codec, job.push) == (409_600, 1.0, "auto", True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": None}, "files and originals belong together"),
        ({"files": None, "originals": None, "restored": None}, "nothing to do"),
        ({"chunks": {"bucket": "No_Bucket"}}, "stream_jobs.0.chunks.Place.bucket"),
        ({"chunks": {"bucket": "chunks", "store": "ftp://x"}}, "stream_jobs.0.chunks.Place.store"),
        ({"codec": "rot13"}, "unknown codec 'rot13'"),
        ({"codec": "zstd", "level": 77}, "no level 77"),
        ({"level": 3}, "level needs a codec"),
        ({"chunk_bytes": "200 KB"}, "stream_jobs.0.chunk_bytes"),
        ({"push": "perhaps"}, "stream_jobs.0.push"),
        ({"interval_seconds": 0}, "stream_jobs.0.interval_seconds"),
        ({"manifests": {"url": "https://x", "chunk_stream": "y"}}, "stream_jobs.0.manifests.chunk_stream"),
        ({"colour": "red"}, "stream_jobs.0.colour"),
    ],
    ids=str,
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, JOB | changes)
    assert said in str(raised.value)


def test_a_name_stands_for_one_job_or_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="stand for several: prices"):
        load(tmp_path, JOB, queues=[{"name": "prices", "url": "https://sqs/other"}])


def test_numbers_and_switches_may_be_written_as_text(tmp_path: Path) -> None:
    [job] = load(tmp_path, JOB | {"chunk_bytes": "200", "push": "False"}).stream_jobs
    assert (job.chunk_bytes, job.push) == (200, False)
