"""The few steps between fork and exec of a supervised child; `processes.spawn` runs this file with `python -I -S`.

Why a program and not `preexec_fn`: Python code between fork and exec can deadlock where the parent has threads, and
these servers are started from processes that have some. It costs about 15 ms a child. In order, because a change of
credentials clears the parent-death signal: drop privileges, ask the kernel for a signal when the parent dies (Linux),
make sure that the parent had not died before, exec. Exits 127, with the reason on standard error, if it cannot exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PARENT_DIED = 126
NO_EXEC = 127


def main(parent: str, death_signal: str, user: str, *command: str) -> None:
    """Become `command`.

    Args:
        parent: process id of the supervisor.
        death_signal: number of the signal that the child gets when the supervisor dies.
        user: `uid:gid` to become, or empty to stay.
        command: path of a program, and its arguments. No name: Python looks up the PATH with a module that the user
            below may not be able to read.
    """
    # Loaded while we still are who started us: the user below may not be able to read Python's own files.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if user:
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(PARENT_DIED)
    # Python ignores SIGPIPE, a shell's background job ignores SIGINT, and exec would hand both on.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell wanted; the supervisor chose the command
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(NO_EXEC)


if __name__ == "__main__":
    main(*sys.argv[1:])
