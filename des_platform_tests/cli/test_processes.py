from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from des_platform.cli.demo import trampoline
from des_platform.cli.demo.processes import Child, DemoError, command_line, end_orphan, spawn, wait_until
from des_platform_tests.cli.killing import first_line, killed_at_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATH = {"PATH": os.environ["PATH"]}

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(script: str, **options: object) -> Child:
        environment = options.pop("env", PATH)
        argv = ["/bin/sh", "-c", script]
        child = spawn("shell", argv, env=environment, cwd=tmp_path, log=tmp_path / "log", **options)  # type: ignore[arg-type]
        children.append(child)
        return child

    yield start
    for child in children:
        child.stop(0)


def printed(child: Child, count: int) -> list[str]:
    wait_until(lambda: child.output().count("\n") >= count, 20, "the child printed", child)
    return child.output().splitlines()


def runs_sleep(pid: int) -> bool:
    return re.fullmatch(r"\S*sleep 600", command_line(pid)) is not None


def test_output_of_both_streams_goes_to_a_log_that_only_its_owner_reads(run: Callable[..., Child]) -> None:
    child = run("echo one; echo two >&2")
    assert printed(child, 2) == ["one", "two"]
    assert child.log.stat().st_mode & 0o777 == 0o600


def test_child_has_the_given_environment_alone(run: Callable[..., Child], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DES_PG_PASSWORD", "secret")
    child = run('echo "[$GIVEN][$DES_PG_PASSWORD]"', env=PATH | {"GIVEN": "yes"})
    assert printed(child, 1) == ["[yes][]"]


def test_output_is_that_of_the_last_start_only(run: Callable[..., Child]) -> None:
    printed(run("echo yesterday"), 1)
    child = run("echo today")
    assert printed(child, 1) == ["today"]
    assert "yesterday" in child.log.read_text()


def test_child_leads_a_session_of_its_own(run: Callable[..., Child]) -> None:
    child = run("echo started; sleep 600")
    printed(child, 1)
    assert os.getsid(child.pid) == child.pid != os.getsid(0)


def test_stop_ends_the_children_of_the_child(run: Callable[..., Child]) -> None:
    child = run("sleep 600 & echo $!; wait")
    grandchild = int(printed(child, 1)[0])
    child.stop(20)
    assert child.exit_code == -signal.SIGTERM
    wait_until(lambda: not command_line(grandchild), 20, "the grandchild ended")


def test_stop_kills_what_ignores_it(run: Callable[..., Child]) -> None:
    child = run("trap '' TERM; echo deaf; while :; do sleep 0.1; done")
    printed(child, 1)
    child.stop(0.2)
    assert child.exit_code == -signal.SIGKILL


def test_stop_of_an_ended_child_is_harmless(run: Callable[..., Child]) -> None:
    child = run("exit 3")
    wait_until(lambda: child.exit_code is not None, 20, "the child ended")
    child.stop(20)
    assert child.exit_code == 3


def test_interrupt_stops_a_child_even_where_the_parent_ignores_interrupts(run: Callable[..., Child]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = run("echo started; sleep 600", stop_signal=signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    printed(child, 1)
    child.stop(20)
    assert child.exit_code == -signal.SIGINT


def test_waiting_ends_with_the_end_of_the_log_when_the_child_dies(run: Callable[..., Child]) -> None:
    child = run("echo no such table >&2; exit 7")
    with pytest.raises(DemoError, match=r"shell ended with exit code 7 before it was ready(.|\n)*no such table"):
        wait_until(lambda: False, 20, "it was ready", child)


def test_waiting_ends_with_the_end_of_the_log_when_the_time_is_over(run: Callable[..., Child]) -> None:
    child = run("echo thinking; sleep 600")
    printed(child, 1)
    with pytest.raises(DemoError, match=r"Waited 0\.1 s until it was ready, in vain(.|\n)*thinking"):
        wait_until(lambda: False, 0.1, "it was ready", child)


def test_command_that_cannot_be_executed_says_so_in_the_log(tmp_path: Path) -> None:
    child = spawn("nothing", [tmp_path / "missing"], env=PATH, cwd=tmp_path, log=tmp_path / "log")
    with pytest.raises(DemoError, match=r"exit code 127(.|\n)*missing: No such file"):
        wait_until(lambda: False, 20, "it ran", child)


def test_log_that_cannot_be_opened_is_a_demo_error(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="shell cannot be started"):
        spawn("shell", ["/bin/true"], env=PATH, cwd=tmp_path, log=tmp_path / "missing" / "log")


@root_only
def test_child_drops_to_the_given_user_and_every_group(run: Callable[..., Child]) -> None:
    child = run("id -u; id -g; id -G", user=(65534, 65533))
    assert printed(child, 3) == ["65534", "65533", "65533"]


STARTER = """
import os, signal, sys
from pathlib import Path
from des_platform.cli.demo.processes import spawn
folder, user = Path(sys.argv[1]), eval(sys.argv[2])
child = spawn("sleep", ["sleep", "600"], env=dict(os.environ), cwd=Path("/"), log=folder / "log", user=user)
print(child.pid, flush=True)
signal.pause()
"""


@linux_only
@pytest.mark.parametrize("user", [None, pytest.param((65534, 65534), marks=root_only)])
def test_child_dies_with_its_killed_parent(tmp_path: Path, user: tuple[int, int] | None) -> None:
    with killed_at_the_end([sys.executable, "-c", STARTER, tmp_path, repr(user)]) as starter:
        child = int(first_line(starter))
        # Until then it has not asked for the signal, and would notice the parent's death by another way.
        wait_until(lambda: runs_sleep(child), 20, "the child runs its command")
        starter.kill()
    wait_until(lambda: not command_line(child), 20, "the child ended")


def test_child_whose_parent_died_before_it_could_ask_for_the_signal_runs_nothing(tmp_path: Path) -> None:
    stranger = str(os.getppid())
    argv = [sys.executable, "-I", "-S", trampoline.__file__, stranger, "15", "", "touch", str(tmp_path / "ran")]
    assert subprocess.run(argv, check=False).returncode == trampoline.PARENT_DIED
    assert not (tmp_path / "ran").exists()


def test_orphan_is_ended_by_force_if_it_must(run: Callable[..., Child]) -> None:
    child = run("trap '' TERM; echo deaf; while :; do sleep 0.1; done")
    printed(child, 1)
    end_orphan(child.pid, signal.SIGTERM, 0.2)
    wait_until(lambda: child.exit_code is not None, 20, "it ended")
    assert child.exit_code == -signal.SIGKILL


def test_command_line_of_an_ended_process_is_empty(run: Callable[..., Child]) -> None:
    child = run("echo started; exec sleep 600")
    printed(child, 1)
    wait_until(lambda: runs_sleep(child.pid), 20, "sleep runs", child)
    os.kill(child.pid, signal.SIGKILL)
    # Nobody has reaped it: a zombie counts as ended.
    wait_until(lambda: not command_line(child.pid), 20, "it ended")
