"""Processes that tests kill."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def killed_at_the_end(argv: Sequence[object], user: tuple[int, int] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a command, its output in a pipe, until the test kills it or leaves the block, by whatever way."""
    identity = {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}
    words = [str(word) for word in argv]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **identity) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
