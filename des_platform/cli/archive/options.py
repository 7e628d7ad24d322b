"""Arguments and options that several commands have."""

from __future__ import annotations

import os
from typing import Annotated

import typer

Archive = Annotated[str, typer.Argument(help="path or address of the archive", show_default=False)]
Target = Annotated[str, typer.Option("-o", "--output", metavar="ARCHIVE", help="the archive to write")]
ReplaceArchive = Annotated[bool, typer.Option("--force", help="replace an archive that is there")]
ReplaceFiles = Annotated[bool, typer.Option("--force", help="replace files that are there")]
Glob = Annotated[
    str | None, typer.Option("--glob", metavar="PATTERN", help="only names like this; * and ? match '/', too")
]

_MOST_THREADS = 4  # beyond these the reading of files is what takes the time


def compression_threads() -> int:
    """Return how many threads may compress."""
    return min(os.cpu_count() or 1, _MOST_THREADS)
