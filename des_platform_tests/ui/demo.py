"""The demo as its user starts it: `des demo` as a process of its own, asked over the UI's own GraphQL."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from des_platform.cli.demo.processes import Child, command_line, spawn, wait_until
from des_platform.cli.demo.state import free_port
from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAYS = ["2013-01-01", "2013-01-02", "2013-01-03"]
# Measured on two cores at a load of 5 and of 16: 13 and 29 s to start, 90 and 203 s of work. Only a hang comes near.
_START_SECONDS = 180
_WORK_SECONDS = 600
_STOP_SECONDS = 90
_GONE_SECONDS = 10
_INTERRUPTED = 130  # as by Ctrl-C
_POLL_SECONDS = 1.0  # more questions would take the processor from the runs
_URL = re.compile(r"The platform runs at (http://127\.0\.0\.1:\d+)\s")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches this machine's loopback
_T = TypeVar("_T")


@dataclass(frozen=True)
class Demo:
    """A running demo."""

    url: str
    child: Child

    def ask(self, query: str, **variables: object) -> Any:
        """The data that a GraphQL query answers with."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with _DIRECT.open(request, timeout=_START_SECONDS) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def wait_for(self, look: Callable[[], _T], done: Callable[[_T], bool], what: str) -> _T:
        """Look until what is seen is done with; returns it."""
        deadline = time.monotonic() + _WORK_SECONDS
        while not done(seen := look()):
            assert self.child.exit_code is None, f"the demo ended before {what}. {self.child.last_lines()}"
            assert time.monotonic() < deadline, f"waited {_WORK_SECONDS} s until {what}; last seen: {seen}"
            time.sleep(_POLL_SECONDS)
        return seen


@contextmanager
def running_demo() -> Iterator[Demo]:
    """Start the demo with three days of each dataset; end it as a service manager would, and see all of it gone."""
    with server_folder() as folder:
        state = folder / "state"
        program = Path(sys.executable).with_name("des")
        child = spawn(
            "the demo",
            [program, "demo", "--state", state, "--days", "3", "--documents", "40", "--port", str(free_port())],
            env={name: value for name, value in os.environ.items() if not name.startswith(("DES_", "DAGSTER_"))},
            cwd=folder,
            log=folder / "log",
        )
        try:
            wait_until(lambda: _URL.search(child.output()) is not None, _START_SECONDS, "it told its URL", child)
            told = _URL.search(child.output())
            assert told is not None
            yield Demo(told[1], child)
        finally:
            family = psutil.Process(child.pid).children(recursive=True) if child.exit_code is None else []
            child.stop(_STOP_SECONDS)
        assert family, f"the demo had ended before it was asked to. {child.last_lines()}"
        assert child.exit_code == _INTERRUPTED, f"SIGTERM: exit code {child.exit_code}. {child.last_lines()}"
        wait_until(lambda: not _left_of(family, state), _GONE_SECONDS, "every process of the demo has ended")


def _left_of(family: list[psutil.Process], state: Path) -> list[str]:
    """Command lines of what still runs: children of the demo, and whatever else was given its state folder."""
    left = [command_line(process.pid) for process in family if process.is_running()]
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:  # it ended meanwhile, or it is another user's
            continue
        if any(str(state) in word for word in words):
            left.append(command_line(process.pid))
    return [line for line in left if line]  # a zombie has none
