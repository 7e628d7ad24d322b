"""`dagster dev` as the demo's child: code server, daemon and webserver."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from des_platform.cli.demo.processes import spawn, wait_until
from des_platform.cli.demo.stack import instance_file
from des_platform.cli.demo.state import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_SECONDS = 120.0  # 4 s on an idle machine; 40 s were seen on a busy one without bytecode
_STOP_SECONDS = 20.0


@contextmanager
def dagster_ui(state: Path, port: int) -> Iterator[str]:
    """Run Dagster with the project's definitions; gives the UI's URL once it answers.

    Args:
        state: the demo's state folder; Dagster's output goes to `dagster/log` in it.
        port: wanted port on the loopback interface; a free one is taken if it is in use.

    Raises:
        DemoError: Dagster does not start; with the end of its log.
    """
    port = free_port(port)
    argv = [
        *(sys.executable, "-m", "dagster", "dev", "--workspace", str(instance_file("workspace.yaml"))),
        *("--host", LOOPBACK, "--port", str(port), "--log-level", "warning"),
    ]
    child = spawn(
        "dagster",
        argv,
        env=os.environ,
        cwd=state / "dagster",
        log=state / "dagster" / "log",
        stop_signal=signal.SIGINT,
    )
    try:
        wait_until(lambda: _answers(port), _START_SECONDS, "the UI answered", child)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        child.stop(_STOP_SECONDS)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/server_info", timeout=2) as reply:
            return bool(reply.status == 200)  # noqa: PLR2004
    except OSError:
        return False
