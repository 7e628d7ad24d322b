"""The group of commands, and what their exit codes mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from des_platform.cli.archive.checking import recover, verify
from des_platform.cli.archive.extract import extract
from des_platform.cli.archive.listing import info, ls
from des_platform.cli.archive.outcome import reporting
from des_platform.cli.archive.pack import pack
from des_platform.cli.archive.reading import cat, get
from des_platform.cli.archive.rewriting import compact, convert
from des_platform.cli.archive.sql import sql

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMANDS: tuple[Callable[..., None], ...] = (
    pack,
    ls,
    get,
    cat,
    extract,
    info,
    verify,
    recover,
    compact,
    convert,
    sql,
)


class _ReportingGroup(TyperGroup):
    """Turns what commands raise into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer brings a click of its own
        with reporting():
            return super().invoke(ctx)


app = typer.Typer(cls=_ReportingGroup, no_args_is_help=True)
for _command in _COMMANDS:
    app.command()(_command)


@app.callback()
def _group() -> None:
    """Make, read, prove and mend archives of small files.

    An ARCHIVE is a local path, file:///PATH or s3://BUCKET/KEY; http:// and whatever else fsspec knows can be read.

    Exit codes: 0 all is well; 1 something is wrong with the data: damaged, missing, or done in part; 2 the command
    cannot be carried out: wrong usage, no such archive, no access; 130 interrupted. Ctrl-C leaves nothing half-written.
    """
