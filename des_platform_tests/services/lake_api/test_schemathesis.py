"""Every operation asked for what its description allows and for what it does not, over HTTP, by schemathesis.

All of its checks hold but one: what is given up here stays readable, which `use_after_free` takes for a leak. A request
that fits its description may still be refused: a name is taken, a partition rule means nothing (400), nothing is there
(404), a change would break readers (409). No pattern says what a cron expression is, or which entries the connection of
a source needs, so those two bodies may get 422 besides.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from des_platform.services.lake_api.serving import lake_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform_tests.platform import Platform

# NUL has tests of its own: where a body holds any JSON at all, no schema says that no text in it may have one.
_CONFIGURATION = """
[generation]
allow-x00 = false

[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]
use_after_free.enabled = false

[[operations]]
include-path = "/api/v1/ingestion/jobs"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "422"]

[[operations]]
include-path-regex = "/api/v1/sources/.*"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "422"]
"""


@contextmanager
def serving(platform: Platform) -> Iterator[str]:
    server = lake_server(platform.catalog, platform.settings, "127.0.0.1", 0)
    thread = Thread(target=server.run)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


def passes(platform: Platform, key: str, folder: Path, *arguments: str) -> None:
    configuration = folder / "schemathesis.toml"
    configuration.write_text(_CONFIGURATION)
    with serving(platform) as url:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run"]
        command += [f"{url}openapi.json", "--header", f"Authorization: Bearer {key}", "--checks", "all"]
        command += ["--no-color", "--continue-on-failure", "--warnings", "off", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


def test_a_short_run_finds_nothing(platform: Platform, key: Callable[..., str], tmp_path: Path) -> None:
    passes(platform, key("lake:admin"), tmp_path, "--phases", "examples,fuzzing", "--max-examples", "5", "--seed", "6")


@pytest.mark.chaos
def test_a_long_run_finds_nothing(platform: Platform, key: Callable[..., str], tmp_path: Path) -> None:
    passes(platform, key("lake:admin"), tmp_path, "--max-examples", "100")
