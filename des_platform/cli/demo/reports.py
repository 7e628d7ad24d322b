"""The demo's compression reports, served by a thread of the demo itself."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from des_platform.cli.demo.state import LOOPBACK, free_port
from des_platform.objectstore import Buckets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.settings import Settings


@contextmanager
def report_pages(settings: Settings, port: int) -> Iterator[str]:
    """Serve the reports; gives their URL.

    Args:
        settings: of the demo's platform.
        port: wanted port on the loopback interface, so that links outlive a restart; a free one if it is in use.
    """
    from des_platform.services.reports import reports_server

    with reports_server(Buckets(settings).own, LOOPBACK, free_port(port)) as server:
        thread = threading.Thread(target=server.serve_forever, name="reports", daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
