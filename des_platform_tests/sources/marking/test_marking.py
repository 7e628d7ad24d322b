"""The marker as a sensor and as `des mark`: sources from the sources file, ended by a signal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from des_platform.cli.demo.processes import wait_until
from des_platform.cli.mark import mark
from des_platform.settings import ConfigurationError
from des_platform_tests.defs.daemon import Daemon
from des_platform_tests.sources.databases.support import SourceFiles, announced

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from des_platform_tests.platform import Platform

COMMAND = "import typer; from des_platform.cli.mark import mark; typer.run(mark)"


@pytest.fixture
def files(
    platform: Platform, postgres_files: SourceFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SourceFiles:
    """A table of files that the sources file names, with a marker."""
    columns = {"created_at": "created_at"}
    source = {
        "name": "erp",
        "connection": postgres_files.connection | {"password": "${ERP_PASSWORD}"},
        "table": {"name": postgres_files.table.name, "columns": columns},
        "marker": {"batch_size": 10},
    }
    path = tmp_path / "sources.yaml"
    path.write_text(json.dumps({"sources": [source, {**source, "name": "unmarked", "marker": None}]}))
    monkeypatch.setenv("ERP_PASSWORD", str(postgres_files.connection["password"]))
    monkeypatch.setenv("DES_SOURCES", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return postgres_files


def named(files: SourceFiles) -> int:
    return sum(row["des_name"] is not None for row in files.rows())


def run(*arguments: str) -> Result:
    import typer
    from typer.testing import CliRunner

    app = typer.Typer()
    app.command()(mark)
    return CliRunner().invoke(app, list(arguments))


def test_sensor_marks_what_waits_and_says_so(platform: Platform, files: SourceFiles) -> None:
    files.add([announced(f"f{number}") for number in range(25)])

    with closing(Daemon(platform.dataset)) as daemon:
        first = daemon.said("erp_marker_sensor")
        files.add([announced("late")])
        second = daemon.said("erp_marker_sensor")

    assert named(files) == 26
    assert first.startswith("25 rows marked in ")
    assert first.endswith("; 25 rows so far.")
    assert second.startswith("1 rows marked in ")
    assert second.endswith("; 26 rows so far.")


def test_command_marks_once_and_ends(files: SourceFiles) -> None:
    files.add([announced(f"f{number}") for number in range(25)])

    done = run("--batch-size", "7", "erp")

    assert done.exit_code == 0
    assert done.stdout.startswith("erp: 25 rows marked in ")
    assert named(files) == 25


def test_rows_given_up_show_in_the_exit_code(files: SourceFiles) -> None:
    import sqlalchemy as sa

    files.add([announced("a"), announced("b")])
    first = files.rows()[0]["id"]
    check = f"ALTER TABLE source_files ADD CHECK (id <> {first} OR des_name IS NULL)"
    files.execute(sa.text(check))

    done = run()

    assert done.exit_code == 1
    assert "1 given up" in done.stdout
    assert "errors: 1 CheckViolation" in done.stdout


def test_source_without_a_marker_cannot_be_named(files: SourceFiles) -> None:
    done = run("unmarked")

    assert isinstance(done.exception, ConfigurationError)
    assert "no source with a marker is called unmarked; known are erp" in str(done.exception)


def test_signal_ends_a_marker_that_goes_on_for_ever(files: SourceFiles) -> None:
    files.add([announced(f"f{number}") for number in range(25)])
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--forever"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wait_until(lambda: named(files) == 25, 60, "the first rows are marked")
            files.add([announced("late")])
            wait_until(lambda: named(files) == 26, 60, "a later row is marked")
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 0, said
    assert sum(map(int, re.findall(r"(\d+) rows marked in", said))) == 26


def test_signal_ends_a_slow_marker_within_a_batch(files: SourceFiles) -> None:
    files.add([announced(f"f{number}") for number in range(200)])
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--rate", "5"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wait_until(lambda: named(files) > 0, 60, "the first rows are marked")
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 0, said
    assert 0 < named(files) < 200
    assert f"erp: {named(files)} rows marked in" in said
