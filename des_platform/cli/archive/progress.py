"""How far a command has come: a bar on a terminal's standard error, nothing in a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@contextmanager
def byte_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for the time of ``with``.

    Args:
        what: stands before the bar.

    Yields:
        Takes the bytes that are done, and all; 0 for all while that is not known.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    # Results on standard output stay where they are sent.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def in_units(size: int) -> str:
    """Return a count of bytes for people."""
    unit = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{size / 1024**unit:,.{min(unit, 1)}f} {_UNITS[unit]}"


def counted(count: int, what: str) -> str:
    """Return a count of things for people."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
