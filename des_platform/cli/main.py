"""The `des` command.

An error that its user can mend is one line on standard error and exit code 2; only a defect of ours shows a traceback.
"""

from __future__ import annotations

import sys

import typer

from des_platform.cli.dead_letters import dead_letters
from des_platform.cli.demo.command import demo
from des_platform.cli.get import get

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(demo)
app.command()(get)
app.command("dead-letters")(dead_letters)


@app.callback()
def _root() -> None:
    """Small files packed, bulky ones compressed, tables made, every byte proven."""


def main() -> None:
    """Run the command line."""
    from des_platform.archive import CorruptArchive, UnsupportedVersion
    from des_platform.cli.demo.processes import DemoError
    from des_platform.codecs import CorruptStream
    from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed, StoreUnavailable
    from des_platform.settings import ConfigurationError

    damage = (CorruptArchive, CorruptStream, IntegrityError, ObjectNotFound, PreconditionFailed, UnsupportedVersion)
    known = (ConfigurationError, DemoError, StoreUnavailable, *damage)
    try:
        app()
    except known as error:
        print(f"des: {error}", file=sys.stderr)
        raise SystemExit(2) from None
