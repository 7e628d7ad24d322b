"""The `des` command.

An error that its user can mend is one line on standard error and exit code 2; only a defect of ours shows a traceback.
"""

from __future__ import annotations

import sys

import typer

from des_platform.cli.archive.app import app as archive
from des_platform.cli.cleanup import app as cleanup
from des_platform.cli.codecs import app as codecs
from des_platform.cli.compress import compress
from des_platform.cli.datahub.app import app as datahub
from des_platform.cli.dead_letters import app as dead_letters
from des_platform.cli.decompress import decompress
from des_platform.cli.demo.command import demo
from des_platform.cli.drain import drain
from des_platform.cli.generate import generate
from des_platform.cli.get import get
from des_platform.cli.keys import app as keys
from des_platform.cli.mark import mark
from des_platform.cli.metrics import metrics
from des_platform.cli.parquet import app as parquet
from des_platform.cli.report import app as report
from des_platform.cli.serve import app as serve
from des_platform.cli.stream import app as stream
from des_platform.cli.table import app as table
from des_platform.cli.transfers import check, download, months, upload

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(demo)
app.command()(get)
app.command()(generate)
app.command()(drain)
app.command()(mark)
app.command()(metrics)
app.command()(compress)
app.command()(decompress)
app.command()(upload)
app.command()(download)
app.command()(check)
app.command()(months)
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(cleanup, name="cleanup")
app.add_typer(datahub, name="datahub")
app.add_typer(archive, name="archive")
app.add_typer(codecs, name="codecs")
app.add_typer(parquet, name="parquet")
app.add_typer(report, name="report")
app.add_typer(stream, name="stream")
app.add_typer(table, name="table")
app.add_typer(serve, name="serve")
app.add_typer(keys, name="keys")


@app.callback()
def _root() -> None:
    """Small files packed, bulky ones compressed, tables made, every byte proven."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Exception as error:
        if not isinstance(error, _mendable()):
            raise
        print(f"des: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _mendable() -> tuple[type[Exception], ...]:
    # Imported only when something went wrong: 20 of the 300 ms that a command takes to start.
    from des_platform.archive import CorruptArchive, UnsupportedVersion
    from des_platform.cli.demo.processes import DemoError
    from des_platform.codecs import CorruptStream
    from des_platform.objectstore import (
        IntegrityError,
        ObjectNotFound,
        PreconditionFailed,
        SourceChanged,
        StoreUnavailable,
        UnsupportedByStore,
    )
    from des_platform.settings import ConfigurationError
    from des_platform.sources.source import SourceUnavailable

    damage = (CorruptArchive, CorruptStream, IntegrityError, ObjectNotFound, PreconditionFailed, UnsupportedVersion)
    store = (SourceChanged, StoreUnavailable, UnsupportedByStore)
    return (ConfigurationError, DemoError, SourceUnavailable, *store, *damage)
