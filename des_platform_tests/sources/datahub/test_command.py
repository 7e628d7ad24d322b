"""`des datahub fetch`, as its users start it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from des_platform.cli.datahub.app import app
from des_platform.settings import ConfigurationError
from des_platform_tests.datahub_server import KEY
from des_platform_tests.sources.datahub.support import NOON, SIZE, DataHub, write_sources

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def command(hub: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataHub:
    write_sources(hub, tmp_path, monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    hub.source()
    return hub


def run(*arguments: str) -> Result:
    from typer.testing import CliRunner

    return CliRunner().invoke(app, ["fetch", *arguments])


def test_month_is_fetched_and_told_in_json(command: DataHub) -> None:
    command.add("a")
    command.add("b")

    done = run("hub", "3", "2026")

    assert done.exit_code == 0, done.output
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert (numbers["total_files_processed"], numbers["successful_files"], numbers["failed_files"]) == (2, 2, 0)
    assert command.tally()["pending"] == 2
    assert KEY not in done.output


def test_file_that_was_given_up_shows_in_the_exit_code(command: DataHub, caplog: pytest.LogCaptureFixture) -> None:
    command.add("a")
    del command.server.files["a"]

    done = run("hub", "3", "2026", "--log-level", "WARNING")

    assert done.exit_code == 1
    assert "HTTP 404" in caplog.text


def test_dry_run_counts_and_takes_nothing(command: DataHub) -> None:
    command.add("a")

    done = run("hub", "3", "2026", "--dry-run")

    assert done.stdout == "2026-03: 1 candidates of 0.0 MB, 0 of them taken or given up before, 1 to take\n"
    assert command.server.requests == []
    assert command.landed() == {}


def test_options_replace_what_is_configured(command: DataHub) -> None:
    command.add("a")
    command.add("b", b"x" * (SIZE + 1))

    assert run("hub", "3", "2026", "--size-threshold", str(SIZE), "--batch-size", "1").exit_code == 0

    assert len(command.landed()) == 1


@pytest.mark.parametrize("arguments", [("0", "2026"), ("13", "2026"), ("3", "1999"), ("x", "2026")])
def test_month_that_is_none_is_refused(command: DataHub, arguments: tuple[str, str]) -> None:
    assert run("hub", *arguments).exit_code == 2


def test_year_to_come_is_refused(command: DataHub) -> None:
    done = run("hub", "3", str(NOON.year + 100))

    assert isinstance(done.exception, ConfigurationError)
    assert "expected 2000 to" in str(done.exception)


def test_name_that_is_none_tells_those_that_are(command: DataHub) -> None:
    done = run("bub", "3", "2026")

    assert "no DataHub is called bub; known are hub" in str(done.exception)
