"""`des serve`: the platform's interfaces for programs."""

from __future__ import annotations

from typing import Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="The platform's interfaces for programs.")

_Host = Annotated[str, typer.Option(help="address to listen on")]
_Port = Annotated[int | None, typer.Option(help="TCP port; DES_LAKE_PORT, else 9103", min=0, max=65535)]
_Open = Annotated[bool, typer.Option("--open", help="ask for no key; only on a loopback address")]
_Verbose = Annotated[bool, typer.Option("--verbose", help="one line of JSON on standard error for each request")]


@app.callback()
def _group() -> None:
    """Keep `lake` a command of its own, though it is the only one."""


@app.command()
def lake(host: _Host = "127.0.0.1", port: _Port = None, *, unlocked: _Open = False, verbose: _Verbose = False) -> None:
    """Serve the lake API: tables, partitions, schema versions, data sources, ingestion jobs.

    Whoever asks needs a key: `des keys create NAME --scope lake:write`.
    """
    from des_platform.catalog.database import Catalog
    from des_platform.services.lake_api.serving import CONNECTIONS, lake_server

    demo_environment()
    settings = load_settings()
    with Catalog.open(settings, connections=CONNECTIONS) as catalog:
        chosen = settings.lake_port if port is None else port
        server = lake_server(catalog, settings, host, chosen, unlocked=unlocked, verbose=verbose)
        print(f"lake API at {server.url}  (docs at {server.url}docs, Ctrl-C ends)", flush=True)
        server.run()
