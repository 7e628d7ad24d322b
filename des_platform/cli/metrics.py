"""`des metrics`: what Prometheus scrapes."""

from __future__ import annotations

from typing import Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import load_settings

_Host = Annotated[str, typer.Option(help="address to listen on; any but a loopback one needs DES_METRICS_KEY")]
_Port = Annotated[int | None, typer.Option(help="TCP port; DES_METRICS_PORT, else 9101", min=1, max=65535)]
_Once = Annotated[bool, typer.Option("--once", help="print the metrics and end")]


def metrics(host: _Host = "127.0.0.1", port: _Port = None, once: _Once = False) -> None:
    """Serve the platform's counters to Prometheus, at /metrics."""
    from des_platform.catalog.database import Catalog
    from des_platform.services.metrics import exposition, metrics_server

    demo_environment()
    settings = load_settings()
    with Catalog.open(settings) as catalog:
        if once:
            print(exposition(catalog).decode(), end="")
            return
        key = settings.metrics_key.get_secret_value()
        with metrics_server(catalog, host, port or settings.metrics_port, key) as server:
            print(f"metrics at http://{host}:{server.server_port}/metrics  (Ctrl-C ends)", flush=True)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                return
