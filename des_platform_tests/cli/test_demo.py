from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import pytest

from des_platform.cli.demo.processes import wait_until
from des_platform.cli.demo.state import ENVIRONMENT_FILE
from des_platform_tests.cli.commands import PATIENCE_SECONDS, bare_environment, complaint, des, des_running, totals
from des_platform_tests.cli.demo_files import FILES, LARGE_FILES, write_file, write_files
from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform_tests.cli.commands import Totals


class Demo(NamedTuple):
    """Three demos in a row on one state folder, and one that was started while the second ran."""

    state: Path
    first: subprocess.CompletedProcess[str]
    days: set[date]
    second: subprocess.CompletedProcess[str]
    second_pid: int
    intruder: subprocess.CompletedProcess[str]
    landed_before: dict[Path, tuple[int, int]]
    with_new_file: subprocess.CompletedProcess[str]
    landed_after: dict[Path, tuple[int, int]]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with server_folder() as folder:
        files, state, environment = folder / "files", folder / "state", bare_environment(folder)
        command = ("demo", "--once", "--json", "--state", state, "--from", files)
        write_files(files)
        (files / "link").symlink_to(files / "empty")
        days = {datetime.now(UTC).date()}
        first = des(*command, env=environment)
        days.add(datetime.now(UTC).date())
        with des_running(*command, env=environment, errors=folder / "errors") as process:
            at_work = (state / ENVIRONMENT_FILE).exists
            wait_until(lambda: at_work() or process.poll() is not None, PATIENCE_SECONDS, "the demo is at work")
            intruder = des(*command, env=environment)
            output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        second = subprocess.CompletedProcess(command, process.returncode, output, (folder / "errors").read_text())
        before = landed(state)
        write_file(files, "a/new.txt", b"new")
        third = des(*command, env=environment)
        yield Demo(state, first, days, second, process.pid, intruder, before, third, landed(state))


def landed(state: Path) -> dict[Path, tuple[int, int]]:
    """Which object was put when: inode and time of its last change."""
    objects = (path for path in (state / "store" / "landing").rglob("*") if path.is_file())
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in objects}


def without_seconds(done: subprocess.CompletedProcess[str]) -> Totals:
    return {name: value for name, value in totals(done).items() if name != "seconds"}


def test_demo_accounts_for_every_file_in_one_json_object(demo: Demo) -> None:
    result = totals(demo.first)
    assert isinstance(result.pop("seconds"), float)
    shards = 16 if len(demo.days) == 1 else result["des_shards"]  # midnight splits the files between two days' shards
    assert list(result.items()) == [
        ("files_fed", FILES),
        ("raw_files", FILES),
        ("compressed_objects", 1),
        ("table_rows", 0),
        ("des_shards", shards),
        ("files_verified", FILES),
        ("lost", 0),
        ("duplicated", 0),
    ]
    assert demo.first.stdout.count("\n") == 1


def test_demo_says_what_it_left_out(demo: Demo) -> None:
    assert "not fed: 1 x symbolic link\n" in demo.first.stderr


def test_demo_leaves_no_address_of_servers_that_are_gone(demo: Demo) -> None:
    assert demo.state.is_dir()
    assert not (demo.state / ENVIRONMENT_FILE).exists()


def test_next_demo_has_the_same_totals(demo: Demo) -> None:
    assert without_seconds(demo.second) == without_seconds(demo.first)


def test_second_demo_on_a_state_folder_is_refused_and_the_first_goes_on(demo: Demo) -> None:
    assert demo.intruder.returncode == 2
    assert demo.intruder.stdout == ""
    assert complaint(demo.intruder) == (
        f"des: Process {demo.second_pid} is using the state folder {demo.state}. "
        "Stop it first, or choose another state folder."
    )
    assert demo.second.returncode == 0


def test_new_file_is_the_only_one_that_the_next_demo_feeds_and_takes_in(demo: Demo) -> None:
    before, after = totals(demo.second), totals(demo.with_new_file)
    assert [after[name] - before[name] for name in ("files_fed", "raw_files", "files_verified")] == [1, 1, 1]
    assert (after["lost"], after["duplicated"]) == (0, 0)
    untouched = {path: put for path, put in demo.landed_after.items() if path in demo.landed_before}
    assert untouched == demo.landed_before
    assert [path.name for path in demo.landed_after.keys() - untouched.keys()] == ["new.txt"]


def test_sql_finds_every_file_in_the_archives(demo: Demo) -> None:
    archives = f"{demo.state}/store/des/archives/**/*.des"
    found = duckdb.sql(
        "SELECT count(*), count(DISTINCT key), min(bucket), sum((flags & 1)::int) FROM read_parquet($archives)",
        params={"archives": archives},
    )
    assert found.fetchall() == [(FILES + 1, FILES + 1, "landing", len(LARGE_FILES))]


def test_json_without_once_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = des("demo", "--json", "--state", tmp_path / "state", env=bare_environment(tmp_path))
    assert done.returncode == 2
    assert complaint(done) == "des: --json goes with --once: the demo with the UI never ends by itself"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("name", "problem"), [("missing", "does not exist"), ("file", "is a file")])
def test_source_that_is_no_folder_is_a_usage_error(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = bare_environment(tmp_path) | {"COLUMNS": "300"}
    arguments = ("--once", "--state", tmp_path / "state", "--from", tmp_path / name)
    done = des("demo", *arguments, env=environment)
    assert done.returncode == 2
    assert "--from" in done.stderr
    assert f"{tmp_path / name}' {problem}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()
