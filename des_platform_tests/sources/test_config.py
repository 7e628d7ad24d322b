"""The sources file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from des_platform.settings import ConfigurationError, Settings
from des_platform.sources.config import load_sources

if TYPE_CHECKING:
    from pathlib import Path

QUEUE = "{name: orders, url: https://sqs.example/orders}"
DATABASE = """
- name: erp
  connection: {type: postgres, host: db.example, database: erp, username: des, password: "${NOT_SET_ANYWHERE}"}
  table: {name: files}
"""


def settings(tmp_path: Path, text: str | bytes, **more: str) -> Settings:
    path = tmp_path / "sources.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Settings(sources=path, **more)  # type: ignore[arg-type]


def test_without_a_file_there_is_the_queue_of_the_settings_alone() -> None:
    assert list(load_sources(Settings()).all()) == []
    (queue,) = load_sources(Settings(queue_url="https://sqs.example/q", landing_bucket="incoming")).queues
    assert (queue.name, queue.url, queue.default_bucket) == ("files", "https://sqs.example/q", "incoming")


def test_every_kind_of_the_file_is_read_and_the_settings_queue_comes_first(tmp_path: Path) -> None:
    text = f"queues: [{QUEUE}]\nstreams: [{{name: clicks, stream: clicks}}]\nsources:{DATABASE}"
    found = load_sources(settings(tmp_path, text, queue_url="https://sqs.example/q"))
    assert [source.name for source in found.all()] == ["files", "orders", "clicks", "erp"]


def test_a_disabled_database_is_known_and_not_drained(tmp_path: Path) -> None:
    found = load_sources(settings(tmp_path, f"sources:{DATABASE}  enabled: false\n  marker: {{}}\n"))
    assert [source.name for source in found.all()] == ["erp"]
    assert list(found.drained()) == []
    assert list(found.marked()) == []


def test_an_empty_file_names_no_sources(tmp_path: Path) -> None:
    assert list(load_sources(settings(tmp_path, "# nothing yet\n")).all()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queues: [{name: Orders, url: u}]", "queues.0.name"),
        ("queues: [{name: orders}]", "queues.0.url: Field required"),
        ("queue: []", "queue: Extra inputs are not permitted"),
        (f"queues: [{QUEUE}, {QUEUE}]", "orders"),
        ("queues: orders", "queues: Input should be"),
        ("- a list", "holds list, expected lists by kind"),
        ("queues: [unclosed", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("a: &a [b]\nqueues: " + "x" * (1 << 20), "larger than 1048576 bytes"),
    ],
)
def test_a_mistake_is_named_with_file_and_field(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match="sources.yaml") as raised:
        load_sources(settings(tmp_path, text))
    assert said in str(raised.value)


def test_a_password_that_stands_in_the_file_is_not_in_the_error(tmp_path: Path) -> None:
    text = f"sources:{DATABASE}".replace("${NOT_SET_ANYWHERE}", "correct-horse").replace("port", "x")
    with pytest.raises(ConfigurationError) as raised:
        load_sources(settings(tmp_path, text.replace("host: db.example", "hots: db.example")))
    assert "correct-horse" not in str(raised.value)
    assert "sources.0.connection.host: Field required" in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DES_SOURCES"):
        load_sources(Settings(sources=tmp_path / "nowhere.yaml"))
