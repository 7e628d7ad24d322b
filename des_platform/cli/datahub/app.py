"""The commands of `des datahub`."""

from __future__ import annotations

import typer

from des_platform.cli.datahub.compress import audit, compress
from des_platform.cli.datahub.fetch import fetch
from des_platform.cli.datahub.validate import validate_config

app = typer.Typer(no_args_is_help=True, help="Files of a DataHub, a month at a time.")
app.command()(fetch)
app.command()(compress)
app.command()(audit)
app.command("validate-config")(validate_config)


@app.callback()
def _group() -> None:
    """Take files from DataHubs, or compress them there."""
