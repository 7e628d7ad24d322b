"""The sensors of stream jobs, and the assets that they observe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml

from des_platform_tests.defs.daemon import TABLED, Daemon
from des_platform_tests.sources.streams.support import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform_tests.platform import Platform

LINES = b"".join(b"line %d of a file\n" % number for number in range(300))
COMPRESSED, RESTORED = dg.AssetKey(["prices", "stream_compress"]), dg.AssetKey(["prices", "stream_restore"])


@pytest.fixture
def bench(platform: Platform, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    made = Bench.make(platform, moto_endpoint, objects=False)
    file = tmp_path / "sources.yaml"
    file.write_text(yaml.safe_dump({"stream_jobs": [made.settings]}))
    monkeypatch.setenv("DES_SOURCES", str(file))
    return made


@pytest.fixture
def daemon(bench: Bench) -> Iterator[Daemon]:
    assert bench
    made = Daemon(TABLED)
    yield made
    made.close()


def observed(daemon: Daemon, sensor: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """What a tick says, and what it observes, by asset."""
    data = daemon.tick(sensor)
    assert not data.run_requests
    seen = {
        event.asset_key.to_user_string(): {
            name: getattr(value, "value", value) for name, value in event.metadata.items()
        }
        for event in data.asset_events
    }
    return data.skip_message or "", seen


def test_a_tick_of_each_side_moves_a_file_and_shows_its_numbers(bench: Bench, daemon: Daemon) -> None:
    bench.put("a|b.txt", LINES)
    identifier = bench.announce("a|b.txt")

    said, seen = observed(daemon, "prices_stream_compress_sensor")
    assert said.startswith("1 files in ")
    facts = seen["prices/stream_compress"]
    assert (facts["files"], facts["bytes_in"], facts["messages"], facts["waiting_after"]) == (1, len(LINES), 1, 0)
    assert facts["compression_ratio"] > 1
    assert facts["chunks"] > 1
    assert "a\\|b.txt" in facts["newest_files"]

    said, seen = observed(daemon, "prices_stream_restore_sensor")
    assert said.endswith("1 files so far.")
    assert seen["prices/stream_restore"]["bytes_in"] == len(LINES)
    assert bench.restored() == {f"{identifier}/a|b.txt": LINES}

    assert observed(daemon, "prices_stream_restore_sensor")[1] == {}


def test_what_waits_and_what_is_given_up_is_said(bench: Bench, daemon: Daemon) -> None:
    bench.settings["retry_seconds"] = 60
    bench.files.send(["rubbish"])

    said, seen = observed(daemon, "prices_stream_compress_sensor")

    assert "1 dead letters" in said
    assert seen["prices/stream_compress"]["dead_letters"] == 1


def test_the_assets_stand_in_the_lineage_before_the_inbox(daemon: Daemon) -> None:
    graph = daemon.repository.asset_graph
    assert COMPRESSED in graph.get(RESTORED).parent_keys
    assert RESTORED in graph.get(dg.AssetKey("inbox")).parent_keys
