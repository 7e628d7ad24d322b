"""The `des` command as its users start it: the installed program in a process of its own, or, quicker, in this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DES = Path(sys.executable).with_name("des")
PATIENCE_SECONDS = 240  # a demo takes some 10 s where the machine is idle

Totals = dict[str, int | float]


def bare_environment(home: Path) -> dict[str, str]:
    """What a user's shell has at least, and nothing of the tests' own settings."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}


def des_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in this process: a process of its own costs a second before it begins."""
    from des_platform.cli.main import main

    out, errors, code = io.StringIO(), io.StringIO(), 0
    argv = _argv(*arguments)
    with (
        patch.object(sys, "argv", argv),
        patch.dict(os.environ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), errors.getvalue())


def des(*arguments: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; in this process's environment unless another is given."""
    return subprocess.run(
        _argv(*arguments), env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def des_bytes(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Like `des`, for a command that writes what is no text."""
    return subprocess.run(_argv(*arguments), capture_output=True, timeout=PATIENCE_SECONDS, check=False)


@contextmanager
def des_running(*arguments: object, env: Mapping[str, str], errors: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command, its output in a pipe, its errors in a file; it is killed at the end of `with`."""
    with (
        errors.open("w") as stderr,
        subprocess.Popen(_argv(*arguments), env=env, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def totals(done: subprocess.CompletedProcess[str]) -> Totals:
    """The result of `des demo --once --json`, which must have succeeded: the last line of its output."""
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command that failed has to say."""
    assert done.stderr.startswith("des: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def _argv(*arguments: object) -> list[str]:
    return [str(_DES), *(str(argument) for argument in arguments)]
