"""Supervised child processes.

A child runs in a session of its own (a Ctrl-C in the terminal reaches the supervisor alone, which then stops its
children in order), writes to a log file and, on Linux, gets its stop signal when the supervisor dies, however it dies.
Elsewhere an orphan lives on until the next start, which finds it by its pid file. The kernel means the death of the
*thread* that started the child: call `spawn` from one that lives as long as the child shall. Every failure is a
`DemoError` with the end of the child's log.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TRAMPOLINE = Path(__file__).with_name("trampoline.py")
_POLL_SECONDS = 0.02
_LOG_BYTES = 16 * 1024
_GROUP_SECONDS = 2.0


class DemoError(Exception):
    """Something that the demo starts did not start or did not last; the message says what and what to do."""


@dataclass(frozen=True)
class Child:
    """A running child process and the group that it leads.

    Attributes:
        name: what messages call it.
        log: file that receives its standard output and error.
        log_start: size of the log in bytes when the child was started.
        stop_signal: what asks it to end.
        process: the process, leader of its own group.
    """

    name: str
    log: Path
    log_start: int
    stop_signal: signal.Signals
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.process.poll()

    def output(self) -> str:
        """The end of what this child wrote to its log: at most 16 KiB."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self.log_start, self.log.stat().st_size - _LOG_BYTES))
                return log.read(_LOG_BYTES).decode(errors="replace")
        except OSError as error:
            return f"(log {self.log} cannot be read: {error.strerror})"

    def last_lines(self, count: int = 15) -> str:
        """The last lines of its output, for a message, and where the rest is."""
        lines = self.output().splitlines()[-count:]
        return "\n".join([f"The end of its log {self.log}:", *(f"  {line}" for line in lines or ["(empty)"])])

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            DemoError: it has ended; with the end of its log.
        """
        if self.exit_code is not None:
            raise DemoError(f"{self.name} ended early, with exit code {self.exit_code}. {self.last_lines()}")

    def stop(self, timeout: float) -> None:
        """End the whole group: its stop signal, then SIGKILL for what still runs after `timeout` seconds.

        Harmless when it ended before.
        """
        self._signal_group(self.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        if self.process.poll() is not None:
            # A group of unreaped zombies looks alive for ever, so what the leader left behind gets a moment only.
            deadline = time.monotonic() + min(timeout, _GROUP_SECONDS)
            while self._signal_group(0) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        self._signal_group(signal.SIGKILL)
        self.process.wait()

    def _signal_group(self, number: int) -> bool:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            return False
        return True


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    user: tuple[int, int] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Child:
    """Start a child process that ends with this one.

    Args:
        name: what messages call it.
        argv: path of a program, or its name on the PATH of `env`, and its arguments; any user of this machine can read
            them, so no secret.
        env: its whole environment.
        cwd: its working folder.
        log: file that its output is appended to; created for its owner alone.
        user: (uid, gid) to drop to, without other groups; only root may.
        stop_signal: what `stop` sends first, and what the child gets when this process dies.

    Raises:
        DemoError: the log cannot be opened or no process can be made. A command that cannot be executed is a child
            that ends with exit code 127.
    """
    program, *arguments = (str(word) for word in argv)
    program = shutil.which(program, path=env.get("PATH")) or program
    identity = "" if user is None else f"{user[0]}:{user[1]}"
    trampoline = [sys.executable, "-I", "-S", str(_TRAMPOLINE), str(os.getpid()), str(int(stop_signal)), identity]
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            log_start = os.fstat(descriptor).st_size
            process = subprocess.Popen(
                [*trampoline, program, *arguments],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DemoError(f"{name} cannot be started: {error}") from error
    return Child(name, log, log_start, stop_signal, process)


def wait_until(condition: Callable[[], bool], timeout: float, what: str, child: Child | None = None) -> None:
    """Poll until `condition` holds.

    Args:
        condition: cheap; asked every 20 ms.
        timeout: seconds.
        what: completes "waited until ...".
        child: whose death ends the wait.

    Raises:
        DemoError: the child died or the time ran out; with the end of the child's log.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if child is not None and child.exit_code is not None:
            if condition():
                return
            raise DemoError(f"{child.name} ended with exit code {child.exit_code} before {what}. {child.last_lines()}")
        if time.monotonic() > deadline:
            evidence = "" if child is None else f" {child.last_lines()}"
            raise DemoError(f"Waited {timeout:g} s until {what}, in vain.{evidence}")
        time.sleep(_POLL_SECONDS)


def command_line(pid: int) -> str:
    """Command and arguments of a running process, spaces between them; empty when there is none, or only a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ").strip()
        except OSError:
            return ""
    ps = ["ps", "-ww", "-p", str(pid), "-o", "command="]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()


def exists(pid: int) -> bool:
    """Whether any process has this number: a zombie and another user's, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_orphan(pid: int, stop_signal: signal.Signals, timeout: float) -> None:
    """End a process that a killed supervisor left behind: `stop_signal`, then SIGKILL after `timeout` seconds.

    Raises:
        DemoError: it survived that, or belongs to another user.
    """
    for number, seconds in ((stop_signal, timeout), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            break
        with suppress(DemoError):
            wait_until(lambda: not command_line(pid), seconds, f"process {pid} has ended")
            return
    raise DemoError(f"Process {pid}, left over from an earlier run, cannot be ended. End it and start again.")
