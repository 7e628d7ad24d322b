"""`des datahub compress`, `audit` and `validate-config`, as their users start them."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.cli.datahub.app import app
from des_platform.settings import ConfigurationError
from des_platform_tests.datahub_server import KEY, Fault
from des_platform_tests.sources.datahub.compressing_support import copies, originals, text
from des_platform_tests.sources.datahub.support import NOON, DataHub, write_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def config(hub: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The DataHub in the sectioned form of the earlier utility."""
    variables = {
        "HOME": str(tmp_path),
        "DATAHUB_API_URL": hub.server.url,
        "DATAHUB_API_KEY": KEY,
        "DB_NAME": hub.address.database,
        "DB_USER": hub.address.user,
        "DB_PASSWORD": hub.address.password,
        "DB_HOST": hub.address.host,
        "DB_PORT": str(hub.address.port),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "hub.json"
    write(path)
    logger = logging.getLogger("des_platform")
    before = list(logger.handlers)
    yield path
    for handler in set(logger.handlers) - set(before):
        logger.removeHandler(handler)
        handler.close()


def write(path: Path, **sections: Any) -> None:
    form: dict[str, Any] = {
        "logging": {"file": str(path.with_name("hub.log"))},
        "performance": {"rate_limiting": {"base_delay": 0, "max_retries": 2}},
        "api": {},
        "database": {},
        "file_processing": {"size_threshold": 1000},
    }
    path.write_text(json.dumps(form | sections))


def run(*arguments: object) -> Result:
    from typer.testing import CliRunner

    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_month_is_compressed_and_told_in_json_and_in_the_log_file(hub: DataHub, config: Path) -> None:
    contents = {name: hub.add(name, text(name)) for name in ("a", "b")}

    done = run("compress", config, 3, 2026)

    assert done.exit_code == 0, done.output
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert (numbers["total_files_processed"], numbers["successful_compressions"]) == (2, 2)
    assert copies(hub) == contents
    log = config.with_name("hub.log").read_text()
    assert '"successful_compressions": 2' in log
    assert " - des_platform.sources.datahub.compressing.month - INFO - " in log
    assert "deleted file 'a' of datahub hub: proven copy" in log
    assert KEY not in log + done.output


def test_log_file_is_begun_anew_when_it_is_large(hub: DataHub, config: Path) -> None:
    path = config.with_name("hub.log")
    rotation = {"max_bytes": 1024, "backup_count": 2}
    write(config, logging={"file": str(path), "rotation": rotation})
    for number in range(20):
        hub.add(f"f{number}", text("f"))

    assert run("compress", config, 3, 2026).exit_code == 0

    assert sorted(file.name for file in path.parent.glob("hub.log*")) == ["hub.log", "hub.log.1", "hub.log.2"]
    assert all(file.stat().st_size <= 1024 for file in path.parent.glob("hub.log*"))


def test_dry_run_counts(hub: DataHub, config: Path) -> None:
    hub.add("a", text("a"))

    done = run("compress", config, 3, 2026, "--dry-run")

    numbers = json.loads(done.stdout.splitlines()[-1])
    assert (numbers["dry_run"], numbers["successful_compressions"], numbers["originals_removed"]) == (True, 1, 0)
    assert originals(hub) == {"a"}


def test_file_that_failed_shows_in_the_exit_code(hub: DataHub, config: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub.add("a", text("a"))
    del hub.server.files["a"]

    done = run("compress", config, 3, 2026, "--log-level", "WARNING")

    assert done.exit_code == 1
    assert "file 'a': HTTP 404" in caplog.text


def test_options_replace_what_is_configured(hub: DataHub, config: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(6):
        hub.add(f"f{number}", text("f"))
    hub.add("small", text("s", 100))
    size = str(len(text("s", 100)))

    assert run("compress", config, 3, 2026, "--size-threshold", size, "--batch-size", "1").exit_code == 0

    assert originals(hub) == {"small"}
    assert sum("so far: " in message for message in caplog.messages) == 1  # after five batches of one


@pytest.mark.parametrize("arguments", [("0", "2026"), ("13", "2026"), ("3", "1999"), ("x", "2026")])
def test_month_that_is_none_is_refused(config: Path, arguments: tuple[str, str]) -> None:
    assert run("compress", config, *arguments).exit_code == 2


def test_year_to_come_is_refused(config: Path) -> None:
    done = run("compress", config, 3, NOON.year + 100)

    assert isinstance(done.exception, ConfigurationError)
    assert "expected 2000 to" in str(done.exception)


def test_catalogue_that_is_away_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DES_PG_PORT", "1")

    done = run("compress", config, 3, 2026)

    assert isinstance(done.exception, ConfigurationError)
    assert "the catalogue at 127.0.0.1:1" in str(done.exception)


def test_files_of_the_sources_file_are_taken_before_they_are_compressed(
    hub: DataHub, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sources(hub, tmp_path, monkeypatch)
    hub.source()
    contents = {name: hub.add(name, text(name)) for name in ("a", "b")}
    before = json.loads(run("compress", "hub", 3, 2026).stdout.splitlines()[-1])
    assert (before["files_not_yet_taken"], before["total_files_processed"]) == (2, 0)
    assert originals(hub) == {"a", "b"}

    assert run("fetch", "hub", 3, 2026).exit_code == 0
    after = json.loads(run("compress", "hub", 3, 2026).stdout.splitlines()[-1])
    assert (after["files_not_yet_taken"], after["successful_compressions"]) == (0, 2)
    fetched = json.loads(run("fetch", "hub", 3, 2026).stdout.splitlines()[-1])

    assert fetched["total_files_processed"] == 0
    assert copies(hub) == contents
    assert sorted(hub.landed().values()) == sorted(contents.values())


def test_audit_shows_what_was_done_to_each_file(hub: DataHub, config: Path) -> None:
    hub.add("a", text("a"))
    run("compress", config, 3, 2026)

    (line,) = run("audit", config, 3, 2026).stdout.splitlines()

    entry = json.loads(line)
    assert (entry["file_id"], entry["state"], entry["original_size"]) == ("a", "done", len(text("a")))
    assert entry["copy_id"] in hub.server.files


def test_configuration_that_works_is_told_so(hub: DataHub, config: Path) -> None:
    done = run("validate-config", config)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "0 errors, 0 warnings"
    assert "ok: database: fdhdata.dh_file can be read" in done.stdout
    assert "ok: API: /health answers" in done.stdout
    assert KEY not in done.stdout


def test_everything_that_is_wrong_is_told_at_once(
    hub: DataHub, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        config,
        logging={"file": str(tmp_path / "none" / "hub.log"), "levle": "INFO"},
        performance={"batch_size": 0, "chunk_size": 8192},
    )
    hub.database.execute("ALTER TABLE fdhdata.dh_file DROP COLUMN properties, DROP COLUMN size_no")
    hub.server.always["health"] = Fault(503)
    monkeypatch.setenv("DES_SCRATCH", str(tmp_path / "gone"))

    done = run("validate-config", config)

    assert done.exit_code == 1
    errors = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    for said in (
        "logging.levle: no such key is known",
        "batch_size: ",
        "fdhdata.dh_file has no column size_no, properties",
        "API: DataHub hub: /health: HTTP 503",
        "folder of the log file: ",
        "scratch folder (DES_SCRATCH): ",
    ):
        assert sum(said in line for line in errors) == 1, (said, errors)
    assert len(errors) == 6
    assert "warning: performance.chunk_size has no effect" in done.stdout


def test_what_hangs_on_a_variable_that_is_not_set_says_which(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATAHUB_API_KEY")
    monkeypatch.delenv("DB_PASSWORD")

    done = run("validate-config", config)

    assert done.exit_code == 1
    assert "error: environment: DATAHUB_API_KEY is not set" in done.stdout
    assert "error: environment: DB_PASSWORD is not set" in done.stdout


def test_sources_file_is_looked_at_datahub_by_datahub(
    hub: DataHub, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sources(hub, tmp_path, monkeypatch)

    done = run("validate-config", tmp_path / "sources.yaml")

    assert done.exit_code == 0, done.output
    assert "ok: structure of hub" in done.stdout


def test_file_that_is_none_is_an_error(config: Path) -> None:
    done = run("validate-config", config.with_name("nothing.json"))

    assert done.exit_code == 1
    assert "nothing.json cannot be read" in done.stdout
